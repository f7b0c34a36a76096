// SPDX-License-Identifier: Apache-2.0
//! Weave Scope's probe, as far as it shows: whether it asks, and whether it calls this host what the agent does. Where it does not,
//! nothing of what it is told is ever drawn, and Scope says so nowhere.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::system::uname;

/// A probe that is there asks each second, and finds a new socket within five.
const PATIENCE: Duration = Duration::from_secs(30);
/// What a request of the probe has in it.
const PROBE_ID: &str = "probe_id=";
/// The name of Scope's program, and what is in the arguments of a probe.
const PROGRAM: &[u8] = b"scope\n";
const MODE: &[u8] = b"probe";
const HOSTNAME: &[u8] = b"SCOPE_HOSTNAME=";
/// Of an environment: more than the kernel lets a program have by default is not looked at.
const MOST_BYTES: u64 = 4 << 20;
/// Of a host: more than DNS has.
const MOST_NAME: usize = 256;

/// Who has connected to the plugin's socket.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// `None` where it is in a pid namespace that the agent does not see into.
    pub pid: Option<i32>,
}

/// What is known of the probe.
pub struct Probe {
    host: String,
    since: Instant,
    /// The one that has asked last.
    seen: Mutex<Option<Peer>>,
    has_asked: AtomicBool,
    is_missed: AtomicBool,
}

impl Probe {
    /// `host` is what the agent calls this host.
    pub fn new(host: String) -> Self {
        Self {
            host,
            since: Instant::now(),
            seen: Mutex::default(),
            has_asked: AtomicBool::new(false),
            is_missed: AtomicBool::new(false),
        }
    }

    /// Somebody has asked for the report. Of a probe that has not asked before something is said.
    pub fn asks(&self, query: Option<&str>, peer: Peer) {
        if !query.is_some_and(|it| it.split('&').any(|it| it.starts_with(PROBE_ID))) {
            return;
        }
        self.has_asked.store(true, Ordering::Relaxed);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.is_some_and(|it| it.pid == peer.pid) {
            return;
        }
        *seen = Some(peer);
        let who = peer
            .pid
            .map_or_else(String::new, |pid| format!(" (pid {pid})"));
        log::info!(
            "Weave Scope's probe{who} asks, and is told of the host {:?}",
            self.host
        );
    }

    /// Compares what the probes that are running call this host with what the agent does. It takes rights that the agent gives up
    /// after its start, so that of one which is started later nothing is known.
    pub fn compare_hosts(&self) {
        for pid in running() {
            match host_of(pid) {
                Ok(theirs) => self.compare(pid, &theirs),
                // It may have gone.
                Err(error) => {
                    log::debug!("what the probe {pid} calls this host is not known: {error}")
                }
            }
        }
    }

    fn compare(&self, pid: i32, theirs: &str) {
        if theirs != self.host {
            log::warn!(
                "Weave Scope's probe (pid {pid}) calls this host {theirs:?} and the agent calls it {:?}, so that nothing is shown there: \
                 start the agent with --hostname {theirs:?}, or both with the same SCOPE_HOSTNAME",
                self.host
            );
        }
    }

    /// Says it once where none asks.
    pub fn look(&self) {
        if self.since.elapsed() > PATIENCE
            && !self.has_asked.load(Ordering::Relaxed)
            && !self.is_missed.swap(true, Ordering::Relaxed)
        {
            log::info!(
                "no probe of Weave Scope has asked in {} s: fine where there is none; else restart it, since it looks for plugins only \
                 where their directory was there before it",
                PATIENCE.as_secs()
            );
        }
    }
}

/// Processes of Scope's program that are a probe, as one of their arguments says: the program is an app as well.
fn running() -> Vec<i32> {
    let Ok(processes) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = processes.filter_map(|it| it.ok()?.file_name().to_str()?.parse().ok());
    let is_probe = |pid: &i32| {
        let of = |file: &str| fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        of("comm") == PROGRAM && of("cmdline").windows(MODE.len()).any(|it| it == MODE)
    };
    pids.filter(is_probe).collect()
}

/// What a probe calls its host, which is for whoever may look at its environment to know.
fn host_of(pid: i32) -> io::Result<String> {
    let process = Path::new("/proc").join(pid.to_string());
    let mut environment = Vec::new();
    let file = File::open(process.join("environ"))?;
    file.take(MOST_BYTES).read_to_end(&mut environment)?;
    if let Some(name) = hostname_in(&environment) {
        return Ok(name);
    }
    // The kernel's name of the host, where the probe is told the same one.
    let namespace = |process: &Path| fs::read_link(process.join("ns/uts"));
    if namespace(&process)? != namespace(Path::new("/proc/self"))? {
        return Err(io::Error::other("it is in a UTS namespace of its own"));
    }
    Ok(uname().nodename().to_string_lossy().into_owned())
}

/// An empty name is none.
fn hostname_in(environment: &[u8]) -> Option<String> {
    let variables = environment.split(|byte| *byte == 0);
    let mut values = variables.filter_map(|it| it.strip_prefix(HOSTNAME));
    let name = values.next().filter(|name| !name.is_empty())?;
    // Any process may call itself a probe.
    let name = &name[..name.len().min(MOST_NAME)];
    Some(String::from_utf8_lossy(name).into_owned())
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    fn host_of_a_child(name: &str) -> String {
        let mut child = Command::new("cat")
            .env("SCOPE_HOSTNAME", name)
            .env("OTHER_SCOPE_HOSTNAME", "wrong")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // Until it is a program of its own it has the environment of this one.
        let pid = child.id();
        // And none at all for a moment in between.
        let file = |name| std::fs::read(format!("/proc/{pid}/{name}")).unwrap();
        let is_cat = || file("comm") == b"cat\n" && !file("environ").is_empty();
        while !is_cat() {
            std::thread::yield_now();
        }
        let host = host_of(pid.cast_signed()).unwrap();
        drop(child.stdin.take());
        child.wait().unwrap();
        host
    }

    #[test]
    fn a_probe_calls_its_host_what_it_was_told_or_what_the_kernel_does() {
        assert_eq!(host_of_a_child("node-7"), "node-7");
        let kernel = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        assert_eq!(host_of_a_child(""), kernel.trim_end());
        assert!(host_of(i32::MAX).is_err());
    }

    #[test]
    fn only_what_a_probe_asks_is_one() {
        let probe = Probe::new("host".to_owned());
        let peer = Peer { pid: None };
        for query in [None, Some(""), Some("api_version=1"), Some("no_probe_id=7")] {
            probe.asks(query, peer);
            assert!(!probe.has_asked.load(Ordering::Relaxed), "{query:?}");
        }
        probe.asks(Some("api_version=1&probe_id=1f"), peer);
        assert!(probe.has_asked.load(Ordering::Relaxed));
    }
}
