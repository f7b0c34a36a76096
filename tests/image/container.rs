// SPDX-License-Identifier: Apache-2.0
//! The agent in a container.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use common::agent::output_of;
use common::process::Process;
use rustix::thread::{CapabilitySet, capabilities};
use serde_json::{Value, json};

use crate::engine::Engine;

const NAME: &str = "agent";

/// Profiles of engines, as their packages install them.
const SECCOMP: [&str; 2] = [
    "/etc/containers/seccomp.json",
    "/usr/share/containers/seccomp.json",
];

pub struct Container<'a> {
    process: Process,
    log: PathBuf,
    engine: &'a Engine,
}

impl<'a> Container<'a> {
    /// Starts the agent in a container with these options.
    pub fn start(engine: &'a Engine, options: &[String], image: &str, args: &[&str]) -> Self {
        let log = engine.file("container.log");
        let output = File::create(&log).unwrap();
        let mut command = Command::new("unshare");
        command.args(["--mount", "podman"]);
        let mut command = engine.podman(command);
        command
            .args(["run", "--rm", "--pull=never", "--name", NAME])
            .arg(format!("--security-opt=seccomp={}", seccomp(engine)))
            // Else the engine raises them to what not every root may grant.
            .args(["--ulimit=nofile=4096", "--ulimit=nproc=4096"])
            .args(grantable(options))
            .arg(image)
            .args(args)
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output);
        Self {
            process: Process::start(&mut command, "podman"),
            log,
            engine,
        }
    }

    pub fn wait_until(&mut self, ready: impl FnMut() -> bool) {
        self.process.wait_until(ready);
    }

    /// What the engine says to a command.
    fn says(&self, args: &[&str]) -> String {
        let mut command = self.engine.podman(Command::new("podman"));
        command.args(args);
        let output = output_of(command);
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn agent_pid(&self) -> u64 {
        let pid = self.says(&["inspect", "--format={{.State.Pid}}", NAME]);
        pid.trim().parse().unwrap()
    }

    /// What registries show of it.
    pub fn labels(&self) -> Value {
        let labels = self.says(&["inspect", "--format={{json .Config.Labels}}", NAME]);
        serde_json::from_str(&labels).unwrap()
    }

    pub fn file(&self, path: &str) -> String {
        let copy = self.engine.file("copy");
        self.says(&["cp", &format!("{NAME}:{path}"), copy.to_str().unwrap()]);
        fs::read_to_string(copy).unwrap()
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", fs::read_to_string(&self.log).unwrap_or_default());
        }
    }
}

/// Without the limit of real-time priorities where this host's own root may not raise it, as in some virtual machines: no
/// engine could grant it there.
fn grantable(options: &[String]) -> Vec<&String> {
    let may_raise = capabilities(None)
        .unwrap()
        .effective
        .contains(CapabilitySet::SYS_RESOURCE);
    let mut granted = Vec::new();
    let mut options = options.iter().peekable();
    while let Some(option) = options.next() {
        let of_time = option == "--ulimit" && options.peek().is_some_and(|it| *it == "rtprio=1");
        if of_time && !may_raise {
            eprintln!("this host does not let root raise limits: run without --ulimit rtprio=1");
            options.next();
        } else {
            granted.push(option);
        }
    }
    granted
}

/// The engine's seccomp profile, as Docker's and containerd's are: the two capabilities allow what they are for. Podman's
/// own wants `SYS_ADMIN` for it, which `deploy/README.md` says.
fn seccomp(engine: &Engine) -> String {
    let found = SECCOMP.iter().find_map(|path| fs::read(path).ok());
    let found = found.unwrap_or_else(|| panic!("none of {SECCOMP:?}"));
    let mut profile: Value = serde_json::from_slice(&found).unwrap();
    let rules = profile["syscalls"].as_array_mut().unwrap();
    let gated = [("bpf", "CAP_BPF"), ("perf_event_open", "CAP_PERFMON")];
    for rule in rules.iter_mut() {
        let names = rule["names"].as_array_mut().unwrap();
        names.retain(|name| gated.iter().all(|(call, _)| name != call));
    }
    for (call, capability) in gated {
        let includes = json!({ "caps": [capability] });
        let action = "SCMP_ACT_ALLOW";
        rules.push(json!({ "names": [call], "action": action, "includes": includes }));
    }
    let path = engine.file("seccomp.json");
    fs::write(&path, profile.to_string()).unwrap();
    path.into_os_string().into_string().unwrap()
}
