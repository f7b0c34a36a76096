// SPDX-License-Identifier: Apache-2.0
//! Who a process is, for processes that `/proc` is too late for, closed, or another one's.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;

use common::agent::{Agent, Program, folder};
use common::cgroup::ControlGroup;
use common::homemade::{Homemade, Kind};
use common::process::eventually;
use common::web::{self, sample, text};
use nix::libc;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, fork};
use rustix::thread::{CapabilitySet, remove_capability_from_bounding_set};
use tempfile::TempDir;

const AGENT: Program = common::agent!();

const REQUESTS: &str = "http_server_requests_total";

mod reader {
    #[test]
    #[ignore = "the entry of the servers that other tests start"]
    fn serves() {
        common::homemade::serve();
    }
}

/// A server that has a process for each connection, which ends with it, by the name of this test program.
fn forking(group: &ControlGroup) -> Homemade {
    Homemade::start_as(Kind::Forking, &own_name(), 0, Some(group))
}

/// The name of this test program, which is longer than those that the kernel has of processes.
fn own_name() -> String {
    let own = std::env::current_exe().unwrap();
    let name = own.file_name().unwrap().to_str().unwrap().to_owned();
    assert!(name.len() > 15, "{name}");
    name
}

fn random_id() -> String {
    (0..64).map(|_| fastrand::digit(16)).collect()
}

/// The labels and the requests of all workloads that are asked on this port.
fn asked_on(metrics: &str, port: u16) -> Vec<(String, f64)> {
    let port = format!(",server_port=\"{port}\"");
    let rows = metrics.lines().filter_map(|line| {
        let row = line.strip_prefix(REQUESTS)?.strip_prefix('{')?;
        let (labels, value) = row.split_once("} ")?;
        Some((
            labels.strip_suffix(&port)?.to_owned(),
            value.parse().unwrap(),
        ))
    });
    rows.collect()
}

/// How many requests may not have been counted since the kernel skipped a program, as it does on Linux 7.
fn skipped(metrics: &str) -> usize {
    let label = ["reason=\"recursion\""];
    sample(metrics, "scope_http_missed_total", &label).unwrap() as usize
}

/// Asserts that all of so many processes count under these labels, however short they live.
fn assert_each_has(metrics: SocketAddr, server: &Homemade, processes: usize, labels: &str) {
    let before = skipped(&text(metrics, "/metrics"));
    for pid in server.ask(processes as u64) {
        assert_ne!(u64::from(pid), server.pid());
    }
    let expected = format!("process_executable_name=\"{}\"{labels}", own_name());
    let mut rows = Vec::new();
    let all = |rows: &[(String, f64)]| rows.iter().map(|(_, requests)| requests).sum::<f64>();
    eventually(true, || {
        let metrics = text(metrics, "/metrics");
        rows = asked_on(&metrics, server.port());
        all(&rows) as usize + skipped(&metrics) - before >= processes
    });
    assert_eq!(rows, [(expected, all(&rows))]);
}

fn processes_that_live_for_one_request(backend: &'static str) {
    let id = random_id();
    let group = ControlGroup::of_version_2(&format!("docker/{id}"));
    let (_agent, metrics) = web::start_by_workload(AGENT, &["--backend", backend]);
    let server = forking(&group);
    assert_each_has(metrics, &server, 20, &format!(",container_id=\"{id}\""));
}

common::by_backend!(processes_that_live_for_one_request);

/// A hierarchy of version 1 for the test alone.
struct Hierarchy(TempDir);

impl Hierarchy {
    /// `None` where the kernel has it no longer.
    fn mount() -> Option<Self> {
        let folder = folder();
        let flags = MsFlags::empty();
        mount(
            Some("test"),
            folder.path(),
            Some("cgroup"),
            flags,
            Some("freezer"),
        )
        .ok()?;
        Some(Self(folder))
    }
}

impl Drop for Hierarchy {
    fn drop(&mut self) {
        let _ = umount2(self.0.path(), MntFlags::MNT_DETACH);
    }
}

