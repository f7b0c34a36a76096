// SPDX-License-Identifier: Apache-2.0
//! Systems that lack or forbid something, one thing a test. Each ends in one clear error that says what to do, or in an
//! agent that counts exactly and says how it does: never in a wrong number.

mod agent;
mod conditions;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use common::agent::{Agent, output_of};
use common::cgroup::ControlGroup;
use common::load::keep_alive;
use common::process::eventually;
use common::reader::{Reader, Receive};
use common::web::{self, sample, text};
use rustix::process::Signal;
use rustix::thread::CapabilitySet;

use agent::AGENT;
use conditions::{
    in_user_namespace, nobody_with, with_capabilities, with_locked_memory, within, without,
    without_and_with, without_bpf_call, without_links, without_network, without_self_restriction,
};

common::reader!();

/// What the agent needs, and before Linux 5.11 has to lift the limit of locked memory with.
const NEEDED: CapabilitySet = CapabilitySet::BPF
    .union(CapabilitySet::PERFMON)
    .union(CapabilitySet::SYS_RESOURCE);

/// Why `syscall` is no choice from Linux 7.2 on.
const PREEMPTED: &str = "the kernel preempts programs at system calls";

/// Ticks that a count has to stay at what it is.
const SETTLED: Duration = Duration::from_secs(2);

/// The log of an agent that has counted exactly, or else its only error. One after the other: on Linux 7 an agent that starts
/// is a task that changes maps, and where it is preempted meanwhile the kernel skips the programs of all others.
fn outcome(command: Command, args: &[&str]) -> Result<String, String> {
    let _alone = common::alone();
    let args = [&["--listen", "127.0.0.1:0", "--per-process"], args].concat();
    let agent = Agent::try_start(command, &args)?;
    let address = web::address(&agent);
    let reader = Reader::tcp(Receive::Read);
    assert_eq!(keep_alive(&reader.address, 37).served, 37);
    let pid = format!("process_pid=\"{}\"", reader.pid());
    let counted = || {
        let metrics = text(address, "/metrics");
        sample(&metrics, "http_server_requests_total", &[&pid])
    };
    eventually(Some(37.0), counted);
    std::thread::sleep(SETTLED);
    assert_eq!(counted(), Some(37.0));
    Ok(agent.log())
}

/// The error of an agent that cannot start, which has to say this.
fn refused(command: Command, args: &[&str], says: &str) -> String {
    let error = outcome(command, args).unwrap_err();
    assert!(error.contains(says), "{error}");
    error
}

fn says_how_it_counts(log: &str) -> bool {
    log.matches("backend ").count() == 1
}

/// Whether the kernel has the tracepoints of the backend `sock`, as tracefs shows it.
fn has_sock_tracepoints() -> bool {
    let events = Path::new("/sys/kernel/tracing/events");
    assert!(
        events.exists(),
        "mount -t tracefs tracefs /sys/kernel/tracing"
    );
    events.join("sock/sock_recv_length").exists()
}

#[test]
fn without_the_tracepoints_of_sock() {
    let sock = outcome(AGENT.command(), &["--backend", "sock"]);
    let log = outcome(AGENT.command(), &[]).unwrap();
    assert!(says_how_it_counts(&log), "{log}");
    if has_sock_tracepoints() {
        assert!(says_how_it_counts(&sock.unwrap()));
        assert!(!log.contains("backend syscall"), "{log}");
    } else {
        let error = sock.unwrap_err();
        let lacks = "sock: the kernel has no tracepoint sock_recv_length";
        assert!(error.contains(lacks), "{error}");
        let others = ["backend syscall: ", "backend fexit: "];
        assert!(others.iter().any(|it| log.contains(it)), "{log}");
    }
}

#[test]
fn without_btf() {
    let error = refused(without(&["/sys/kernel/btf"]), &[], "CONFIG_DEBUG_INFO_BTF");
    assert_eq!(error.matches("BTF (").count(), 1, "{error}");
}

