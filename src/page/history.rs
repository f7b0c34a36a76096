// SPDX-License-Identifier: Apache-2.0
//! Remembers the last minute of every process, and shows it as a [`View`].

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use crate::model::counters::ProcessId;
use crate::model::snapshot::Snapshot;
use crate::model::window::Window;
use crate::page::recent::{REMEMBERED, Recent};
use crate::page::view::View;

/// More than a person looks through; those that were busiest in the last minute come first.
const SHOWN: usize = 1000;

/// Ticks after which processes that are idle are looked at, too, to forget what has become old.
const ROUND: u64 = 60;

/// The last minute up to the latest snapshot.
pub struct History {
    host: String,
    latest: Arc<Snapshot>,
    ticks: u64,
    /// Of the last ticks.
    elapsed: Window<Duration, REMEMBERED>,
    processes: BTreeMap<ProcessId, Recent>,
}

impl History {
    pub fn new(host: String, first: Arc<Snapshot>) -> Self {
        Self {
            host,
            latest: first,
            ticks: 0,
            elapsed: Window::default(),
            processes: BTreeMap::new(),
        }
    }

    /// Snapshots since the first.
    pub fn ticks(&self) -> u64 {
        self.ticks
    }

    /// Moves on to the next snapshot.
    pub fn push(&mut self, snapshot: Arc<Snapshot>) {
        self.ticks += 1;
        self.elapsed.push(snapshot.elapsed);
        if !Arc::ptr_eq(&snapshot.processes, &self.latest.processes) {
            self.push_processes(&snapshot);
        }
        if self.ticks.is_multiple_of(ROUND) {
            for recent in self.processes.values_mut() {
                recent.forget(self.ticks);
            }
        }
        self.latest = snapshot;
    }

    fn push_processes(&mut self, snapshot: &Snapshot) {
        let mut new = Vec::new();
        // Side by side: to look each of very many up would take longer.
        let mut known = self.processes.iter_mut().peekable();
        for process in snapshot.processes.iter() {
            while known.next_if(|(id, _)| **id < process.id).is_some() {}
            match known.next_if(|(id, _)| **id == process.id) {
                Some((_, recent)) if !process.increment.is_empty() => {
                    recent.push(&process.increment, self.ticks);
                }
                Some(_) => {}
                None => new.push(process),
            }
        }
        for process in new {
            let mut recent = Recent::new(self.ticks);
            if !process.increment.is_empty() {
                recent.push(&process.increment, self.ticks);
            }
            self.processes.insert(process.id, recent);
        }
        if self.processes.len() > snapshot.processes.len() {
            let listed = &snapshot.processes;
            self.processes
                .retain(|id, _| listed.binary_search_by_key(id, |it| it.id).is_ok());
        }
    }

