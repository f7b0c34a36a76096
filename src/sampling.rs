// SPDX-License-Identifier: Apache-2.0
//! One tick after the other: a harvest becomes a snapshot, and what has exited is forgotten. Where that fails it is counted, and the
//! snapshot before stays.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use tokio::sync::mpsc as queue;
use tokio::sync::watch;

use crate::identity::life::Lives;
use crate::kernel::load::Bpf;
use crate::model::counters::{Harvest, ProcessId};
use crate::model::selection::Selecting;
use crate::model::snapshot::{AgentState, Snapshot};
use crate::model::sweep::Sweep;
use crate::model::tick::Moment;
use crate::model::tracker::Tracker;

/// Snapshots that wait for one who is busy; they are dropped beyond that.
pub const BEHIND: usize = 4;

/// How often the counters could not be read. It is known while there is no new snapshot, too.
#[derive(Clone, Debug, Default)]
pub struct Failures(Arc<AtomicU64>);

impl Failures {
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Where counters are read, which is the kernel but in tests.
pub trait Counters {
    fn harvest(&mut self) -> Result<Harvest>;
    fn forget(&mut self, ids: &[ProcessId]) -> Result<()>;
}

impl Counters for Bpf<'_> {
    fn harvest(&mut self) -> Result<Harvest> {
        self.harvest()
    }

    fn forget(&mut self, ids: &[ProcessId]) -> Result<()> {
        self.forget(ids)
    }
}

/// What goes on from tick to tick.
pub struct Sampling<C> {
    pub counters: C,
    pub tracker: Tracker,
    pub sweep: Sweep,
    /// Processes whose counters are read for the last time next.
    pub gone: Vec<ProcessId>,
    /// Those that the kernel is to forget.
    pub ended: Vec<ProcessId>,
    pub lives: Option<Lives>,
    pub publisher: watch::Sender<Arc<Snapshot>>,
    pub each: queue::Sender<Arc<Snapshot>>,
    pub failures: Failures,
    /// Whether that was said already.
    pub failing: bool,
    pub selecting: Selecting,
    /// Requests that are not shown.
    pub left_out: u64,
}

impl<C: Counters> Sampling<C> {
    pub fn tick(&mut self, now: Moment) {
        match self.sample(now) {
            Ok(()) => self.failing = false,
            Err(error) => {
                self.failures.add();
                if self.failing {
                    log::debug!("the counters are still out of reach: {error:#}");
                } else {
                    log::warn!("the counters are out of reach, trying again: {error:#}");
                }
                self.failing = true;
            }
        }
    }

    /// After a failure the next rates are over the whole time since the last success.
    fn sample(&mut self, now: Moment) -> Result<()> {
        let harvest = self.counters.harvest()?;
        let gone = std::mem::take(&mut self.gone);
        self.left_out += self.selecting.selection.left_out(&harvest);
        let agent = agent_state(self.left_out);
        let (mut snapshot, ended) = self.tracker.tick(harvest, &gone, agent, now);
        // What is left out is known all the same, so that the kernel's side of it comes to its end.
        self.selecting.select(&mut snapshot);
        if let Some(lives) = &self.lives {
            let is_gone = |id| lives.is_gone(id);
            self.gone = self.sweep.look(&self.tracker, now.instant, is_gone);
        }
        if snapshot.missed != self.publisher.borrow().missed {
            log::debug!("missed so far: {:?}", snapshot.missed);
        }
        let snapshot = Arc::new(snapshot);
        if self.each.try_send(Arc::clone(&snapshot)).is_err() {
            log::debug!("nobody has taken the last {BEHIND} snapshots");
        }
        self.publisher.send_replace(snapshot);
        self.ended.extend(ended);
        self.counters.forget(&self.ended)?;
        self.ended.clear();
        Ok(())
    }
}

pub fn agent_state(left_out: u64) -> AgentState {
    AgentState {
        left_out,
        resident_bytes: resident_bytes(),
    }
}

