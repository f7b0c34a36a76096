// SPDX-License-Identifier: Apache-2.0
//! The last minute of one process.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::histogram::Histogram;
use crate::model::quantile::quantile_ms;
use crate::model::snapshot::{Increment, ProcessSnapshot};
use crate::model::tick::rate;
use crate::model::window::Window;
use crate::page::view::{Point, Process, Series};

/// Seconds.
pub const REMEMBERED: usize = 60;

/// What is remembered of a process, and the sums of it.
#[derive(Default)]
pub struct Recent {
    /// Oldest first. Most processes are idle most of the time, and then there is nothing to keep.
    seconds: Window<Option<Box<Second>>, REMEMBERED>,
    answers: BTreeMap<u16, u64>,
    durations: Histogram,
    requests: u64,
}

/// One in which something has happened.
struct Second {
    elapsed: Duration,
    requests: u64,
    answers: BTreeMap<u16, u64>,
    durations: Histogram,
}

impl Recent {
    /// Takes in what another tick has brought.
    pub fn push(&mut self, increment: &Increment, elapsed: Duration) {
        let second = Second::of(increment, elapsed);
        if let Some(second) = &second {
            self.requests += second.requests;
            self.durations += &second.durations;
            for (status, count) in &second.answers {
                *self.answers.entry(*status).or_default() += count;
            }
        }
        if let Some(Some(oldest)) = self.seconds.push(second) {
            self.forget(&oldest);
        }
    }

    fn forget(&mut self, second: &Second) {
        self.requests -= second.requests;
        if let Some(rest) = self.durations.checked_sub(&second.durations) {
            self.durations = rest;
        }
        for (status, count) in &second.answers {
            if let Some(total) = self.answers.get_mut(status) {
                *total -= count;
            }
        }
        self.answers.retain(|_, count| *count > 0);
    }

    /// Requests received in the last minute.
    pub fn requests(&self) -> u64 {
        self.requests
    }

    pub fn view(&self, process: &ProcessSnapshot, whole: bool) -> Process {
        let changed = whole || self.seconds.latest().is_some_and(Option::is_some);
        let known = if whole {
            0
        } else {
            self.seconds.iter().len() - 1
        };
        let last = process.requests_per_second.back();
        Process {
            pid: process.id.pid,
            start_time: process.id.start_time,
            name: process.name.as_ref().to_owned(),
            container: process.cgroup.container_id.as_deref().map(str::to_owned),
            exited: process.exited,
            requests: process.requests_total,
            requests_per_second: last.map_or(0.0, |sample| sample.value),
            answers: self.answers.clone(),
            p50_ms: quantile_ms(0.5, &self.durations),
            p99_ms: quantile_ms(0.99, &self.durations),
            points: self
                .seconds
                .iter()
                .skip(known)
                .map(|second| second.as_ref().map_or_else(Point::default, |it| it.point()))
                .collect(),
            series: changed.then(|| series(process)),
        }
    }
}

impl Second {
    /// `None` where nothing has happened.
    fn of(increment: &Increment, elapsed: Duration) -> Option<Box<Self>> {
        (!increment.is_empty()).then(|| {
            Box::new(Self {
                elapsed,
                requests: increment.requests,
                answers: increment.answers(),
                durations: increment.durations(),
            })
        })
    }

    fn point(&self) -> Point {
        let mut answers = [0.0; 5];
        for (status, count) in &self.answers {
            // Others than these do not exist; the kernel takes any three digits.
            let class = usize::from(status / 100).clamp(1, 5) - 1;
            answers[class] += rate(*count, self.elapsed);
        }
        Point {
            requests: rounded(rate(self.requests, self.elapsed)),
            answers: answers.map(rounded),
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
    let series = process.series.iter().filter_map(|(key, histogram)| {
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
