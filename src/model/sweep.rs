// SPDX-License-Identifier: Apache-2.0
//! Processes whose exit the kernel's programs were not told of, as the kernel skips one that is still running on that CPU (Linux 7).
//! They would stay listed for ever. So what is listed is compared with what lives.

use std::ops::Bound::{self, Excluded, Unbounded};
use std::time::{Duration, Instant};

use crate::model::counters::ProcessId;
use crate::model::tracker::Tracker;

/// From the begin of one round through all processes to that of the next.
const INTERVAL: Duration = Duration::from_secs(10);
/// Processes that are looked at in one tick.
const AT_ONCE: usize = 64;

/// Where the round has got to.
#[derive(Default)]
pub struct Sweep {
    begun: Option<Instant>,
    /// The last one that was looked at, while there are more.
    latest: Option<ProcessId>,
}

impl Sweep {
    /// Looks at some of the living, and returns those that are gone: the counters that are read next are their last.
    pub fn look(
        &mut self,
        tracker: &Tracker,
        now: Instant,
        is_gone: impl Fn(ProcessId) -> bool,
    ) -> Vec<ProcessId> {
        let mut gone = self.next(now, |from| tracker.living(from));
        gone.retain(|id| is_gone(*id));
        for id in &gone {
            log::debug!("the exit of process {} was not seen", id.pid);
        }
        gone
    }

    /// Those to look at now.
    fn next<I>(
        &mut self,
        now: Instant,
        living: impl FnOnce(Bound<ProcessId>) -> I,
    ) -> Vec<ProcessId>
    where
        I: Iterator<Item = ProcessId>,
    {
        let is_new = |begun| now.saturating_duration_since(begun) < INTERVAL;
        let from = match self.latest {
            Some(latest) => Excluded(latest),
            None if self.begun.is_some_and(is_new) => return Vec::new(),
            None => {
                self.begun = Some(now);
                Unbounded
            }
        };
        let next: Vec<_> = living(from).take(AT_ONCE).collect();
        let is_full = next.len() == AT_ONCE;
        self.latest = next.last().copied().filter(|_| is_full);
        next
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::sync::Arc;
    use std::time::SystemTime;

    use crate::model::counters::{Harvest, ProcessGrowth};
    use crate::model::increment::Increment;
    use crate::model::snapshot::AgentState;
    use crate::model::tick::Moment;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn processes(pids: impl IntoIterator<Item = u32>, start: Instant) -> Tracker {
        let now = Moment {
            instant: start,
            date: SystemTime::now(),
        };
        let growth = |pid| ProcessGrowth {
            id: ProcessId {
                pid,
                start_time: 1000 - u64::from(pid),
            },
            workload: Arc::default(),
            increment: Increment {
                requests: 1,
                series: Vec::new(),
                ..Increment::default()
            },
            ended: false,
        };
        let harvest = Harvest {
            processes: pids.into_iter().map(growth).collect(),
            ..Harvest::default()
        };
        let mut tracker = Tracker::new(now);
        tracker.tick(harvest, &[], AgentState::default(), now);
        tracker
    }

    #[test]
    fn who_is_gone_is_found_when_it_is_time() {
        let mut sweep = Sweep::default();
        let start = Instant::now();
        let tracker = processes([7, 8], start);
        let mut look = |seconds: u32, gone: &[u32]| {
            let is_gone = |id: ProcessId| gone.contains(&id.pid);
            let gone = sweep.look(&tracker, start + seconds * SECOND, is_gone);
            gone.into_iter().map(|id| id.pid).collect::<Vec<_>>()
        };
        assert_eq!(look(0, &[]), [0; 0]);
        assert_eq!(look(1, &[8]), [0; 0]);
        assert_eq!(look(9, &[8]), [0; 0]);
        assert_eq!(look(10, &[8]), [8]);
    }

    #[test]
    fn a_round_is_over_many_ticks_and_each_is_looked_at_once() {
        let mut sweep = Sweep::default();
        let start = Instant::now();
        let all = 2 * AT_ONCE + 3;
        let count = all as u32;
        let tracker = processes(1..=count, start);
        let seen = RefCell::new(Vec::new());
        let mut tick = |seconds: u32| {
            let look = |id: ProcessId| {
                seen.borrow_mut().push(id.pid);
                false
            };
            sweep.look(&tracker, start + seconds * SECOND, look);
            seen.borrow().len()
        };
        let looked_at: Vec<_> = (0..10).map(&mut tick).collect();
        assert_eq!(looked_at[..4], [AT_ONCE, 2 * AT_ONCE, all, all]);
        assert_eq!(looked_at[9], all);
        assert_eq!(tick(10), all + AT_ONCE);
        let mut first: Vec<_> = seen.borrow()[..all].to_vec();
        first.sort_unstable();
        assert!(first.into_iter().eq(1..=count));
    }
}
