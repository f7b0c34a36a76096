// SPDX-License-Identifier: Apache-2.0
//! The last minute of one process.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::model::histogram::Histogram;
use crate::model::increment::Increment;
use crate::model::quantile::quantile_ms;
use crate::model::snapshot::ProcessSnapshot;
use crate::model::tick::rate;
use crate::page::view::{Point, Process, Series};

/// Seconds.
pub const REMEMBERED: usize = 60;

/// So much of one kind in one second. Processes are many, and most of them are idle most of the time: only what has happened is
/// kept, and in few bytes.
struct Cell {
    tick: u64,
    kind: Kind,
    count: u64,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Requests,
    Answers { status: u16, bucket: u8 },
}

/// What is remembered of a process.
pub struct Recent {
    /// The first tick that it was seen in.
    since: u64,
    /// Oldest first.
    cells: VecDeque<Cell>,
    requests: u64,
}

impl Recent {
    pub fn new(tick: u64) -> Self {
        Self {
            since: tick,
            cells: VecDeque::new(),
            requests: 0,
        }
    }

    /// Takes in what a tick has brought.
    pub fn push(&mut self, increment: &Increment, tick: u64) {
        self.forget(tick);
        let mut push = |kind, count| {
            let mut of_tick = self.cells.iter_mut().rev().take_while(|it| it.tick == tick);
            match of_tick.find(|it| it.kind == kind) {
                Some(alike) => alike.count += count,
                None => self.cells.push_back(Cell { tick, kind, count }),
            }
        };
        if increment.requests > 0 {
            push(Kind::Requests, increment.requests);
        }
        for (key, durations) in &increment.series {
            let status = key.status;
            for (bucket, count) in durations.filled() {
                push(Kind::Answers { status, bucket }, count);
            }
        }
        self.requests += increment.requests;
    }

    /// Forgets what was more than a minute before a tick.
    pub fn forget(&mut self, tick: u64) {
        while let Some(oldest) = self.cells.front()
            && oldest.tick + REMEMBERED as u64 <= tick
        {
            if let Kind::Requests = oldest.kind {
                self.requests -= oldest.count;
            }
            self.cells.pop_front();
        }
        if self.cells.is_empty() {
            self.cells.shrink_to_fit();
        }
    }

    /// Requests received in the last minute.
    pub fn requests(&self) -> u64 {
        self.requests
    }

    /// As of a tick. `elapsed` is how long the last ones were, up to that.
    pub fn view(
        &self,
        process: &ProcessSnapshot,
        tick: u64,
        elapsed: &[Duration],
        whole: bool,
    ) -> Process {
        let (mut answers, mut durations) = (BTreeMap::new(), Histogram::default());
        let oldest = (tick + 1).saturating_sub(REMEMBERED as u64);
        for cell in self.cells.iter().filter(|cell| cell.tick >= oldest) {
            if let Kind::Answers { status, bucket } = cell.kind {
                *answers.entry(status).or_default() += cell.count;
                durations.buckets[usize::from(bucket)] += cell.count;
            }
        }
        let changed = whole || self.cells.back().is_some_and(|last| last.tick == tick);
        let rates = &process.requests_per_second.values;
        Process {
            pid: process.id.pid,
            start_time: process.id.start_time,
            name: process.workload.name().to_owned(),
            container: process
                .workload
                .cgroup
                .container_id
                .as_deref()
                .map(str::to_owned),
            exited: process.exited,
            requests: process.totals.requests,
            requests_per_second: rates.last().copied().unwrap_or(0.0),
            answers,
            p50_ms: quantile_ms(0.5, &durations),
            p99_ms: quantile_ms(0.99, &durations),
            points: self.points(tick, elapsed, whole),
            series: changed.then(|| series(process)),
        }
    }

    fn points(&self, tick: u64, elapsed: &[Duration], whole: bool) -> Vec<Point> {
        let known = (tick + 1 - self.since) as usize;
        let count = if whole { known.min(elapsed.len()) } else { 1 };
        let first = tick + 1 - count as u64;
        let elapsed = &elapsed[elapsed.len() - count..];
        let skipped = self.cells.partition_point(|cell| cell.tick < first);
        let mut cells = self.cells.iter().skip(skipped).peekable();
        let seconds = (first..).zip(elapsed);
        seconds
            .map(|(tick, elapsed)| {
                let mut second = Second::default();
                while let Some(cell) = cells.next_if(|cell| cell.tick == tick) {
                    second.add(cell);
                }
                second.point(*elapsed)
            })
            .collect()
    }
}

/// What has happened in one.
#[derive(Default)]
struct Second {
    requests: u64,
    /// By the first digit of the status.
    answers: [u64; 5],
    durations: Histogram,
}

impl Second {
    fn add(&mut self, cell: &Cell) {
        match cell.kind {
            Kind::Requests => self.requests += cell.count,
            Kind::Answers { status, bucket } => {
                // Others than these do not exist; the kernel takes any three digits. Of those that are not told apart
                // the first is not known.
                if status > 0 {
                    let class = usize::from(status / 100).clamp(1, 5) - 1;
                    self.answers[class] += cell.count;
                }
                self.durations.buckets[usize::from(bucket)] += cell.count;
            }
        }
    }

    fn point(&self, elapsed: Duration) -> Point {
        Point {
            requests: rounded(rate(self.requests, elapsed)),
            answers: self.answers.map(|count| rounded(rate(count, elapsed))),
            p50_ms: quantile_ms(0.5, &self.durations).map(rounded),
            p99_ms: quantile_ms(0.99, &self.durations).map(rounded),
        }
    }
}

/// To three digits after the point, which is more than a graph shows and less to send.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

fn series(process: &ProcessSnapshot) -> Vec<Series> {
    let series = process.totals.series.iter().filter_map(|it| {
        let (key, histogram) = (&it.key, &it.durations);
        Some(Series {
            method: key.method.to_owned(),
            status: key.status,
            version: key.version.to_owned(),
            count: histogram.count(),
            mean_ms: histogram.sum_ns as f64 / histogram.count().max(1) as f64 / 1e6,
            p50_ms: quantile_ms(0.5, histogram)?,
            p99_ms: quantile_ms(0.99, histogram)?,
        })
    });
    series.collect()
}
