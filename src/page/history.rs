// SPDX-License-Identifier: Apache-2.0
//! Remembers the last minute of every process and the last hour of those that are active, and of all workloads, containers and units.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::model::counters::ProcessId;
use crate::model::increment::Increment;
use crate::model::reason::Missed;
use crate::model::snapshot::{ProcessSnapshot, Snapshot};
use crate::model::window::Window;
use crate::page::grouping::By;
use crate::page::groups::{Group, Groups, HOURS};
use crate::page::past::{Ages, Past};
use crate::page::row::{Detail, Event, MissedCount, Row, Total, series};
use crate::page::track::REMEMBERED;
use crate::page::view::{Process, View};

/// More than a person looks through; those that were busiest in the last minute come first.
const SHOWN: usize = 1000;

/// On the page, which sorts and filters.
const ROWS: usize = 5000;

/// What was, up to the latest snapshot.
pub struct History {
    host: String,
    latest: Arc<Snapshot>,
    ages: Ages,
    /// In boxes: a tree has room for many that are not there.
    processes: BTreeMap<ProcessId, Box<Past>>,
    groups: [Groups; 3],
    total: Group,
    /// A minute ago, and since then.
    missed: Window<Missed, { REMEMBERED + 1 }>,
}

impl History {
    pub fn new(host: String, first: Arc<Snapshot>) -> Self {
        let mut missed = Window::default();
        missed.push(first.missed);
        let mut ages = Ages::default();
        ages.date = milliseconds(first.date);
        Self {
            host,
            latest: first,
            ages,
            processes: BTreeMap::new(),
            groups: [By::Workload, By::Container, By::Unit].map(Groups::new),
            total: Group::new(0),
            missed,
        }
    }

    /// Snapshots since the first.
    pub fn ticks(&self) -> u64 {
        self.ages.tick
    }

    /// Moves on to the next snapshot.
    pub fn push(&mut self, snapshot: Arc<Snapshot>) {
        let is_minute_over = self.ages.push(snapshot.elapsed);
        self.ages.date = milliseconds(snapshot.date);
        self.missed.push(snapshot.missed);
        if !Arc::ptr_eq(&snapshot.processes, &self.latest.processes) {
            self.push_processes(&snapshot);
        }
        self.push_groups(&snapshot);
        if is_minute_over {
            self.end_minute(&snapshot);
        }
        self.latest = snapshot;
    }

    fn push_processes(&mut self, snapshot: &Snapshot) {
        let tick = self.ages.tick;
        let mut new = Vec::new();
        // Side by side: to look each of very many up would take longer.
        let mut known = self.processes.iter_mut().peekable();
        for process in snapshot.processes.iter() {
            while known.next_if(|(id, _)| **id < process.id).is_some() {}
            match known.next_if(|(id, _)| **id == process.id) {
                Some((_, past)) if !process.increment.is_empty() => {
                    past.push(&process.increment, tick);
                }
                Some(_) => {}
                None => new.push(process),
            }
        }
        for process in new {
            let mut past = Past::new(tick);
            if !process.increment.is_empty() {
                past.push(&process.increment, tick);
            }
            self.processes.insert(process.id, Box::new(past));
        }
        if self.processes.len() > snapshot.processes.len() {
            let listed = &snapshot.processes;
            self.processes
                .retain(|id, _| listed.binary_search_by_key(id, |it| it.id).is_ok());
        }
    }

    fn push_groups(&mut self, snapshot: &Snapshot) {
        let workloads = snapshot.workloads.iter().map(|it| &**it);
        let grown: Vec<_> = workloads.filter(|it| !it.increment.is_empty()).collect();
        for groups in &mut self.groups {
            groups.push(&grown, &self.ages);
        }
        let mut all = Increment::default();
        for workload in &grown {
            all.add(&workload.increment);
        }
        self.total.push(&all, &self.ages);
    }

    fn end_minute(&mut self, snapshot: &Snapshot) {
        let mut hours = 0;
        for past in self.processes.values_mut() {
            hours += usize::from(past.end_minute(&self.ages, hours < HOURS));
        }
        for groups in &mut self.groups {
            groups.end_minute(&self.ages, &snapshot.workloads);
        }
        self.total.past.end_minute(&self.ages, true);
    }

