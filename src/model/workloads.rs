// SPDX-License-Identifier: Apache-2.0
//! All workloads from one tick to the next: what their processes have counted, and what the kernel has for them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::model::counters::WorkloadGrowth;
use crate::model::increment::{Increment, Totals};
use crate::model::pace::Pace;
use crate::model::snapshot::WorkloadSnapshot;
use crate::model::tick::Tick;
use crate::model::workload::Workload;

/// How long one stays that has no process and counts nothing. It has to outlast the kernel's entry, and a scraper that is
/// away for some minutes.
const KEPT: Duration = Duration::from_secs(600);

/// More than a host runs at the same time.
const MOST: usize = 10_000;

struct Tracked {
    /// What has come since the last tick, by kind: its processes may be many.
    increment: Increment,
    totals: Totals,
    pace: Pace,
    rest: Totals,
    unlisted: u64,
    processes: usize,
    since: Instant,
    /// When it has last changed.
    latest: Instant,
    /// Of the last tick, if another one would say the same.
    snapshot: Option<Arc<WorkloadSnapshot>>,
}

impl Tracked {
    fn new(joined: bool, now: Instant) -> Self {
        Self {
            increment: Increment::default(),
            totals: Totals::default(),
            pace: Pace::beginning(joined),
            rest: Totals::default(),
            unlisted: 0,
            processes: 0,
            since: now,
            latest: now,
            snapshot: None,
        }
    }

    fn tick(&mut self, tick: &Tick, now: Instant) {
        if self.increment.is_empty() && self.pace.is_settled() {
            return;
        }
        self.totals.add(&self.increment, now);
        self.pace.tick(&self.increment, tick);
        self.snapshot = None;
    }
}

#[derive(Default)]
pub struct Workloads {
    /// Whether there was a first tick: what is seen in that may have been busy before.
    began: bool,
    all: BTreeMap<Arc<Workload>, Tracked>,
}

impl Workloads {
    fn changed(&mut self, workload: &Arc<Workload>, now: Instant) -> &mut Tracked {
        let tracked = self
            .all
            .entry(Arc::clone(workload))
            .or_insert_with(|| Tracked::new(!self.began, now));
        tracked.latest = now;
        tracked.snapshot = None;
        tracked
    }

    /// By what its processes have counted.
    pub fn grow(&mut self, workload: &Arc<Workload>, increment: &Increment, now: Instant) {
        self.changed(workload, now).increment.add(increment);
    }

    /// By what the kernel has counted for it, of no process that is known.
    pub fn grow_itself(&mut self, growth: &WorkloadGrowth, now: Instant) {
        let tracked = self.changed(&growth.workload, now);
        tracked.increment.add(&growth.increment);
        tracked.rest.add(&growth.increment, now);
        tracked.unlisted += growth.unlisted;
    }

    pub fn begin_process(&mut self, workload: &Arc<Workload>, now: Instant) {
        self.changed(workload, now).processes += 1;
    }

    pub fn end_process(&mut self, workload: &Arc<Workload>, now: Instant) {
        let tracked = self.changed(workload, now);
        tracked.processes = tracked.processes.saturating_sub(1);
    }

    /// Has those make room that have been idle for longest: what they have counted goes to the one that stands for all that
    /// there is no room for.
    fn make_room(&mut self, now: Instant) {
        let is_idle = |it: &Tracked| it.processes == 0;
        let mut idle: Vec<_> = self.all.iter().filter(|(_, it)| is_idle(it)).collect();
        idle.sort_by_key(|(_, it)| it.latest);
        let surplus = self.all.len() - MOST;
        let idle: Vec<_> = idle
            .into_iter()
            .take(surplus)
            .map(|(it, _)| Arc::clone(it))
            .collect();
        for workload in idle.into_iter().filter(|it| **it != Workload::default()) {
            if let Some(gone) = self.all.remove(&workload) {
                let other = self.changed(&Arc::default(), now);
                other.increment.add(&gone.increment);
                other.totals.add_all(&gone.totals);
                other.rest.add_all(&gone.rest);
                other.unlisted += gone.unlisted;
            }
        }
    }

