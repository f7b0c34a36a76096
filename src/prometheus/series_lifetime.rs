// SPDX-License-Identifier: Apache-2.0
//! Which processes have series of their own, and for how long.
//!
//! A scraper comes when it likes: counters must not end before it has seen the last of them, and must not go back.
//! And each process is a set of labels, which a scraper keeps for long, so that there are only so many; all others
//! share one set.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::identity::cgroup::Cgroup;
use crate::model::counters::{ProcessId, SeriesKey};
use crate::model::histogram::Histogram;
use crate::model::reason::Reason;
use crate::model::snapshot::{ProcessSnapshot, Snapshot};
use crate::sampler::Snapshots;

/// What a scrape shows that comes now.
pub type ScrapeContents = watch::Receiver<Arc<ScrapeContent>>;

/// How long a process that is gone keeps its series.
const KEPT: Duration = Duration::from_secs(60);

/// What one scrape shows.
#[derive(Clone, Debug)]
pub struct ScrapeContent {
    pub snapshot: Arc<Snapshot>,
    /// Processes that are no longer in the snapshot.
    left: Vec<Arc<ProcessSnapshot>>,
    /// Those of the snapshot that share one set of labels.
    others: Arc<BTreeSet<ProcessId>>,
    pub other: Totals,
}

/// What the labels of a process are made of: two processes with the same ones cannot be shown beside each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProcessLabels<'a> {
    pub pid: u32,
    pub name: &'a str,
    pub cgroup: &'a Cgroup,
}

impl<'a> ProcessLabels<'a> {
    fn of(process: &'a ProcessSnapshot) -> Self {
        Self {
            pid: process.id.pid,
            name: &process.name,
            cgroup: &process.cgroup,
        }
    }
}

/// Counters that several processes share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub requests: u64,
    pub series: BTreeMap<SeriesKey, Histogram>,
}

impl Totals {
    fn add(&mut self, process: &ProcessSnapshot) {
        self.requests += process.requests_total;
        for (key, histogram) in &process.series {
            *self.series.entry(key.clone()).or_default() += histogram;
        }
    }
}

impl ScrapeContent {
    /// The processes with labels of their own. Where two would have the same labels, as after a pid was reused by the
    /// same program, it is the younger one.
    pub fn processes(&self) -> impl Iterator<Item = (ProcessLabels<'_>, &ProcessSnapshot)> {
        let left = self.left.iter().map(Arc::as_ref);
        let present = self.snapshot.processes.iter();
        let own = present.filter(|process| !self.others.contains(&process.id));
        let by_labels: BTreeMap<_, _> = left
            .chain(own)
            .map(|process| (ProcessLabels::of(process), process))
            .collect();
        by_labels.into_iter()
    }

    /// How many processes share one set of labels.
    pub fn others(&self) -> usize {
        self.others.len()
    }
}

/// Follows the snapshots in a task of its own.
pub fn follow(mut snapshots: Snapshots, max_processes: u32) -> ScrapeContents {
    let mut lifetimes = SeriesLifetimes::new(max_processes as usize);
    let mut next = move |snapshots: &mut Snapshots| {
        let snapshot = Arc::clone(&snapshots.borrow_and_update());
        Arc::new(lifetimes.tick(snapshot, Instant::now()))
    };
    let (publisher, contents) = watch::channel(next(&mut snapshots));
    tokio::spawn(async move {
        while snapshots.changed().await.is_ok() {
            publisher.send_replace(next(&mut snapshots));
        }
    });
    contents
}

/// Decides once for each process, when it is first seen.
pub struct SeriesLifetimes {
    limit: usize,
    latest: Option<Arc<Snapshot>>,
    own: BTreeSet<ProcessId>,
    others: BTreeSet<ProcessId>,
    left: Vec<(Instant, Arc<ProcessSnapshot>)>,
    /// Of the others that are gone.
    lost: Totals,
}