#[test]
fn without_tracefs() {
    const MOUNT: &str = "mount -t tracefs tracefs /sys/kernel/tracing";
    const ROOTS: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug"];
    // The agent mounts it for itself.
    for backend in ["auto", "syscall"] {
        match outcome(without(&ROOTS), &["--backend", backend]) {
            Ok(log) => {
                assert!(says_how_it_counts(&log), "{log}");
                let mounted = log.contains("mounted tracefs");
                assert!(mounted || !log.contains("backend syscall"), "{log}");
            }
            Err(error) => assert!(backend == "syscall" && error.contains(PREEMPTED), "{error}"),
        }
    }
    // Where it may not.
    let powerless = || without_and_with(&ROOTS, NEEDED);
    refused(powerless(), &["--backend", "syscall"], MOUNT);
    match outcome(powerless(), &[]) {
        Ok(log) => assert!(!log.contains("backend syscall"), "{log}"),
        Err(error) => assert!(!has_sock_tracepoints() && error.contains(MOUNT), "{error}"),
    }
}

/// In a network namespace whose loopback interface is down: unix sockets alone prove that it counts.
#[test]
fn without_a_network() {
    let _alone = common::alone();
    let agent =
        Agent::try_start(without_network(), &["-v"]).unwrap_or_else(|error| panic!("{error}"));
    let log = agent.log();
    assert!(says_how_it_counts(&log), "{log}");
    assert!(log.contains("read/write over tcp cannot be tried"), "{log}");
    let reader = Reader::tcp(Receive::Read);
    assert_eq!(keep_alive(&reader.address, 7).served, 7);
    let node = format!(";{}", reader.pid());
    eventually(true, || {
        let report = agent.report();
        let nodes = report["Process"]["nodes"].as_object().unwrap();
        nodes.keys().any(|name| name.ends_with(&node))
    });
}

#[test]
fn without_cap_perfmon() {
    let others = with_capabilities(CapabilitySet::BPF);
    let error = refused(others, &[], "grant CAP_PERFMON");
    assert!(!error.contains("CAP_BPF"), "{error}");
}

#[test]
fn without_cap_bpf() {
    let others = with_capabilities(CapabilitySet::PERFMON);
    let error = refused(others, &[], "grant CAP_BPF");
    assert!(!error.contains("CAP_PERFMON"), "{error}");
}

/// Whatever `kernel.unprivileged_bpf_disabled` is.
#[test]
fn without_any_capability() {
    let nobody = nobody_with(CapabilitySet::empty());
    refused(nobody, &[], "grant CAP_PERFMON and CAP_BPF");
    refused(
        with_capabilities(CapabilitySet::empty()),
        &[],
        "run as root",
    );
}

#[test]
fn without_any_capability_a_check_says_what_is_missing() {
    let mut command = nobody_with(CapabilitySet::empty());
    command.args(["check", "--json"]);
    let _alone = common::alone();
    let output = output_of(command);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let missing = serde_json::json!(["CAP_PERFMON", "CAP_BPF"]);
    assert_eq!(found["capabilities"]["missing"], missing);
    assert_eq!(found["auto"], serde_json::Value::Null);
    for backend in found["backends"].as_array().unwrap() {
        assert_eq!(backend["works"], false);
        let why = backend["why"].as_str().unwrap();
        assert!(why.contains("grant CAP_PERFMON and CAP_BPF"), "{why}");
    }
}

#[test]
fn without_the_files_of_root() {
    match outcome(nobody_with(NEEDED), &[]) {
        Ok(log) => assert!(!log.contains("backend syscall"), "{log}"),
        Err(error) => {
            assert!(error.contains("CAP_DAC_READ_SEARCH"), "{error}");
            assert!(!has_sock_tracepoints(), "{error}");
        }
    }
}

#[test]
fn without_more_than_it_needs() {
    let paranoid = fs::read_to_string("/proc/sys/kernel/perf_event_paranoid").unwrap();
    let restricted = paranoid.trim().parse::<i32>().unwrap() > 2;
    for backend in ["auto", "syscall"] {
        match outcome(with_capabilities(NEEDED), &["--backend", backend]) {
            Ok(log) => assert!(says_how_it_counts(&log), "{log}"),
            Err(error) => {
                assert!(backend != "auto" || !has_sock_tracepoints(), "{error}");
                if !error.contains(PREEMPTED) {
                    assert!(restricted, "{error}");
                    let says = "set kernel.perf_event_paranoid to 2";
                    assert!(error.contains(says), "{error}");
                }
            }
        }
    }
}

