// SPDX-License-Identifier: Apache-2.0
//! Remembers the last minute of every process, and shows it as a [`View`].

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use crate::model::counters::ProcessId;
use crate::model::snapshot::Snapshot;
use crate::page::recent::Recent;
use crate::page::view::View;

/// More than a person looks through; those that were busiest in the last minute come first.
const SHOWN: usize = 1000;

/// The last minute up to the latest snapshot.
pub struct History {
    host: String,
    latest: Arc<Snapshot>,
    processes: BTreeMap<ProcessId, Recent>,
}

impl History {
    pub fn new(host: String, first: Arc<Snapshot>) -> Self {
        Self {
            host,
            latest: first,
            processes: BTreeMap::new(),
        }
    }

    /// Moves on to the next snapshot.
    pub fn push(&mut self, snapshot: Arc<Snapshot>) {
        let mut processes = std::mem::take(&mut self.processes);
        for process in &snapshot.processes {
            let mut recent = processes.remove(&process.id).unwrap_or_default();
            recent.push(&process.increment, snapshot.elapsed);
            self.processes.insert(process.id, recent);
        }
        self.latest = snapshot;
    }

    /// What there is to see: for whoever sees it for the first time as a `whole`, else what is new.
    pub fn view(&self, whole: bool) -> View {
        let date = self.latest.date.duration_since(UNIX_EPOCH);
        let mut shown: Vec<_> = self
            .latest
            .processes
            .iter()
            .filter_map(|process| Some((process, self.processes.get(&process.id)?)))
            .collect();
        let hidden = shown.len().saturating_sub(SHOWN);
        if hidden > 0 {
            shown.sort_by_key(|(_, recent)| Reverse(recent.requests()));
            shown.truncate(SHOWN);
        }
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
                .map(|(process, recent)| recent.view(process, whole))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::time::{Duration, Instant, SystemTime};

    use crate::identity::cgroup::Cgroup;
    use crate::model::counters::{KernelState, SeriesKey};
    use crate::model::histogram::Histogram;
    use crate::model::reason::{Missed, Reason};
    use crate::model::snapshot::{AgentState, Increment, ProcessSnapshot, Sample};
    use crate::page::recent::REMEMBERED;

    use super::*;

    /// So many answers with 200 and with 500, each in less than 100 µs.
    fn series([good, bad]: [u64; 2]) -> impl Iterator<Item = (SeriesKey, Histogram)> {
        [(200, good), (500, bad)]
            .into_iter()
            .map(|(status, count)| {
                let key = SeriesKey {
                    method: "GET",
                    status,
                    version: "1.1",
                };
                let mut histogram = Histogram {
                    sum_ns: count * 50_000,
                    ..Histogram::default()
                };
                histogram.buckets[0] = count;
                (key, histogram)
            })
    }

    /// A process that has answered so often with 200 and with 500, in all and in the last second.
    fn process(pid: u32, total: [u64; 2], lately: [u64; 2]) -> ProcessSnapshot {
        let requests = lately.iter().sum();
        let sample = Sample {
            date: UNIX_EPOCH,
            value: requests as f64,
        };
        let grown = series(lately).filter(|(_, it)| it.count() > 0);
        ProcessSnapshot {
            id: ProcessId { pid, start_time: 1 },
            name: "server".into(),
            cgroup: Cgroup::default(),
            exited: false,
            increment: Increment {
                requests,
                series: grown.collect(),
            },
            requests_total: total.iter().sum(),
            series: series(total).collect(),
            requests_per_second: VecDeque::from([sample]),
            requests_per_second_peak: sample.value,
            responses_per_second: BTreeMap::new(),
            duration_p50_ms: None,
            duration_p99_ms: None,
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
            processes,
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
        let is_shown = |clock: &Clock| {
            let view = clock.history.view(true);
            view.processes.iter().any(|it| it.pid == 1)
        };
        for _ in 1..REMEMBERED {
            clock.tick(tick(0));
            assert!(is_shown(&clock));
        }
        clock.tick(tick(0));
        assert!(!is_shown(&clock));
    }
}