impl SeriesLifetimes {
    /// No more than `limit` processes get labels of their own, those that are gone among them.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            latest: None,
            own: BTreeSet::new(),
            others: BTreeSet::new(),
            left: Vec::new(),
            lost: Totals::default(),
        }
    }

    pub fn tick(&mut self, snapshot: Arc<Snapshot>, now: Instant) -> ScrapeContent {
        let present: BTreeSet<ProcessId> = snapshot.processes.iter().map(|it| it.id).collect();
        if let Some(latest) = self.latest.replace(Arc::clone(&snapshot)) {
            for process in &latest.processes {
                if !present.contains(&process.id) {
                    self.leave(process, now);
                }
            }
        }
        let is_over = |since| now.saturating_duration_since(since) >= KEPT;
        let ended = self.left.extract_if(.., |(since, _)| is_over(*since));
        for (_, process) in ended {
            self.own.remove(&process.id);
        }
        for id in present {
            if !self.own.contains(&id) && self.own.len() < self.limit && !self.others.contains(&id)
            {
                self.own.insert(id);
            } else if !self.own.contains(&id) {
                self.others.insert(id);
            }
        }
        let mut other = self.lost.clone();
        for process in &snapshot.processes {
            if self.others.contains(&process.id) {
                other.add(process);
            }
        }
        // The kernel has the same limit, and counts the requests of processes that it has no room for.
        other.requests += snapshot.missed[Reason::ProcessesFull];
        ScrapeContent {
            snapshot,
            left: self.left.iter().map(|(_, it)| Arc::clone(it)).collect(),
            others: Arc::new(self.others.clone()),
            other,
        }
    }

    fn leave(&mut self, process: &ProcessSnapshot, now: Instant) {
        if self.others.remove(&process.id) {
            self.lost.add(process);
        } else {
            self.left.push((now, Arc::new(process.clone())));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::time::SystemTime;

    use crate::model::counters::KernelState;
    use crate::model::reason::Missed;
    use crate::model::snapshot::{AgentState, Increment};

    use super::*;

    fn process(pid: u32, start_time: u64, requests_total: u64) -> ProcessSnapshot {
        let key = SeriesKey {
            method: "GET",
            status: 200,
            version: "1.1",
        };
        let mut histogram = Histogram::default();
        histogram.buckets[3] = requests_total;
        ProcessSnapshot {
            id: ProcessId { pid, start_time },
            name: "server".into(),
            cgroup: Cgroup::default(),
            exited: false,
            increment: Increment::default(),
            requests_total,
            series: BTreeMap::from([(key, histogram)]),
            requests_per_second: VecDeque::new(),
            requests_per_second_peak: 0.0,
            responses_per_second: BTreeMap::new(),
            duration_p50_ms: None,
            duration_p99_ms: None,
        }
    }

    fn snapshot(processes: &[ProcessSnapshot], full: u64) -> Arc<Snapshot> {
        let mut missed = Missed::default();
        missed[Reason::ProcessesFull] = full;
        Arc::new(Snapshot {
            date: SystemTime::now(),
            taken: Instant::now(),
            elapsed: Duration::from_secs(1),
            processes: processes.to_vec(),
            missed,
            kernel: KernelState::default(),
            agent: AgentState::default(),
        })
    }

    fn shown(content: &ScrapeContent) -> Vec<(u32, u64)> {
        let processes = content.processes();
        processes
            .map(|(labels, it)| (labels.pid, it.requests_total))
            .collect()
    }

    #[test]
    fn a_process_that_is_gone_is_shown_for_a_minute() {
        let mut lifetimes = SeriesLifetimes::new(10);
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        lifetimes.tick(snapshot(&[process(7, 1, 23), process(8, 1, 5)], 0), start);
        for seconds in [1, 30, 60] {
            let content = lifetimes.tick(snapshot(&[process(8, 1, 5)], 0), after(seconds));
            assert_eq!(shown(&content), [(7, 23), (8, 5)], "after {seconds} s");
        }
        let content = lifetimes.tick(snapshot(&[process(8, 1, 5)], 0), after(61));
        assert_eq!(shown(&content), [(8, 5)]);
    }

    #[test]
    fn a_process_that_is_gone_keeps_its_place_as_long_as_its_series() {
        let mut lifetimes = SeriesLifetimes::new(2);
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        lifetimes.tick(snapshot(&[process(1, 1, 2), process(2, 1, 3)], 0), start);
        let now = [process(2, 1, 3), process(4, 1, 7)];
        for seconds in [1, 60] {
            let content = lifetimes.tick(snapshot(&now, 0), after(seconds));
            assert_eq!(shown(&content), [(1, 2), (2, 3)], "after {seconds} s");
            assert_eq!((content.others(), content.other.requests), (1, 7));
        }
        // Who comes then has room; who was shown with the others stays there.
        let now = [process(2, 1, 3), process(4, 1, 7), process(5, 1, 11)];
        let content = lifetimes.tick(snapshot(&now, 0), after(61));
        assert_eq!(shown(&content), [(2, 3), (5, 11)]);
        assert_eq!((content.others(), content.other.requests), (1, 7));
    }

    #[test]
    fn a_reused_pid_is_shown_once() {
        let mut lifetimes = SeriesLifetimes::new(10);
        let now = Instant::now();
        lifetimes.tick(snapshot(&[process(7, 1, 23)], 0), now);
        let content = lifetimes.tick(snapshot(&[process(7, 2, 3)], 0), now);
        assert_eq!(shown(&content), [(7, 3)]);
    }

    #[test]
    fn those_over_the_limit_share_totals_that_never_go_back() {
        let mut lifetimes = SeriesLifetimes::new(2);
        let now = Instant::now();
        let all = [process(1, 1, 2), process(2, 1, 3), process(3, 1, 5)];
        let content = lifetimes.tick(snapshot(&all, 0), now);
        assert_eq!(shown(&content), [(1, 2), (2, 3)]);
        assert_eq!((content.others(), content.other.requests), (1, 5));

        // It stays where it is when there is room, and its counts stay when it is gone.
        let minute_later = now + KEPT + KEPT;
        lifetimes.tick(snapshot(&all[1..], 0), now);
        let content = lifetimes.tick(snapshot(&all[1..], 0), minute_later);
        assert_eq!(shown(&content), [(2, 3)]);
        assert_eq!(content.other.requests, 5);
        let newcomers = [process(2, 1, 3), process(4, 1, 7), process(5, 1, 11)];
        let content = lifetimes.tick(snapshot(&newcomers, 13), minute_later);
        assert_eq!(shown(&content), [(2, 3), (4, 7)]);
        assert_eq!(content.other.requests, 5 + 11 + 13);
        let answered: u64 = content.other.series.values().map(Histogram::count).sum();
        assert_eq!(answered, 5 + 11);
    }
}
