// SPDX-License-Identifier: Apache-2.0
//! A host with systemd, which shares this one's kernel and network and nothing else: what is installed there is started by the
//! real thing, with all the restrictions of its unit.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use common::agent::output_of;
use common::process::{eventually, spawn, tie_to_parent};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::base;
use crate::finish::finish;

const LIMIT: Duration = Duration::from_secs(300);
/// Of a busy machine, for processes to be gone.
const END_LIMIT: Duration = Duration::from_secs(20);

pub struct Host {
    folder: TempDir,
    /// Who has started the first process, and whose end ends it and so all others.
    starter: Child,
    group: String,
}

impl Host {
    /// One that has just been set up: this host's own suite, with systemd. `prepare` gets its files before it is booted.
    pub fn boot(prepare: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let tree = folder.path().join("tree");
        fs::create_dir(&tree).unwrap();
        let mut unpack = Command::new("tar");
        unpack.arg("-xpf").arg(base::archive()).arg("-C").arg(&tree);
        finish(unpack, &folder.path().join("unpack.log"), LIMIT);
        fs::copy("/etc/resolv.conf", tree.join("etc/resolv.conf")).unwrap();
        let mut install = Command::new("unshare");
        let script = "mount -t proc proc \"$0/proc\" && mount --rbind /dev \"$0/dev\" && exec chroot \"$0\" sh -c \
            'apt-get -q update && apt-get -q install -y --no-install-recommends systemd'";
        install
            .args(["--mount", "--pid", "--fork", "--kill-child"])
            .args(["sh", "-c", script])
            .arg(&tree)
            .env("DEBIAN_FRONTEND", "noninteractive");
        finish(install, &folder.path().join("install.log"), LIMIT);
        prepare(&tree);

        let group = format!("http-test-host-{}", std::process::id());
        let mut command = Command::new(script_path());
        command.arg(&tree).arg(&group).stdin(Stdio::null());
        let starter = spawn(tie_to_parent(&mut command, Signal::KILL)).unwrap();
        let host = Self {
            folder,
            starter,
            group,
        };
        // What else comes with systemd may fail there; that is not the question here.
        eventually(true, || {
            let state = host.says("systemctl is-system-running");
            ["running", "degraded"].contains(&state.as_str())
        });
        host
    }

    /// Its files.
    pub fn tree(&self) -> PathBuf {
        self.folder.path().join("tree")
    }

    fn first_process(&self) -> Option<String> {
        let pid = self.starter.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
        children.split_whitespace().next().map(str::to_owned)
    }

    fn run(&self, script: &str) -> Option<Output> {
        let mut command = Command::new("nsenter");
        command
            .args(["--target", &self.first_process()?])
            .args(["--mount", "--pid", "--cgroup", "--ipc", "--uts"])
            .args(["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"])
            .args(["sh", "-c", script]);
        Some(output_of(command))
    }

    /// What a command prints there, whether it succeeds or not.
    pub fn says(&self, script: &str) -> String {
        let output = self.run(script);
        let stdout = output.map(|it| it.stdout).unwrap_or_default();
        String::from_utf8_lossy(&stdout).trim().to_owned()
    }

    /// Runs a command there, which has to succeed.
    pub fn does(&self, script: &str) {
        let output = self.run(script).expect("a host that is up");
        assert!(output.status.success(), "{script}: {output:?}");
    }

    /// The pid here of a process that has this pid there.
    pub fn pid_here(&self, pid_there: &str) -> Option<u32> {
        let is_it = |status: &str| {
            let pids = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
            pids.is_some_and(|it| it.split_whitespace().skip(1).eq([pid_there]))
        };
        let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
        let there = namespace(&self.first_process()?);
        fs::read_dir("/proc").unwrap().flatten().find_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let pid = name.parse().ok()?;
            let status = fs::read_to_string(entry.path().join("status")).ok()?;
            (is_it(&status) && namespace(&name) == there).then_some(pid)
        })
    }

    /// Groups can be removed when all processes have gone.
    fn groups_are_gone(&self) -> bool {
        let root = Path::new("/sys/fs/cgroup");
        let hierarchies = fs::read_dir(root).into_iter().flatten().flatten();
        let mut paths = hierarchies.map(|it| it.path()).chain([root.into()]);
        paths.all(|hierarchy| remove(&hierarchy.join(&self.group)))
    }
}

fn script_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/image/boot.sh")
}

impl Drop for Host {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.says("journalctl --no-pager --lines 50"));
        }
        let _ = self.starter.kill();
        let _ = self.starter.wait();
        let start = Instant::now();
        while !self.groups_are_gone() && start.elapsed() < END_LIMIT {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn remove(group: &Path) -> bool {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|it| it.is_dir()) {
            remove(&entry.path());
        }
    }
    match fs::remove_dir(group) {
        Ok(()) => true,
        Err(error) => matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory),
    }
}