    /// What is no longer of the last minute must not be told as of that.
    fn forget(&mut self) {
        let tick = self.ages.tick;
        for past in self.processes.values_mut() {
            past.forget(tick);
        }
        for groups in &mut self.groups {
            groups.forget(tick);
        }
        self.total.past.forget(tick);
    }

    /// The processes that are shown, with what they have done.
    fn shown(&self, most: usize) -> Vec<(&ProcessSnapshot, &Past)> {
        let processes = &self.latest.processes;
        let mut known = self.processes.iter().peekable();
        let mut shown: Vec<_> = processes
            .iter()
            .filter_map(|process| {
                while known.next_if(|(id, _)| **id < process.id).is_some() {}
                let (_, past) = known.next_if(|(id, _)| **id == process.id)?;
                Some((&**process, &**past))
            })
            .collect();
        if processes.len() > most {
            shown.sort_by_cached_key(|(_, past)| Reverse(past.requests()));
            shown.truncate(most);
        }
        shown
    }

    /// What there is to see in a terminal.
    pub fn view(&mut self) -> View {
        self.forget();
        let shown = self.shown(SHOWN).into_iter();
        let processes = shown
            .map(|(process, past)| Process::of(process, past, &self.ages))
            .collect();
        View {
            date: self.ages.date,
            host: self.host.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            backend: self.latest.kernel.backend.to_owned(),
            missed: self
                .latest
                .missed
                .iter()
                .map(|(reason, count)| (reason.label().to_owned(), count))
                .collect(),
            whole: true,
            hidden: self.latest.processes.len().saturating_sub(SHOWN),
            processes,
        }
    }

    /// What there is to see on the page: for whoever sees it for the first time as a `whole`, else what is new.
    pub fn event(&mut self, by: By, whole: bool) -> Event {
        self.forget();
        let (rows, complete, hidden) = match self.groups.iter().find(|it| it.by == by) {
            Some(groups) => {
                let mut rows = groups.rows(&self.latest.workloads, &self.ages, whole);
                let hidden = rows.len().saturating_sub(ROWS);
                if hidden > 0 {
                    rows.sort_by_cached_key(|row| Reverse(row.answers.values().sum::<u64>()));
                    rows.truncate(ROWS);
                }
                (rows, true, hidden)
            }
            None => {
                let hidden = self.latest.processes.len().saturating_sub(ROWS);
                let complete = whole || hidden > 0;
                (self.process_rows(whole, complete), complete, hidden)
            }
        };
        let exited = self.latest.processes.iter().filter(|it| it.exited).count();
        let processes = self.latest.processes.len() - exited;
        Event {
            date: self.ages.date,
            host: self.host.clone(),
            version: env!("CARGO_PKG_VERSION"),
            backend: self.latest.kernel.backend,
            missed: self.missed(),
            whole,
            complete,
            hidden,
            total: Total::of(&self.total.past, &self.ages, processes),
            rows,
        }
    }

    /// Of those that are not as they were, unless all are asked for: one that exits is told of until it is gone.
    fn process_rows(&self, whole: bool, all: bool) -> Vec<Row> {
        let tick = self.ages.tick;
        let is_told = |(process, past): &(&ProcessSnapshot, &Past)| {
            all || process.exited || past.is_changing(tick)
        };
        let told = self.shown(ROWS).into_iter().filter(is_told);
        told.map(|(process, past)| Row::of_process(process, past, &self.ages, whole))
            .collect()
    }

    fn missed(&self) -> Vec<MissedCount> {
        let before = self.missed.iter().next().copied().unwrap_or_default();
        let counts = self
            .latest
            .missed
            .iter()
            .map(|(reason, total)| MissedCount {
                reason: reason.label(),
                total,
                lately: total.saturating_sub(before[reason]),
            });
        counts.filter(|it| it.total > 0).collect()
    }

    /// The row that is known by an id, opened.
    pub fn detail(&self, by: By, id: &str) -> Option<Detail> {
        if let Some(groups) = self.groups.iter().find(|it| it.by == by) {
            return groups.detail(id, &self.latest.workloads, &self.ages);
        }
        let process = self.process(parsed(id)?)?;
        let past = self.processes.get(&process.id)?;
        Some(Detail::of(past, series(&process.totals), &self.ages))
    }