    /// What is known of them now.
    pub fn tick(&mut self, tick: &Tick, now: Instant) -> Vec<Arc<WorkloadSnapshot>> {
        self.began = true;
        for tracked in self.all.values_mut() {
            tracked.tick(tick, now);
        }
        if self.all.len() > MOST {
            self.make_room(now);
        }
        self.all.retain(|workload, it| {
            // The one for all others has what they have left behind.
            let is_other = **workload == Workload::default();
            let is_old = now.saturating_duration_since(it.latest) >= KEPT;
            is_other || it.processes > 0 || !is_old
        });
        let snapshots = self.all.iter_mut().map(|(workload, tracked)| {
            if let Some(same) = &tracked.snapshot {
                return Arc::clone(same);
            }
            let snapshot = Arc::new(WorkloadSnapshot {
                workload: Arc::clone(workload),
                increment: std::mem::take(&mut tracked.increment),
                totals: tracked.totals.clone(),
                lately: tracked.pace.lately(),
                rest: tracked.rest.clone(),
                unlisted: tracked.unlisted,
                processes: tracked.processes,
                since: tracked.since,
            });
            // What came in this tick is not in the next one.
            if snapshot.increment.is_empty() {
                tracked.snapshot = Some(Arc::clone(&snapshot));
            }
            snapshot
        });
        snapshots.collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::model::histogram::Histogram;
    use crate::model::increment::KINDS;
    use crate::model::series_key::SeriesKey;

    use super::*;

    #[test]
    fn what_its_processes_do_together_is_a_workloads_pace_until_it_is_idle() {
        let mut workloads = Workloads::default();
        let start = Instant::now();
        let second = |n: u64| start + Duration::from_secs(n);
        let tick = Tick {
            elapsed: Duration::from_secs(1),
        };
        let server = Arc::new(Workload::default());
        workloads.tick(&tick, start);
        let answered = |status, count, ns| Increment {
            requests: count,
            series: vec![(
                SeriesKey {
                    status,
                    ..SeriesKey::OTHER
                },
                Histogram::of(count, ns),
            )],
            ..Increment::default()
        };
        workloads.grow(&server, &answered(200, 7, 30_000_000), start);
        workloads.grow(&server, &answered(500, 3, 30_000_000), start);
        let busy = workloads.tick(&tick, second(1)).remove(0);
        assert_eq!(busy.lately.requests_per_second.values[..], [0.0, 10.0]);
        let answers = busy.lately.responses_per_second.iter();
        let last = answers.map(|(status, trend)| (*status, trend.values[1]));
        assert!(last.eq([(200, 7.0), (500, 3.0)]));
        let p99 = busy.lately.latency.as_ref().unwrap().p99_ms.last().unwrap();
        assert!((p99 / 30.0 - 1.0).abs() < 0.05, "{p99}");
        assert_eq!(busy.totals.requests, 10);
        // As soon as there is nothing more to say it is the same each time.
        let mut idle = busy;
        for n in 2..=90 {
            idle = workloads.tick(&tick, second(n)).remove(0);
        }
        assert_eq!(idle.lately.requests_per_second.peak, 0.0);
        assert_eq!((idle.totals.requests, &idle.lately.latency), (10, &None));
        let same = workloads.tick(&tick, second(91)).remove(0);
        assert!(Arc::ptr_eq(&idle, &same));
    }

    #[test]
    fn those_that_make_room_leave_their_counts_behind() {
        let mut workloads = Workloads::default();
        let start = Instant::now();
        let named = |n: usize| {
            Arc::new(Workload {
                executable: Some(n.to_string().into()),
                ..Workload::default()
            })
        };
        for n in 0..MOST + 3 {
            let increment = Increment {
                requests: 7,
                series: Vec::new(),
                ..Increment::default()
            };
            let now = start + Duration::from_millis(n as u64);
            workloads.grow(&named(n), &increment, now);
        }
        workloads.begin_process(&named(1), start);
        let tick = Tick {
            elapsed: Duration::from_secs(1),
        };
        let snapshots = workloads.tick(&tick, start + Duration::from_secs(60));
        let total: u64 = snapshots.iter().map(|it| it.totals.requests).sum();
        assert_eq!(total, 7 * (MOST as u64 + 3));
        let is_listed = |n| snapshots.iter().any(|it| it.workload == named(n));
        assert!(!is_listed(0) && is_listed(1) && !is_listed(2) && is_listed(MOST + 2));
        assert_eq!(snapshots[0].workload.executable, None);
        assert_eq!(snapshots[0].totals.requests, 3 * 7);
    }

    #[test]
    fn a_known_kind_is_itself_also_in_a_tick_of_very_many() {
        let mut workloads = Workloads::default();
        let start = Instant::now();
        let tick = Tick {
            elapsed: Duration::from_secs(1),
        };
        let server = Arc::new(Workload::default());
        let status = |status| SeriesKey {
            status,
            ..SeriesKey::OTHER
        };
        let mut answer = |statuses: &[u16]| {
            for it in statuses {
                let increment = Increment {
                    requests: 1,
                    series: vec![(status(*it), Histogram::of(1, 7))],
                    ..Increment::default()
                };
                workloads.grow(&server, &increment, start);
            }
            workloads.tick(&tick, start).remove(0)
        };
        let known: Vec<_> = (200..).take(KINDS).collect();
        answer(&known);
        // All others come first.
        let others = (400..).take(KINDS);
        let all: Vec<_> = others.chain([known[0]]).collect();
        let later = answer(&all);
        let mut series = later.totals.series.iter();
        let of_known = series.find(|it| it.key == status(known[0])).unwrap();
        assert_eq!(of_known.durations.count(), 2);
        assert_eq!(later.totals.series.len(), KINDS + 1);
    }
}
