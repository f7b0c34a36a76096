// SPDX-License-Identifier: Apache-2.0
//! Processes whose exit the kernel's programs were not told of, as the kernel skips one that is still running on that CPU (Linux 7).
//! They would stay listed for ever. So what is listed is compared with what lives.

use std::collections::BTreeSet;
use std::ops::Bound::{Excluded, Unbounded};
use std::time::{Duration, Instant};

use crate::model::counters::{ProcessCounters, ProcessId};

/// From the begin of one round through all processes to that of the next.
const INTERVAL: Duration = Duration::from_secs(10);
/// Processes that are looked at in one tick.
const AT_ONCE: usize = 128;

/// Where the round has got to, and what it has found.
#[derive(Default)]
pub struct Sweep {
    begun: Option<Instant>,
    /// The last one that was looked at, while there are more.
    latest: Option<ProcessId>,
    gone: BTreeSet<ProcessId>,
}

impl Sweep {
    /// Marks as exited what was found to be gone before these counters were read, so that they are the last ones. Then it looks at
    /// some more.
    pub fn tick(
        &mut self,
        processes: &mut [ProcessCounters],
        now: Instant,
        is_gone: impl Fn(ProcessId) -> bool,
    ) {
        let mut present = BTreeSet::new();
        let mut alive = BTreeSet::new();
        for process in processes {
            present.insert(process.id);
            process.exited |= self.gone.contains(&process.id);
            if !process.exited {
                alive.insert(process.id);
            }
        }
        self.gone.retain(|id| present.contains(id));
        for id in self.next(&alive, now) {
            if is_gone(id) {
                log::debug!("the exit of process {} was not seen", id.pid);
                self.gone.insert(id);
            }
        }
    }

    /// Those to look at now.
    fn next(&mut self, alive: &BTreeSet<ProcessId>, now: Instant) -> Vec<ProcessId> {
        let is_new = |begun| now.saturating_duration_since(begun) < INTERVAL;
        let from = match self.latest {
            Some(latest) => Excluded(latest),
            None if self.begun.is_some_and(is_new) => return Vec::new(),
            None => {
                self.begun = Some(now);
                Unbounded
            }
        };
        let next = alive.range((from, Unbounded)).take(AT_ONCE).copied();
        let next: Vec<_> = next.collect();
        let is_full = next.len() == AT_ONCE;
        self.latest = next.last().copied().filter(|_| is_full);
        next
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn process(pid: u32) -> ProcessCounters {
        ProcessCounters {
            id: ProcessId {
                pid,
                start_time: 1000 - u64::from(pid),
            },
            comm: "server".to_owned(),
            executable: String::new(),
            cgroup: String::new(),
            requests: 1,
            series: BTreeMap::new(),
            exited: false,
        }
    }

    fn exited(processes: &[ProcessCounters]) -> Vec<u32> {
        let exited = processes.iter().filter(|process| process.exited);
        exited.map(|process| process.id.pid).collect()
    }

    #[test]
    fn what_is_found_to_be_gone_has_its_last_counts_in_the_next_harvest() {
        let mut sweep = Sweep::default();
        let start = Instant::now();
        let mut tick = |seconds: u32, gone: &[u32]| {
            let mut processes = [process(7), process(8)];
            let is_gone = |id: ProcessId| gone.contains(&id.pid);
            sweep.tick(&mut processes, start + seconds * SECOND, is_gone);
            exited(&processes)
        };
        assert_eq!(tick(0, &[]), [0; 0]);
        // It is not looked at again until it is time.
        assert_eq!(tick(1, &[8]), [0; 0]);
        assert_eq!(tick(9, &[8]), [0; 0]);
        assert_eq!(tick(10, &[8]), [0; 0]);
        assert_eq!(tick(11, &[]), [8]);
        // As long as the kernel keeps it, it does not come back.
        assert_eq!(tick(12, &[]), [8]);
        assert_eq!(tick(20, &[]), [8]);
    }

    #[test]
    fn a_round_is_over_many_ticks_and_each_is_looked_at_once() {
        let mut sweep = Sweep::default();
        let start = Instant::now();
        let count = 2 * AT_ONCE as u32 + 3;
        let seen = RefCell::new(Vec::new());
        let mut tick = |seconds: u32| {
            let mut processes: Vec<_> = (1..=count).map(process).collect();
            let look = |id: ProcessId| {
                seen.borrow_mut().push(id.pid);
                false
            };
            sweep.tick(&mut processes, start + seconds * SECOND, look);
            seen.borrow().len()
        };
        let looked_at: Vec<_> = (0..10).map(&mut tick).collect();
        assert_eq!(looked_at[..4], [AT_ONCE, 2 * AT_ONCE, 259, 259]);
        assert_eq!(looked_at[9], 259);
        assert_eq!(tick(10), 259 + AT_ONCE);
        let mut first: Vec<_> = seen.borrow()[..259].to_vec();
        first.sort_unstable();
        assert!(first.into_iter().eq(1..=count));
    }

    #[test]
    fn those_that_have_exited_are_not_looked_at_and_those_that_left_are_forgotten() {
        let mut sweep = Sweep::default();
        let start = Instant::now();
        let gone = |_| true;
        let mut processes = [process(7), process(8)];
        processes[1].exited = true;
        sweep.tick(&mut processes, start, gone);
        assert_eq!(sweep.gone.len(), 1);
        sweep.tick(&mut [], start + SECOND, gone);
        assert_eq!(sweep.gone.len(), 0);
    }
}
