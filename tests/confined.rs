// SPDX-License-Identifier: Apache-2.0
//! What an agent has given up after its start, as the kernel says, and that all goes on as before with what is left.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use common::agent::{Agent, Program};
use common::load::keep_alive;
use common::process::eventually;
use common::reader::{Reader, Receive};
use common::web::{self, connect, sample, text};
use nix::unistd::{Gid, setgroups};
use rustix::process::Signal;
use rustix::thread::{CapabilitySet, remove_capability_from_bounding_set};

const AGENT: Program = common::agent!();

common::reader!();

/// What the agent needs to start, whichever backend it takes.
fn needed() -> CapabilitySet {
    let needed = CapabilitySet::BPF | CapabilitySet::PERFMON | CapabilitySet::SYS_RESOURCE;
    let paranoid = fs::read_to_string("/proc/sys/kernel/perf_event_paranoid").unwrap();
    if paranoid.trim().parse::<i32>().unwrap() > 2 {
        // A level that some distributions have, for the events of tracepoints.
        return needed | CapabilitySet::SYS_ADMIN;
    }
    needed
}

/// Longer than from one proof to the next.
const PROOF: Duration = Duration::from_secs(70);

/// The agent, for root with these capabilities and with groups.
fn root_with(kept: CapabilitySet) -> Command {
    let mut command = AGENT.command();
    let groups = [4, 20, 27].map(Gid::from_raw);
    let prepare = move || {
        setgroups(&groups)?;
        let others = CapabilitySet::all().difference(kept);
        // One that this kernel does not know cannot be had either.
        for (_, other) in others.iter_names() {
            let _ = remove_capability_from_bounding_set(other);
        }
        Ok(())
    };
    // SAFETY: it makes system calls, and allocates nothing.
    unsafe { command.pre_exec(prepare) };
    command
}

fn started(kept: CapabilitySet, backend: &str) -> Agent {
    let args = [
        "--listen",
        "127.0.0.1:0",
        "--per-process",
        "--backend",
        backend,
        "-v",
    ];
    let agent = Agent::try_start(root_with(kept), &args).unwrap_or_else(|error| panic!("{error}"));
    web::address(&agent);
    agent
}

/// What the kernel says of a thread.
struct Thread {
    name: String,
    status: String,
}

impl Thread {
    fn all_of(agent: &Agent) -> Vec<Self> {
        let tasks = fs::read_dir(format!("/proc/{}/task", agent.pid())).unwrap();
        let read = |task: fs::DirEntry| {
            let status = fs::read_to_string(task.path().join("status")).ok()?;
            let name = fs::read_to_string(task.path().join("comm")).ok()?;
            Some(Self { name, status })
        };
        // One may end meanwhile.
        tasks.filter_map(|task| read(task.ok()?)).collect()
    }

    fn field(&self, name: &str) -> &str {
        let line = self.status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.strip_prefix(':'))
            .unwrap_or_else(|| panic!("no {name} in {}", self.status))
            .trim()
    }

    fn capabilities(&self, set: &str) -> CapabilitySet {
        let bits = u64::from_str_radix(self.field(set), 16).unwrap();
        CapabilitySet::from_bits_retain(bits)
    }
}

/// Whether the use of a map asks for a capability: before Linux 5.19, or for all that can be known.
fn maps_are_guarded() -> bool {
    let system = rustix::system::uname();
    let release = system.release().to_str().unwrap();
    let mut numbers = release.split('.').map(|n| n.parse::<u32>().unwrap_or(0));
    let disabled = fs::read_to_string("/proc/sys/kernel/unprivileged_bpf_disabled").unwrap();
    (numbers.next(), numbers.next()) < (Some(5), Some(19)) || disabled.trim() == "0"
}

