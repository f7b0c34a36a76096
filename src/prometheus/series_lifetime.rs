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

use crate::model::counters::ProcessId;
use crate::model::increment::Totals;
use crate::model::snapshot::{ProcessSnapshot, Snapshot, WorkloadSnapshot};
use crate::model::workload::Workload;
use crate::prometheus::rows::Row;
use crate::sampler::Snapshots;

/// What a scrape shows that comes now.
pub type ScrapeContents = watch::Receiver<Arc<ScrapeContent>>;

/// How long a process that is gone keeps its series.
const KEPT: Duration = Duration::from_secs(60);

/// What one scrape shows.
#[derive(Clone, Debug)]
pub struct ScrapeContent {
    pub snapshot: Arc<Snapshot>,
    /// `None`: workloads are shown.
    by_process: Option<ByProcess>,
}

#[derive(Clone, Debug, Default)]
struct ByProcess {
    /// Processes that are no longer in the snapshot.
    left: Vec<Arc<ProcessSnapshot>>,
    /// Those of the snapshot that share one set of labels.
    others: Arc<BTreeSet<ProcessId>>,
    other: Totals,
}

impl ScrapeContent {
    pub fn rows(&self) -> Vec<Row<'_>> {
        match &self.by_process {
            None => {
                let workloads = self.snapshot.workloads.iter();
                workloads.map(|it| Row::of_workload(it)).collect()
            }
            Some(by_process) => self.processes(by_process),
        }
    }

    /// The processes with labels of their own. Where two would have the same labels, as after a pid was reused by the
    /// same program, it is the younger one.
    fn processes<'a>(&'a self, by_process: &'a ByProcess) -> Vec<Row<'a>> {
        let left = by_process.left.iter();
        let present = self.snapshot.processes.iter();
        let own = present.filter(|process| !by_process.others.contains(&process.id));
        let by_labels: BTreeMap<(u32, &Workload), _> = left
            .chain(own)
            .map(|process| ((process.id.pid, &*process.workload), process))
            .collect();
        let mut rows: Vec<_> = by_labels
            .into_values()
            .map(|it| Row::of_process(it))
            .collect();
        if by_process.other != Totals::default() {
            rows.push(Row::of_others(&by_process.other));
        }
        rows
    }

    /// How many processes share one set of labels.
    pub fn others(&self) -> usize {
        self.by_process.as_ref().map_or(0, |it| it.others.len())
    }
}

/// Follows the snapshots in a task of its own.
pub fn follow(mut snapshots: Snapshots, mut lifetimes: SeriesLifetimes) -> ScrapeContents {
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
    /// `None`: workloads are shown.
    limit: Option<usize>,
    latest: Option<Arc<Snapshot>>,
    own: BTreeSet<ProcessId>,
    others: BTreeSet<ProcessId>,
    left: Vec<(Instant, Arc<ProcessSnapshot>)>,
    /// Of the others that are gone.
    lost: Totals,
}

impl SeriesLifetimes {
    pub fn by_workload() -> Self {
        Self {
            limit: None,
            latest: None,
            own: BTreeSet::new(),
            others: BTreeSet::new(),
            left: Vec::new(),
            lost: Totals::default(),
        }
    }

    /// No more than `limit` processes get labels of their own, those that are gone among them.
    pub fn by_process(limit: usize) -> Self {
        Self {
            limit: Some(limit),
            ..Self::by_workload()
        }
    }

    pub fn tick(&mut self, snapshot: Arc<Snapshot>, now: Instant) -> ScrapeContent {
        let by_process = self
            .limit
            .map(|limit| self.tick_processes(&snapshot, limit, now));
        ScrapeContent {
            snapshot,
            by_process,
        }
    }