fn resident_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::VecDeque;
    use std::time::{Duration, Instant, SystemTime};

    use anyhow::bail;

    use crate::model::counters::ProcessGrowth;
    use crate::model::increment::Increment;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Answers as told, and remembers what it should forget.
    #[derive(Default)]
    struct Fake {
        /// New requests of one process; `None` fails.
        harvests: RefCell<VecDeque<Option<u64>>>,
        forgotten: RefCell<Vec<ProcessId>>,
    }

    impl Counters for Fake {
        fn harvest(&mut self) -> Result<Harvest> {
            let Some(Some(requests)) = self.harvests.borrow_mut().pop_front() else {
                bail!("out of reach");
            };
            let process = ProcessGrowth {
                // No kernel gives out such a pid.
                id: ProcessId {
                    pid: i32::MAX.cast_unsigned(),
                    start_time: 1,
                },
                workload: Arc::default(),
                increment: Increment {
                    requests,
                    series: Vec::new(),
                    ..Increment::default()
                },
                ended: false,
            };
            Ok(Harvest {
                processes: vec![process],
                ..Harvest::default()
            })
        }

        fn forget(&mut self, ids: &[ProcessId]) -> Result<()> {
            self.forgotten.borrow_mut().extend(ids);
            Ok(())
        }
    }

    /// A tick for each harvest, a second apart. Returns the snapshot that was the latest after each, and how often it had failed.
    fn ticks(
        harvests: &[Option<u64>],
        lives: Option<Lives>,
    ) -> (Vec<(Arc<Snapshot>, u64)>, Vec<ProcessId>) {
        let start = Moment {
            instant: Instant::now(),
            date: SystemTime::now(),
        };
        let mut tracker = Tracker::new(start);
        let (first, _) = tracker.tick(Harvest::default(), &[], AgentState::default(), start);
        let (publisher, snapshots) = watch::channel(Arc::new(first));
        let (each, _every) = queue::channel(BEHIND);
        let mut sampling = Sampling {
            counters: Fake::default(),
            tracker,
            sweep: Sweep::default(),
            gone: Vec::new(),
            ended: Vec::new(),
            lives,
            publisher,
            each,
            failures: Failures::default(),
            failing: false,
            selecting: Selecting::default(),
            left_out: 0,
        };
        sampling.counters.harvests = RefCell::new(harvests.iter().copied().collect());
        let seen = (1..).zip(harvests).map(|(second, _)| {
            sampling.tick(Moment {
                instant: start.instant + second * SECOND,
                date: start.date + second * SECOND,
            });
            (Arc::clone(&snapshots.borrow()), sampling.failures.count())
        });
        let seen = seen.collect();
        (seen, sampling.counters.forgotten.take())
    }

    #[test]
    fn failures_are_counted_and_the_next_rate_is_over_all_of_the_time() {
        let harvests = [Some(10), None, None, None, Some(40)];
        let (seen, _) = ticks(&harvests, None);
        let failures: Vec<_> = seen.iter().map(|(_, failures)| *failures).collect();
        assert_eq!(failures, [0, 1, 2, 3, 3]);
        // The old one stays, and so does the moment that it says it is of.
        assert!(Arc::ptr_eq(&seen[0].0, &seen[3].0));
        let (before, after) = (&seen[0].0, &seen[4].0);
        assert_eq!(after.taken - before.taken, 4 * SECOND);
        assert_eq!(after.elapsed, 4 * SECOND);
        let rates = &after.processes[0].requests_per_second;
        assert_eq!(rates.values.last(), Some(&10.0));
    }

    #[test]
    fn a_process_that_is_gone_unseen_is_forgotten_after_one_more_harvest() {
        let lives = Lives::seen_from_here().expect("the tests run in the host's namespaces");
        let harvests = [Some(10), Some(3)];
        let (seen, forgotten) = ticks(&harvests, Some(lives));
        let exited = seen.iter().map(|(it, _)| it.processes[0].exited);
        assert_eq!(exited.collect::<Vec<_>>(), [false, true]);
        assert_eq!(seen[1].0.processes[0].totals.requests, 13);
        assert_eq!(forgotten.len(), 1);

        let (seen, forgotten) = ticks(&harvests, None);
        assert!(seen.iter().all(|(it, _)| !it.processes[0].exited));
        assert_eq!(forgotten, []);
    }
}