#[test]
fn groups_of_version_1() {
    let id = random_id();
    let name = format!("docker/{id}");
    let mounted = ControlGroup::of_version_1("pids", &name);
    let own = if mounted.is_none() {
        Hierarchy::mount()
    } else {
        None
    };
    let made = own
        .as_ref()
        .map(|own| ControlGroup::below(own.0.path(), &name));
    let Some(group) = mounted.or(made) else {
        eprintln!("skipped: no hierarchy of version 1 can be had");
        return;
    };
    // Where the runtime was started.
    let service = ControlGroup::of_version_2("http-test.slice/http-runtime.service");
    let (_agent, metrics) = web::start_by_workload(AGENT, &[]);
    let server = forking(&service);
    fs::write(group.members(), server.pid().to_string()).unwrap();
    assert_each_has(metrics, &server, 20, &format!(",container_id=\"{id}\""));
}

#[test]
fn pods_and_units_have_labels() {
    let (_agent, metrics) = web::start_by_workload(AGENT, &[]);
    let uid = "1b0cd7b2-6d6a-4d0c-8b0e-6a6f3f1b2f4e";
    let id = random_id();
    let in_slice = uid.replace('-', "_");
    for (path, labels) in [
        (
            format!(
                "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{in_slice}.slice/cri-containerd-{id}.scope"
            ),
            format!(",container_id=\"{id}\",k8s_pod_uid=\"{uid}\""),
        ),
        (
            "system.slice/http-test.service/payload".to_owned(),
            ",systemd_unit_name=\"http-test.service\"".to_owned(),
        ),
        // Whoever gave the group its name, it was no runtime of containers.
        (format!("http-jobs/{id}"), String::new()),
    ] {
        let group = ControlGroup::of_version_2(&path);
        let server = forking(&group);
        assert_each_has(metrics, &server, 1, &labels);
    }
}

/// As every installation of `deploy/` has it.
#[test]
fn the_name_needs_no_right_to_trace_processes() {
    let mut command = AGENT.command();
    // SAFETY: it makes a system call, and allocates nothing.
    unsafe {
        command.pre_exec(|| {
            Ok(remove_capability_from_bounding_set(
                CapabilitySet::SYS_PTRACE,
            )?)
        });
    }
    let agent = Agent::try_start(command, &["--listen", "127.0.0.1:0"]).unwrap();
    let group = ControlGroup::of_version_2("http-untraced");
    let server = forking(&group);
    assert_each_has(web::address(&agent), &server, 1, "");
}

/// Goes on as the first process of a pid namespace, which ends with the process that called this.
fn enter_pid_namespace() -> std::io::Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    unshare(CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNS)?;
    // SAFETY: the caller is between fork and exec, and so has one thread.
    if let ForkResult::Parent { child } = unsafe { fork() }? {
        // SAFETY: nobody uses the descriptors of this process any more. Who started it waits for one to be closed.
        unsafe { libc::close_range(3, libc::c_uint::MAX, 0) };
        let _ = waitpid(child, None);
        // SAFETY: it ends the process, and does nothing else.
        unsafe { libc::_exit(0) };
    }
    let none: Option<&str> = None;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(none, "/", none, private, none)?;
    mount(Some("proc"), "/proc", Some("proc"), MsFlags::empty(), none)?;
    Ok(())
}

#[test]
fn in_a_pid_namespace_the_host_s_pids_have_their_own_names() {
    let mut command = AGENT.command();
    // SAFETY: it makes system calls, and allocates nothing.
    unsafe { command.pre_exec(enter_pid_namespace) };
    let agent = Agent::try_start(command, &["--listen", "127.0.0.1:0"]).unwrap();
    let log = agent.log();
    let words = "in a pid namespace of its own: the pids shown are those of the host";
    assert!(log.contains(words), "{log}");
    let id = random_id();
    let group = ControlGroup::of_version_2(&format!("docker/{id}"));
    let server = forking(&group);
    assert_each_has(
        web::address(&agent),
        &server,
        20,
        &format!(",container_id=\"{id}\""),
    );

    let (agent, _) = web::start_by_workload(AGENT, &[]);
    assert!(!agent.log().contains("pid namespace"), "{}", agent.log());
}