    fn tick_processes(
        &mut self,
        snapshot: &Arc<Snapshot>,
        limit: usize,
        now: Instant,
    ) -> ByProcess {
        let present: BTreeSet<ProcessId> = snapshot.processes.iter().map(|it| it.id).collect();
        if let Some(latest) = self.latest.replace(Arc::clone(snapshot)) {
            for workload in &latest.workloads {
                let by_workload = |it: &Arc<WorkloadSnapshot>| it.workload.cmp(&workload.workload);
                if snapshot.workloads.binary_search_by(by_workload).is_err() {
                    self.lost.add_all(&workload.rest);
                }
            }
            for process in latest.processes.iter() {
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
            if !self.own.contains(&id) && self.own.len() < limit && !self.others.contains(&id) {
                self.own.insert(id);
            } else if !self.own.contains(&id) {
                self.others.insert(id);
            }
        }
        let mut other = self.lost.clone();
        for process in snapshot.processes.iter() {
            if self.others.contains(&process.id) {
                other.add_all(&process.totals);
            }
        }
        // What was counted for no process that was ever seen.
        for workload in &snapshot.workloads {
            other.add_all(&workload.rest);
        }
        ByProcess {
            left: self.left.iter().map(|(_, it)| Arc::clone(it)).collect(),
            others: Arc::new(self.others.clone()),
            other,
        }
    }

    fn leave(&mut self, process: &Arc<ProcessSnapshot>, now: Instant) {
        if self.others.remove(&process.id) {
            self.lost.add_all(&process.totals);
        } else {
            self.left.push((now, Arc::clone(process)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use crate::model::counters::KernelState;
    use crate::model::histogram::Histogram;
    use crate::model::increment::Increment;
    use crate::model::reason::Missed;
    use crate::model::series_key::{Method, Scheme, SeriesKey, Version};
    use crate::model::snapshot::{AgentState, Lately};

    use super::*;

    fn totals(requests: u64) -> Totals {
        let key = SeriesKey {
            method: Method::Get,
            status: 200,
            version: Version::V1_1,
            scheme: Scheme::Http,
        };
        let histogram = Histogram::of(requests, 700_000);
        let increment = Increment {
            requests,
            series: vec![(key, histogram)],
            ..Increment::default()
        };
        let mut totals = Totals::default();
        totals.add(&increment, Instant::now());
        totals
    }

    fn process(pid: u32, start_time: u64, requests: u64) -> ProcessSnapshot {
        ProcessSnapshot {
            id: ProcessId { pid, start_time },
            totals: Arc::new(totals(requests)),
            ..ProcessSnapshot::default()
        }
    }

    /// `rest` requests were of no process that was seen.
    fn snapshot(processes: &[ProcessSnapshot], rest: u64) -> Arc<Snapshot> {
        let workload = WorkloadSnapshot {
            workload: Arc::default(),
            totals: Totals::default(),
            lately: Lately::default(),
            rest: match rest {
                0 => Totals::default(),
                rest => totals(rest),
            },
            increment: Increment::default(),
            unlisted: 0,
            processes: 0,
            since: Instant::now(),
        };
        Arc::new(Snapshot {
            date: SystemTime::now(),
            taken: Instant::now(),
            elapsed: Duration::from_secs(1),
            dates: Vec::new(),
            processes: processes.iter().cloned().map(Arc::new).collect(),
            workloads: vec![Arc::new(workload)],
            missed: Missed::default(),
            kernel: KernelState::default(),
            agent: AgentState::default(),
        })
    }

    /// By pid; 0 stands for all others.
    fn rows(content: &ScrapeContent) -> Vec<(u32, u64)> {
        let rows = content.rows().into_iter();
        rows.map(|row| {
            let (label, text) = &row.labels[0];
            let pid = (*label == "process_pid").then(|| text.parse().unwrap());
            (pid.unwrap_or(0), row.totals.requests)
        })
        .collect()
    }

    fn shown(content: &ScrapeContent) -> Vec<(u32, u64)> {
        let mut rows = rows(content);
        rows.retain(|(pid, _)| *pid != 0);
        rows
    }

    fn other(content: &ScrapeContent) -> u64 {
        let rows = rows(content).into_iter();
        rows.filter(|(pid, _)| *pid == 0).map(|(_, it)| it).sum()
    }

    #[test]
    fn a_process_that_is_gone_is_shown_for_a_minute() {
        let mut lifetimes = SeriesLifetimes::by_process(10);
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
        let mut lifetimes = SeriesLifetimes::by_process(2);
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        lifetimes.tick(snapshot(&[process(1, 1, 2), process(2, 1, 3)], 0), start);
        let now = [process(2, 1, 3), process(4, 1, 7)];
        for seconds in [1, 60] {
            let content = lifetimes.tick(snapshot(&now, 0), after(seconds));
            assert_eq!(shown(&content), [(1, 2), (2, 3)], "after {seconds} s");
            assert_eq!((content.others(), other(&content)), (1, 7));
        }
        // Who comes then has room; who was shown with the others stays there.
        let now = [process(2, 1, 3), process(4, 1, 7), process(5, 1, 11)];
        let content = lifetimes.tick(snapshot(&now, 0), after(61));
        assert_eq!(shown(&content), [(2, 3), (5, 11)]);
        assert_eq!((content.others(), other(&content)), (1, 7));
    }

    #[test]
    fn a_reused_pid_is_shown_once() {
        let mut lifetimes = SeriesLifetimes::by_process(10);
        let now = Instant::now();
        lifetimes.tick(snapshot(&[process(7, 1, 23)], 0), now);
        let content = lifetimes.tick(snapshot(&[process(7, 2, 3)], 0), now);
        assert_eq!(shown(&content), [(7, 3)]);
    }

    #[test]
    fn those_over_the_limit_share_totals_that_never_go_back() {
        let mut lifetimes = SeriesLifetimes::by_process(2);
        let now = Instant::now();
        let all = [process(1, 1, 2), process(2, 1, 3), process(3, 1, 5)];
        let content = lifetimes.tick(snapshot(&all, 0), now);
        assert_eq!(shown(&content), [(1, 2), (2, 3)]);
        assert_eq!((content.others(), other(&content)), (1, 5));

        // It stays where it is when there is room, and its counts stay when it is gone.
        let minute_later = now + KEPT + KEPT;
        lifetimes.tick(snapshot(&all[1..], 0), now);
        let content = lifetimes.tick(snapshot(&all[1..], 0), minute_later);
        assert_eq!(shown(&content), [(2, 3)]);
        assert_eq!(other(&content), 5);
        let newcomers = [process(2, 1, 3), process(4, 1, 7), process(5, 1, 11)];
        let content = lifetimes.tick(snapshot(&newcomers, 13), minute_later);
        assert_eq!(shown(&content), [(2, 3), (4, 7)]);
        assert_eq!(other(&content), 5 + 11 + 13);
        let answered = &content.by_process.as_ref().unwrap().other.series[0];
        assert_eq!(answered.durations.count(), 5 + 11 + 13);
    }
}
