// SPDX-License-Identifier: Apache-2.0
//! One process from one tick to the next.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use crate::model::answers::Answers;
use crate::model::counters::{ProcessCounters, ProcessId, SeriesKey};
use crate::model::histogram::Histogram;
use crate::model::snapshot::{Identity, Increment, ProcessSnapshot, Sample};
use crate::model::tick::Tick;
use crate::model::window::{LISTED, Window};

/// Samples that the peak is taken from.
const REMEMBERED: usize = 60;

/// One process that has served a request.
pub struct Tracked {
    identity: Identity,
    /// The kernel's counter of requests at the last tick.
    counter: u64,
    total: u64,
    /// What the last tick has brought.
    increment: Increment,
    requests_per_second: Window<Sample, REMEMBERED>,
    series: BTreeMap<SeriesKey, Series>,
    answers: Answers,
    /// Ticks since it was last seen alive.
    gone: usize,
}

impl Tracked {
    /// `previous` is the tick before the process was first seen.
    pub fn new(identity: Identity, previous: SystemTime) -> Self {
        Self {
            identity,
            counter: 0,
            total: 0,
            increment: Increment::default(),
            requests_per_second: Window::from_zero(previous),
            series: BTreeMap::new(),
            answers: Answers::default(),
            gone: 0,
        }
    }

    pub fn tick(&mut self, counters: Option<&ProcessCounters>, tick: &Tick) {
        self.increment = counters.map_or_else(Increment::default, |it| self.advance(it));
        self.requests_per_second
            .push_at(tick.date, tick.rate(self.increment.requests));
        self.answers.tick(&self.increment, tick);

        let alive = counters.is_some_and(|counters| !counters.exited);
        self.gone = if alive { 0 } else { self.gone + 1 };
    }

    /// Moves on to new values of the kernel's counters and returns the differences.
    fn advance(&mut self, counters: &ProcessCounters) -> Increment {
        let counter = counters.requests;
        // The kernel only adds: a counter that went back is that of a new entry, and all it holds is new.
        let requests = counter.checked_sub(self.counter).unwrap_or(counter);
        self.counter = counter;
        self.total += requests;
        let series = counters.series.iter().filter_map(|(key, counter)| {
            let series = self.series.entry(key.clone()).or_default();
            let answered = series.advance(counter);
            (answered.count() > 0).then(|| (key.clone(), answered))
        });
        Increment {
            requests,
            series: series.collect(),
        }
    }

    /// A process that is gone stays until its last rate is out of the samples.
    pub fn is_listed(&self) -> bool {
        self.gone <= LISTED
    }

    pub fn snapshot(&self, id: ProcessId) -> ProcessSnapshot {
        ProcessSnapshot {
            id,
            name: Arc::clone(&self.identity.name),
            cgroup: self.identity.cgroup.clone(),
            exited: self.gone > 0,
            increment: self.increment.clone(),
            requests_total: self.total,
            series: self
                .series
                .iter()
                .map(|(key, series)| (key.clone(), series.total))
                .collect(),
            requests_per_second: self.requests_per_second.listed(),
            requests_per_second_peak: self.requests_per_second.peak(),
            responses_per_second: self.answers.per_second(),
            duration_p50_ms: self.answers.p50_ms(),
            duration_p99_ms: self.answers.p99_ms(),
        }
    }
}

/// One series of one process.
#[derive(Default)]
struct Series {
    /// The kernel's counters at the last tick.
    counter: Histogram,
    total: Histogram,
}

impl Series {
    /// As [`Tracked::advance`].
    fn advance(&mut self, counter: &Histogram) -> Histogram {
        let answered = counter.checked_sub(&self.counter).unwrap_or(*counter);
        self.counter = *counter;
        self.total += &answered;
        answered
    }
}