/// Asserts that no thread has more than it needs, of what the agent was started with.
fn assert_confined(agent: &Agent, had: CapabilitySet, at_events: bool) {
    let mut most = CapabilitySet::empty();
    if maps_are_guarded() {
        most |= CapabilitySet::BPF;
    }
    if at_events {
        most |= CapabilitySet::SYS_NICE;
    }
    let threads = Thread::all_of(agent);
    assert!(threads.len() >= 4);
    for thread in &threads {
        let allowed = match thread.name.trim() {
            "sampler" => most & had,
            "connections" => most & had & CapabilitySet::BPF,
            _ => CapabilitySet::empty(),
        };
        for set in ["CapPrm", "CapEff"] {
            let kept = thread.capabilities(set);
            assert!(allowed.contains(kept), "{}: {set} {kept:?}", thread.name);
        }
        for set in ["CapInh", "CapAmb"] {
            assert!(
                thread.capabilities(set).is_empty(),
                "{}: {set}",
                thread.name
            );
        }
        if had.contains(CapabilitySet::SETPCAP) {
            assert!(thread.capabilities("CapBnd").is_empty(), "{}", thread.name);
        }
        if had.contains(CapabilitySet::SETGID) {
            assert_eq!(thread.field("Groups"), "", "{}", thread.name);
        }
        assert_eq!(thread.field("NoNewPrivs"), "1", "{}", thread.name);
        assert_eq!(thread.field("Seccomp"), "2", "{}", thread.name);
    }
}

/// Counts exactly, whatever was given up.
fn assert_counts(agent: &Agent) {
    let address = web::address(agent);
    let reader = Reader::tcp(Receive::Read);
    assert_eq!(keep_alive(&reader.address, 37).served, 37);
    let pid = format!("process_pid=\"{}\"", reader.pid());
    eventually(Some(37.0), || {
        let metrics = text(address, "/metrics");
        sample(&metrics, "http_server_requests_total", &[&pid])
    });
}

/// Nothing that the agent does is refused, for all that it says.
fn assert_content(agent: &Agent) {
    let log = agent.log();
    let (before, after) = log.split_once("] backend ").unwrap();
    for complaint in ["more rights than it needs", "system calls remain"] {
        assert!(!before.contains(complaint), "{log}");
    }
    for complaint in ["cannot", "os error", "out of reach", "nothing new is known"] {
        assert!(!after.contains(complaint), "{complaint}: {log}");
    }
}

fn nothing_is_kept_that_is_not_needed(backend: &str) {
    for had in [CapabilitySet::all(), needed()] {
        let agent = started(had, backend);
        assert_counts(&agent);
        let at_events = agent.log().contains("backend syscall")
            || !agent.log().contains("preempts_tracepoints: false");
        assert_confined(&agent, had, at_events);
        assert_content(&agent);
    }
}

common::by_backend!(nothing_is_kept_that_is_not_needed);

#[test]
fn all_goes_on_with_what_is_left() {
    let start = Instant::now();
    let mut agent = started(CapabilitySet::all(), "auto");
    let address = web::address(&agent);
    assert_counts(&agent);
    for path in ["/", "/app.js", "/metrics"] {
        text(address, path);
    }
    for path in ["/report", "/view"] {
        assert_eq!(agent.get(path).status, 200, "{path}");
    }
    let mut events = connect(address);
    write!(events, "GET /events HTTP/1.1\r\nHost: {address}\r\n\r\n").unwrap();
    let mut seen = [0; 1000];
    events.read_exact(&mut seen).unwrap();
    let socket = agent.socket();
    let root = socket.ancestors().nth(2).unwrap();
    fs::remove_dir_all(root).unwrap();
    eventually(true, || socket.exists());
    eventually(200, || agent.get("/report").status);
    // It has talked to itself once more, behind the filter.
    std::thread::sleep(PROOF.saturating_sub(start.elapsed()));
    assert_counts(&agent);
    let metrics = text(address, "/metrics");
    assert_eq!(sample(&metrics, "scope_http_proof", &[]), Some(1.0));
    assert!(
        sample(&metrics, "scope_http_connections", &[]).is_some(),
        "{metrics}"
    );
    let failures = sample(&metrics, "scope_http_harvest_failures_total", &[]);
    assert_eq!(failures, Some(0.0));
    assert_content(&agent);
    assert_eq!(
        agent.stop(Signal::TERM).0.code(),
        Some(0),
        "{}",
        agent.log()
    );
    assert!(!socket.parent().unwrap().exists());
}
