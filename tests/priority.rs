// SPDX-License-Identifier: Apache-2.0
//! The agent takes real-time priority while it works on maps, lest it be preempted there. As long as it has that, nothing else
//! runs on its CPU: it is to do nothing but that meanwhile.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::agent::{Agent, Program};
use libc::c_long;

const AGENT: Program = common::agent!();

const TRACING: &str = "/sys/kernel/tracing/instances";
/// So that counters are read, and open files walked, more than once.
const WATCHED: Duration = Duration::from_secs(5);
/// What has to be done under real-time priority, and what an allocator does for it.
const ALLOWED: [c_long; 5] = [
    libc::SYS_bpf,
    libc::SYS_brk,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_madvise,
];
/// In a row without a moment for others.
const MOST: usize = 64;

#[test]
fn is_real_time_only_while_it_works_on_maps() {
    let agent = match Agent::try_start(AGENT.command(), &["--backend", "syscall"]) {
        Ok(agent) => agent,
        Err(error) => {
            println!("NOT RUN: {error}");
            return;
        }
    };
    let trace = Trace::of(agent.pid());
    let start = Instant::now();
    while start.elapsed() < WATCHED {
        agent.report();
        sleep(Duration::from_millis(100));
    }
    let calls = trace.calls();
    drop(trace);

    let mut urgent: BTreeMap<u32, Vec<c_long>> = BTreeMap::new();
    let mut times = 0;
    let mut reads_files = false;
    for (thread, call, policy) in calls {
        if call == libc::SYS_sched_setscheduler {
            let is_real_time = policy == i64::from(libc::SCHED_FIFO);
            match urgent.remove(&thread) {
                None if is_real_time => drop(urgent.insert(thread, Vec::new())),
                Some(within) if !is_real_time => {
                    times += usize::from(within.contains(&libc::SYS_bpf));
                }
                other => panic!("from {other:?} to policy {policy}"),
            }
        } else if let Some(within) = urgent.get_mut(&thread) {
            within.push(call);
            assert!(ALLOWED.contains(&call), "system calls {within:?}");
            assert!(within.len() <= MOST, "system calls {within:?}");
        } else {
            reads_files |= call == libc::SYS_read;
        }
    }
    assert!(times > 1, "never real-time");
    assert!(reads_files, "nothing else was seen");
}

/// The system calls of the threads that a process has, in the kernel's own words. Ends when dropped.
struct Trace(PathBuf);

impl Trace {
    fn of(pid: u32) -> Self {
        let folder = Path::new(TRACING).join(format!("http-stat-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let trace = Self(folder);
        let threads: Vec<_> = fs::read_dir(format!("/proc/{pid}/task"))
            .unwrap()
            .map(|thread| thread.unwrap().file_name().into_string().unwrap())
            .collect();
        // The order is that in which they happened, whichever CPU they happened on.
        trace.write("trace_clock", "mono");
        trace.write("set_event_pid", &threads.join(" "));
        trace.write("events/raw_syscalls/sys_enter/enable", "1");
        trace
    }

    fn write(&self, file: &str, value: &str) {
        fs::write(self.0.join(file), value).unwrap();
    }

    /// The thread, the system call and its second argument.
    fn calls(&self) -> Vec<(u32, c_long, i64)> {
        self.write("events/raw_syscalls/sys_enter/enable", "0");
        let text = fs::read_to_string(self.0.join("trace")).unwrap();
        assert!(!text.contains("LOST"), "the kernel's buffer is too small");
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines
            .map(|line| parse(line).unwrap_or_else(|| panic!("{line}")))
            .collect()
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        // Where that fails, nothing can be done about it.
        let _ = fs::remove_dir(&self.0);
    }
}

/// `name-thread [cpu] flags time: sys_enter: NR call (first, second, …)`
fn parse(line: &str) -> Option<(u32, c_long, i64)> {
    let (task, rest) = line.split_once(" [")?;
    let (_, thread) = task.trim_end().rsplit_once('-')?;
    let (call, arguments) = rest.split_once(" NR ")?.1.split_once(" (")?;
    let second = arguments.split(", ").nth(1)?;
    let second = u64::from_str_radix(second, 16).ok()?;
    Some((
        thread.parse().ok()?,
        call.parse().ok()?,
        second.cast_signed(),
    ))
}
