// SPDX-License-Identifier: Apache-2.0
//! Whether a process still lives.

use std::fs::{self, File};
use std::io::{self, Read};

use rustix::io::Errno;
use rustix::param::clock_ticks_per_second;
use rustix::process::{Pid, test_kill_process};

use crate::identity::namespace::FIRST_PID_NAMESPACE;
use crate::model::counters::ProcessId;

/// Namespaces in which pids and start times are those that the kernel has counted by. Their numbers are part of the kernel's
/// interface (`linux/nsfs.h`).
const INITIAL: [(&str, &str); 2] = [
    ("/proc/self/ns/pid", FIRST_PID_NAMESPACE),
    ("/proc/self/ns/time", "time:[4026531834]"),
];

/// 52 numbers, of at most 20 digits, and a name.
const LONGEST_STAT: usize = 2048;

/// Asks the kernel about processes.
pub struct Lives(());

impl Lives {
    /// `None` where the agent sees other numbers than the kernel's, and so cannot say of any process that it is gone.
    pub fn seen_from_here() -> Option<Self> {
        let is_initial = |(path, name): (&str, &str)| match fs::read_link(path) {
            Ok(link) => link.to_str() == Some(name),
            // Before Linux 5.6 there was but one time.
            Err(_) => path.ends_with("time") && fs::exists("/proc/self/ns").unwrap_or(false),
        };
        INITIAL.into_iter().all(is_initial).then_some(Self(()))
    }

    /// For the question itself no namespace is needed.
    #[cfg(test)]
    pub fn assumed() -> Self {
        Self(())
    }

    /// Whether it is certain that the process is gone.
    pub fn is_gone(&self, id: ProcessId) -> bool {
        let Some(pid) = Pid::from_raw(id.pid.cast_signed()) else {
            return false;
        };
        if test_kill_process(pid) == Err(Errno::SRCH) {
            return true;
        }
        // That there is no such file may also mean that `/proc` hides what others own.
        stat_of(id.pid).is_ok_and(|stat| {
            let stat = String::from_utf8_lossy(&stat);
            is_other(&stat, id.start_time, clock_ticks_per_second())
        })
    }
}

/// By one read, which gives all of such a file: as many are asked for each second, and its size is not known before.
fn stat_of(pid: u32) -> io::Result<Vec<u8>> {
    let mut stat = vec![0; LONGEST_STAT];
    let read = File::open(format!("/proc/{pid}/stat"))?.read(&mut stat)?;
    stat.truncate(read);
    Ok(stat)
}

/// Whether this is of another process with the same pid, or of what is left of one until its parent asks for it.
fn is_other(stat: &str, start_time: u64, ticks_per_second: u64) -> bool {
    // The name, in parentheses, may have anything in it.
    let Some((_, fields)) = stat.rsplit_once(')') else {
        return false;
    };
    let fields: Vec<_> = fields.split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    let (Some(threads), Some(ticks)) = (number(17), number(19)) else {
        return false;
    };
    let is_left_over = matches!(fields[0], "Z" | "X") && threads <= 1;
    let start_ticks = start_time / (1_000_000_000 / ticks_per_second.max(1)).max(1);
    is_left_over || ticks.abs_diff(start_ticks) > 1
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn stat(state: &str, threads: u32, ticks: u64) -> String {
        format!(
            "7 (a) b (c)) {state} 1 7 7 0 -1 4194560 109 0 0 0 0 0 0 0 20 0 {threads} 0 {ticks} 2977792 217 1\n"
        )
    }

    #[test]
    fn a_process_is_told_by_its_start_and_a_tick_does_not_matter() {
        let start_time = 12_345_678_901;
        let other = |stat: &str| is_other(stat, start_time, 100);
        for ticks in [1233, 1234, 1235] {
            assert!(!other(&stat("S", 1, ticks)), "{ticks}");
        }
        for ticks in [0, 1232, 1236, 99_999] {
            assert!(other(&stat("S", 1, ticks)), "{ticks}");
        }
    }

    #[test]
    fn what_waits_for_its_parent_is_gone_unless_threads_of_it_go_on() {
        let other = |stat: &str| is_other(stat, 0, 100);
        assert!(other(&stat("Z", 1, 0)));
        assert!(!other(&stat("Z", 2, 0)));
        assert!(!other(&stat("R", 1, 0)));
    }

    #[test]
    fn what_cannot_be_read_says_nothing() {
        for text in ["", "7 (a", "7 (a) S 1 2", "7 (a) Z"] {
            assert!(!is_other(text, 0, 100), "{text}");
        }
    }

    /// As the kernel has it, but for what is lost in a tick.
    fn started(pid: u32) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let (_, fields) = stat.rsplit_once(')').unwrap();
        let ticks: u64 = fields.split_whitespace().nth(19).unwrap().parse().unwrap();
        ticks * 1_000_000_000 / clock_ticks_per_second()
    }

    #[test]
    fn the_living_the_dead_and_the_reused() {
        let lives = Lives::assumed();
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let id = ProcessId {
            pid: child.id(),
            start_time: started(child.id()),
        };
        assert!(!lives.is_gone(id));
        let earlier = ProcessId {
            start_time: id.start_time - 50_000_000,
            ..id
        };
        assert!(lives.is_gone(earlier));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(lives.is_gone(id));
    }
}