/// As it was before there were finer ones, and still is for tracepoints on some distributions.
#[test]
fn without_any_but_cap_sys_admin() {
    let admin = CapabilitySet::SYS_ADMIN | CapabilitySet::SYS_RESOURCE;
    for backend in ["auto", "syscall"] {
        match outcome(with_capabilities(admin), &["--backend", backend]) {
            Ok(log) => assert!(says_how_it_counts(&log), "{log}"),
            Err(error) => assert!(backend == "syscall" && error.contains(PREEMPTED), "{error}"),
        }
    }
}

#[test]
fn without_the_first_user_namespace() {
    refused(in_user_namespace(), &[], "run in the host's user namespace");
}

#[test]
fn without_the_system_call() {
    refused(without_bpf_call(), &[], "let the seccomp filter");
}

/// It then says so, and counts with the rights that it has.
#[test]
fn without_leave_to_restrict_itself() {
    let log = outcome(without_self_restriction(), &["-v"]).unwrap();
    assert!(log.contains("all system calls remain"), "{log}");
    assert!(log.contains("keeps no capability"), "{log}");
    assert!(log.contains("no Landlock"), "{log}");
}

/// What the agent says of itself is not worth an end.
#[test]
fn without_a_way_to_count_connections() {
    let log = outcome(without_links(), &[]).unwrap();
    assert!(says_how_it_counts(&log), "{log}");
    let unknown = "how many connections there are will not be known";
    assert!(log.contains(unknown), "{log}");
}

/// Whether maps count as the memory of a control group, and not as locked memory: since Linux 5.11.
fn maps_count_as_memory() -> bool {
    let system = rustix::system::uname();
    let release = system.release().to_str().unwrap();
    let mut numbers = release.split('.').map(|n| n.parse::<u32>().unwrap_or(0));
    (numbers.next(), numbers.next()) >= (Some(5), Some(11))
}

#[test]
fn without_memory_for_the_maps() {
    const LIMIT: u64 = 128 << 20;
    let name = format!("http-stat-{}", std::process::id());
    let group = ControlGroup::with_memory(&name, LIMIT);
    // Four kinds of answers each, of 768 bytes: three times as much.
    match outcome(within(&group), &["--max-processes", "131072"]) {
        Ok(log) => assert!(!maps_count_as_memory() && says_how_it_counts(&log), "{log}"),
        Err(error) => {
            assert_eq!(
                error.matches("not enough memory for the maps").count(),
                1,
                "{error}"
            );
            assert!(error.contains("or lower --max-processes"), "{error}");
        }
    }
    let log = outcome(within(&group), &[]).unwrap();
    assert!(says_how_it_counts(&log), "{log}");
}

/// Detaching the programs would like threads, at the very end.
#[test]
fn without_more_threads() {
    let name = format!("http-stat-threads-{}", std::process::id());
    let group = ControlGroup::new("pids", &name);
    let _alone = common::alone();
    let mut agent = Agent::try_start(within(&group), &["-vv"]).unwrap();
    group.allow_no_more_threads();
    let (status, _) = agent.stop(Signal::TERM);
    let log = agent.log();
    assert!(status.success(), "{status}: {log}");
    let refused = log.matches("detached a program without a thread").count();
    assert!(refused > 1, "{log}");
    assert!(!log.contains("panicked"), "{log}");
}

#[test]
fn without_locked_memory() {
    let outcome = outcome(with_locked_memory(64 << 10), &[]);
    if maps_count_as_memory() {
        assert!(says_how_it_counts(&outcome.unwrap()));
    } else {
        let error = outcome.unwrap_err();
        assert!(error.contains("grant CAP_SYS_RESOURCE"), "{error}");
    }
}

/// Locked down or not, as the kernel was booted.
#[test]
fn without_leave_to_read_the_kernel() {
    let lockdown = fs::read_to_string("/sys/kernel/security/lockdown").unwrap_or_default();
    let outcome = outcome(AGENT.command(), &[]);
    if lockdown.contains("[confidentiality]") {
        let error = outcome.unwrap_err();
        assert!(error.contains("boot with lockdown=integrity"), "{error}");
    } else {
        assert!(says_how_it_counts(&outcome.unwrap()));
    }
}