    /// What there is to see: for whoever sees it for the first time as a `whole`, else what is new.
    pub fn view(&mut self, whole: bool) -> View {
        let date = self.latest.date.duration_since(UNIX_EPOCH);
        let processes = &self.latest.processes;
        let hidden = processes.len().saturating_sub(SHOWN);
        if hidden > 0 {
            for recent in self.processes.values_mut() {
                recent.forget(self.ticks);
            }
        }
        let mut known = self.processes.iter().peekable();
        let mut shown: Vec<_> = processes
            .iter()
            .filter_map(|process| {
                while known.next_if(|(id, _)| **id < process.id).is_some() {}
                let (_, recent) = known.next_if(|(id, _)| **id == process.id)?;
                Some((process, recent))
            })
            .collect();
        if hidden > 0 {
            let by_traffic = |(_, recent): &(_, &Recent)| Reverse(recent.requests());
            shown.sort_by_cached_key(by_traffic);
            shown.truncate(SHOWN);
        }
        let elapsed: Vec<_> = self.elapsed.iter().copied().collect();
        View {
            date: date.unwrap_or_default().as_millis() as u64,
            host: self.host.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            backend: self.latest.kernel.backend.to_owned(),
            missed: self
                .latest
                .missed
                .iter()
                .map(|(reason, count)| (reason.label().to_owned(), count))
                .collect(),
            whole,
            hidden,
            processes: shown
                .into_iter()
                .map(|(process, recent)| recent.view(process, self.ticks, &elapsed, whole))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Instant, SystemTime};

    use crate::model::counters::KernelState;
    use crate::model::histogram::Histogram;
    use crate::model::increment::{Increment, Totals};
    use crate::model::reason::{Missed, Reason};
    use crate::model::series_key::{Method, Scheme, SeriesKey, Version};
    use crate::model::snapshot::{AgentState, ProcessSnapshot, Trend};

    use super::*;

    /// So many answers with 200 and with 500, each in less than 100 µs.
    fn series([good, bad]: [u64; 2]) -> impl Iterator<Item = (SeriesKey, Histogram)> {
        [(200, good), (500, bad)]
            .into_iter()
            .map(|(status, count)| {
                let key = SeriesKey {
                    method: Method::Get,
                    status,
                    version: Version::V1_1,
                    scheme: Scheme::Http,
                };
                (key, Histogram::of(count, 50_000))
            })
    }

    /// A process that has answered so often with 200 and with 500, in all and in the last second.
    fn process(pid: u32, total: [u64; 2], lately: [u64; 2]) -> ProcessSnapshot {
        let requests = lately.iter().sum();
        let grown = series(lately).filter(|(_, it)| it.count() > 0);
        let all = Increment {
            requests: total.iter().sum(),
            series: series(total).collect(),
            ..Increment::default()
        };
        let mut totals = Totals::default();
        totals.add(&all, Instant::now());
        ProcessSnapshot {
            id: ProcessId { pid, start_time: 1 },
            increment: Increment {
                requests,
                series: grown.collect(),
                ..Increment::default()
            },
            totals: Arc::new(totals),
            requests_per_second: Trend {
                values: [requests as f64].into_iter().collect(),
                ..Trend::default()
            },
            ..ProcessSnapshot::default()
        }
    }

    struct Clock {
        history: History,
        date: SystemTime,
    }

    fn snapshot(date: SystemTime, processes: Vec<ProcessSnapshot>) -> Arc<Snapshot> {
        let mut missed = Missed::default();
        missed[Reason::IoUring] = 7;
        Arc::new(Snapshot {
            date,
            taken: Instant::now(),
            elapsed: Duration::from_secs(1),
            dates: vec![date],
            processes: processes.into_iter().map(Arc::new).collect(),
            workloads: Vec::new(),
            missed,
            kernel: KernelState {
                backend: "sock",
                ..KernelState::default()
            },
            agent: AgentState::default(),
        })
    }

    fn clock() -> Clock {
        let date = UNIX_EPOCH + Duration::from_secs(1000);
        Clock {
            history: History::new("host".to_owned(), snapshot(date, Vec::new())),
            date,
        }
    }

    impl Clock {
        fn tick(&mut self, processes: Vec<ProcessSnapshot>) {
            self.date += Duration::from_secs(1);
            self.history.push(snapshot(self.date, processes));
        }
    }

    #[test]
    fn a_first_view_has_every_second_and_the_next_only_the_last() {
        let mut clock = clock();
        clock.tick(vec![process(7, [3, 0], [3, 0])]);
        clock.tick(vec![process(7, [3, 0], [0, 0])]);
        clock.tick(vec![process(7, [5, 2], [2, 2])]);

        let whole = clock.history.view(true);
        let it = &whole.processes[0];
        assert!(whole.whole);
        assert_eq!((it.requests, it.requests_per_second), (7, 4.0));
        let points: Vec<_> = it
            .points
            .iter()
            .map(|it| (it.requests, it.answers))
            .collect();
        let idle = (0.0, [0.0; 5]);
        let first = (3.0, [0.0, 3.0, 0.0, 0.0, 0.0]);
        let last = (4.0, [0.0, 2.0, 0.0, 0.0, 2.0]);
        assert_eq!(points, [first, idle, last]);
        assert_eq!(it.answers, BTreeMap::from([(200, 5), (500, 2)]));
        assert_eq!(it.errors(), Some(2.0 / 7.0));
        assert_eq!(it.series.as_ref().unwrap()[0].mean_ms, 0.05);
        assert_eq!((whole.missed["io_uring"], &*whole.backend), (7, "sock"));

        let news = clock.history.view(false);
        assert_eq!(news.processes[0].points.len(), 1);
        assert!(news.processes[0].series.is_some());
        clock.tick(vec![process(7, [5, 2], [0, 0])]);
        assert!(clock.history.view(false).processes[0].series.is_none());
    }

    #[test]
    fn what_was_a_minute_ago_is_forgotten() {
        let mut clock = clock();
        clock.tick(vec![process(7, [11, 0], [11, 0])]);
        clock.tick(vec![process(7, [13, 0], [2, 0])]);
        for _ in 2..REMEMBERED {
            clock.tick(vec![process(7, [13, 0], [0, 0])]);
        }
        let it = &clock.history.view(true).processes[0];
        assert_eq!(it.points.len(), REMEMBERED);
        assert_eq!(it.answers, BTreeMap::from([(200, 13)]));
        clock.tick(vec![process(7, [13, 0], [0, 0])]);
        let it = &clock.history.view(true).processes[0];
        assert_eq!(it.points.len(), REMEMBERED);
        assert_eq!(it.answers, BTreeMap::from([(200, 2)]));
        clock.tick(vec![process(7, [13, 0], [0, 0])]);
        let it = &clock.history.view(true).processes[0];
        assert_eq!((it.answers.len(), it.p99_ms, it.errors()), (0, None, None));
        assert_eq!(it.requests, 13);
    }

    #[test]
    fn a_process_that_has_gone_is_gone_and_the_idle_give_way_to_the_busy() {
        let mut clock = clock();
        clock.tick(vec![process(7, [1, 0], [1, 0])]);
        clock.tick(Vec::new());
        assert_eq!(clock.history.view(true).processes.len(), 0);

        let crowd = SHOWN as u32 + 3;
        let busy = |pid| process(pid, [u64::from(pid), 0], [u64::from(pid), 0]);
        clock.tick((1..=crowd).map(busy).collect());
        let view = clock.history.view(true);
        assert_eq!((view.processes.len(), view.hidden), (SHOWN, 3));
        assert!(view.processes.iter().all(|it| it.pid > 3));
    }

    #[test]
    fn what_was_busy_more_than_a_minute_ago_gives_way_too() {
        let mut clock = clock();
        let crowd = SHOWN as u32 + 1;
        // One has received very much at first, and then less than all others.
        let tick = |lately: u64| {
            let others = (2..=crowd).map(|pid| process(pid, [100_000, 0], [1, 0]));
            let once_busy = process(1, [100_000, 0], [lately, 0]);
            [once_busy].into_iter().chain(others).collect::<Vec<_>>()
        };
        clock.tick(tick(100_000));
        let is_shown = |clock: &mut Clock| {
            let view = clock.history.view(true);
            view.processes.iter().any(|it| it.pid == 1)
        };
        for _ in 1..REMEMBERED {
            clock.tick(tick(0));
            assert!(is_shown(&mut clock));
        }
        clock.tick(tick(0));
        assert!(!is_shown(&mut clock));
    }
}