    fn process(&self, id: ProcessId) -> Option<&ProcessSnapshot> {
        let processes = &self.latest.processes;
        let at = processes.binary_search_by_key(&id, |it| it.id).ok()?;
        Some(&*processes[at])
    }

    /// The process that is known by an id, as long as it has not exited.
    pub fn living(&self, id: &str) -> Option<ProcessId> {
        let process = self.process(parsed(id)?)?;
        (!process.exited).then_some(process.id)
    }
}

/// Since 1970.
fn milliseconds(date: SystemTime) -> u64 {
    let since = date.duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_millis() as u64
}

/// The id of a process's row.
fn parsed(id: &str) -> Option<ProcessId> {
    let (pid, start_time) = id.split_once('-')?;
    Some(ProcessId {
        pid: pid.parse().ok()?,
        start_time: start_time.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use crate::model::counters::KernelState;
    use crate::model::histogram::Histogram;
    use crate::model::increment::Totals;
    use crate::model::reason::Reason;
    use crate::model::series_key::{Method, Scheme, SeriesKey, Version};
    use crate::model::snapshot::{AgentState, Lately, Trend, WorkloadSnapshot};
    use crate::model::workload::Workload;

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

        let whole = clock.history.view();
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

        let rates = |event: &Event| event.rows[0].points.clone();
        let whole = clock.history.event(By::Process, true);
        assert_eq!(rates(&whole), [3.0, 0.0, 4.0]);
        let news = clock.history.event(By::Process, false);
        assert_eq!(rates(&news), [4.0]);
        assert!(whole.complete && !news.complete);
        let detail = clock.history.detail(By::Process, &news.rows[0].id).unwrap();
        assert_eq!(detail.seconds.points.len(), 3);
        assert_eq!((detail.series.len(), detail.minutes.points.len()), (2, 1));
        assert!(clock.history.detail(By::Process, "7-2").is_none());
        assert!(clock.history.detail(By::Process, "odd").is_none());
    }

    #[test]
    fn who_is_as_before_is_not_told_of_again() {
        let mut clock = clock();
        clock.tick(vec![process(7, [3, 0], [3, 0])]);
        let told = |clock: &mut Clock| clock.history.event(By::Process, false).rows;
        for _ in 0..REMEMBERED {
            assert_eq!(told(&mut clock).len(), 1);
            clock.tick(vec![process(7, [3, 0], [0, 0])]);
        }
        // Now the last minute is known to be empty.
        assert_eq!(told(&mut clock)[0].answers.len(), 0);
        clock.tick(vec![process(7, [3, 0], [0, 0])]);
        assert_eq!(told(&mut clock).len(), 0);
        assert_eq!(clock.history.event(By::Process, true).rows.len(), 1);
        let exited = ProcessSnapshot {
            exited: true,
            ..process(7, [3, 0], [0, 0])
        };
        clock.tick(vec![exited]);
        assert!(told(&mut clock)[0].exited);
    }

    #[test]
    fn a_workload_has_what_no_process_of_it_that_is_known_has_received() {
        let mut clock = clock();
        let workload = |executable: &str| {
            Arc::new(Workload {
                executable: Some(executable.into()),
                ..Workload::default()
            })
        };
        let (one, other) = (workload("one"), workload("other"));
        let of = |workload: &Arc<Workload>, it: ProcessSnapshot| ProcessSnapshot {
            workload: Arc::clone(workload),
            ..it
        };
        let processes = vec![
            of(&one, process(7, [3, 0], [3, 0])),
            of(&one, process(8, [5, 2], [5, 2])),
            of(&other, process(9, [11, 0], [11, 0])),
        ];
        let mut next = (*snapshot(clock.date, processes)).clone();
        let counted = |workload: &Arc<Workload>, requests, rest, processes| {
            let mut increment = Increment {
                requests: rest,
                ..Increment::default()
            };
            for process in next.processes.iter() {
                if process.workload == *workload {
                    increment.add(&process.increment);
                }
            }
            let totals = |requests| Totals {
                requests,
                ..Totals::default()
            };
            Arc::new(WorkloadSnapshot {
                workload: Arc::clone(workload),
                increment,
                totals: totals(requests),
                lately: Lately::default(),
                rest: totals(rest),
                unlisted: 0,
                processes,
                since: Instant::now(),
            })
        };
        let workloads = vec![counted(&one, 23, 13, 2), counted(&other, 11, 0, 1)];
        next.workloads = workloads;
        clock.history.push(Arc::new(next));

        let rows = |clock: &mut Clock, by| {
            let event = clock.history.event(by, true);
            assert_eq!(event.total.requests_per_second, 34.0);
            let rows = event.rows.into_iter();
            let rows = rows.map(|it| (it.name, it.processes, it.requests, it.points, it.answers));
            rows.collect::<Vec<_>>()
        };
        let name = |name: &str| Some(name.to_owned());
        let codes = |codes: &[(u16, u64)]| codes.iter().copied().collect();
        let expected = [
            (
                name("one"),
                Some(2),
                23,
                vec![23.0],
                codes(&[(200, 8), (500, 2)]),
            ),
            (name("other"), Some(1), 11, vec![11.0], codes(&[(200, 11)])),
        ];
        assert_eq!(rows(&mut clock, By::Workload), expected);
        // Neither is in a container or a unit.
        let all = [(None, Some(3), 34, vec![34.0], codes(&[(200, 19), (500, 2)]))];
        assert_eq!(rows(&mut clock, By::Container), all);
        assert_eq!(rows(&mut clock, By::Unit), all);
    }

    #[test]
    fn what_was_missed_of_late_is_told_apart() {
        let mut clock = clock();
        clock.tick(Vec::new());
        let missed = clock.history.event(By::Unit, true).missed;
        let count = |total, lately| MissedCount {
            reason: "io_uring",
            total,
            lately,
        };
        assert_eq!(missed, [count(7, 0)]);
        let mut later = (*snapshot(clock.date, Vec::new())).clone();
        later.missed[Reason::IoUring] = 10;
        for _ in 0..REMEMBERED {
            clock.history.push(Arc::new(later.clone()));
            let missed = clock.history.event(By::Unit, true).missed;
            assert_eq!(missed, [count(10, 3)]);
        }
        clock.history.push(Arc::new(later));
        assert_eq!(clock.history.event(By::Unit, true).missed, [count(10, 0)]);
    }

    #[test]
    fn what_was_a_minute_ago_is_forgotten() {
        let mut clock = clock();
        clock.tick(vec![process(7, [11, 0], [11, 0])]);
        clock.tick(vec![process(7, [13, 0], [2, 0])]);
        for _ in 2..REMEMBERED {
            clock.tick(vec![process(7, [13, 0], [0, 0])]);
        }
        let it = &clock.history.view().processes[0];
        assert_eq!(it.points.len(), REMEMBERED);
        assert_eq!(it.answers, BTreeMap::from([(200, 13)]));
        clock.tick(vec![process(7, [13, 0], [0, 0])]);
        let it = &clock.history.view().processes[0];
        assert_eq!(it.points.len(), REMEMBERED);
        assert_eq!(it.answers, BTreeMap::from([(200, 2)]));
        clock.tick(vec![process(7, [13, 0], [0, 0])]);
        let it = &clock.history.view().processes[0];
        assert_eq!((it.answers.len(), it.p99_ms, it.errors()), (0, None, None));
        assert_eq!(it.requests, 13);
    }

    #[test]
    fn a_process_that_has_gone_is_gone_and_the_idle_give_way_to_the_busy() {
        let mut clock = clock();
        clock.tick(vec![process(7, [1, 0], [1, 0])]);
        clock.tick(Vec::new());
        assert_eq!(clock.history.view().processes.len(), 0);

        let crowd = SHOWN as u32 + 3;
        let busy = |pid| process(pid, [u64::from(pid), 0], [u64::from(pid), 0]);
        clock.tick((1..=crowd).map(busy).collect());
        let view = clock.history.view();
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
            let view = clock.history.view();
            view.processes.iter().any(|it| it.pid == 1)
        };
        for _ in 1..REMEMBERED {
            clock.tick(tick(0));
        }
        assert!(is_shown(&mut clock));
        clock.tick(tick(0));
        assert!(!is_shown(&mut clock));
    }
}
