// SPDX-License-Identifier: Apache-2.0
//! The last minute of one process.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::buckets::BUCKETS;
use crate::model::histogram::Histogram;
use crate::model::increment::Increment;
use crate::model::quantile::{max_ms, quantile_in, quantile_ms};
use crate::model::snapshot::ProcessSnapshot;
use crate::model::tick::rate;
use crate::page::view::{Point, Process, Series};

/// Seconds.
pub const REMEMBERED: usize = 60;

/// What a process has done in one second. Processes are many, and most of them are idle most of the time: only what has happened
/// is kept, and in few bytes.
#[derive(Serialize, Deserialize)]
struct Second {
    /// Only its lowest byte: what is older than some minutes has been forgotten.
    tick: u8,
    requests: u64,
    /// By status.
    answers: Vec<(u16, u64)>,
    /// The buckets of p50 and p99, if anything was answered.
    durations: Option<(u16, u16)>,
}

impl Second {
    fn new(increment: &Increment, tick: u64) -> Self {
        let durations = increment.durations();
        let bucket = |q| quantile_in(q, &durations).map(|(bucket, _)| bucket);
        Self {
            tick: tick as u8,
            requests: increment.requests,
            answers: increment.answers(),
            durations: bucket(0.5).zip(bucket(0.99)),
        }
    }

    /// Ticks between it and a later one.
    fn age(&self, tick: u64) -> usize {
        age(self.tick, tick)
    }

    fn point(&self, elapsed: Duration) -> Point {
        let mut classes = [0; 5];
        // Others than these do not exist; the kernel takes any three digits. Of those that are not told apart, and of what is unknown,
        // the first is not known.
        for (status, count) in self.answers.iter().filter(|(status, _)| *status >= 100) {
            let class = usize::from(status / 100).clamp(1, 5) - 1;
            classes[class] += count;
        }
        let middle = |bucket| {
            let (lower, upper) = BUCKETS.range(bucket);
            rounded((lower + (upper - lower) / 2) as f64 / 1e6)
        };
        Point {
            requests: rounded(rate(self.requests, elapsed)),
            answers: classes.map(|count| rounded(rate(count, elapsed))),
            p50_ms: self.durations.map(|(p50, _)| middle(p50)),
            p99_ms: self.durations.map(|(_, p99)| middle(p99)),
        }
    }
}

/// Ticks between one, of which the lowest byte is known, and a later one.
fn age(earlier: u8, tick: u64) -> usize {
    usize::from((tick as u8).wrapping_sub(earlier))
}

/// What is remembered of a process.
pub struct Recent {
    /// The first tick that it was seen in.
    since: u64,
    /// Oldest first.
    seconds: Vec<u8>,
    requests: u64,
}

impl Recent {
    pub fn new(tick: u64) -> Self {
        Self {
            since: tick,
            seconds: Vec::new(),
            requests: 0,
        }
    }

    /// Takes in what a tick has brought.
    pub fn push(&mut self, increment: &Increment, tick: u64) {
        self.forget(tick);
        let second = Second::new(increment, tick);
        self.requests += second.requests;
        let seconds = std::mem::take(&mut self.seconds);
        // Writing to memory cannot fail.
        self.seconds = postcard::to_extend(&second, seconds).unwrap_or_default();
    }

    /// Forgets what was more than a minute before a tick. To be called once in two minutes at least.
    pub fn forget(&mut self, tick: u64) {
        let mut kept = &self.seconds[..];
        // Each begins with its tick: most that are asked for have nothing to forget.
        while kept.first().is_some_and(|it| age(*it, tick) >= REMEMBERED)
            && let Ok((oldest, rest)) = postcard::take_from_bytes::<Second>(kept)
        {
            self.requests -= oldest.requests;
            kept = rest;
        }
        let forgotten = self.seconds.len() - kept.len();
        if forgotten == 0 {
            return;
        }
        self.seconds.drain(..forgotten);
        if self.seconds.is_empty() {
            self.seconds.shrink_to_fit();
        }
    }

    /// Requests received in the last minute.
    pub fn requests(&self) -> u64 {
        self.requests
    }

    /// The seconds of the last minute up to a tick in which something has happened, oldest first.
    fn seconds(&self, tick: u64) -> impl Iterator<Item = Second> {
        let mut left = &self.seconds[..];
        let all = std::iter::from_fn(move || {
            let (second, rest) = postcard::take_from_bytes::<Second>(left).ok()?;
            left = rest;
            Some(second)
        });
        all.filter(move |second| second.age(tick) < REMEMBERED)
    }

    /// As of a tick. `elapsed` is how long the last ones were, up to that.
    pub fn view(
        &self,
        process: &ProcessSnapshot,
        tick: u64,
        elapsed: &[Duration],
        whole: bool,
    ) -> Process {
        let seconds: Vec<_> = self.seconds(tick).collect();
        let mut answers = BTreeMap::new();
        for (status, count) in seconds.iter().flat_map(|second| &second.answers) {
            *answers.entry(*status).or_default() += count;
        }
        let changed = whole || seconds.last().is_some_and(|last| last.age(tick) == 0);
        let latency = process.latency.as_ref();
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
            tls_unseen: process.totals.tls_unseen,
            answers,
            p50_ms: latency.and_then(|it| it.p50_ms.last()).map(rounded),
            p90_ms: latency.and_then(|it| it.p90_ms.last()).map(rounded),
            p99_ms: latency.and_then(|it| it.p99_ms.last()).map(rounded),
            max_ms: latency.and_then(|it| it.max_ms.last()).map(rounded),
            points: self.points(&seconds, tick, elapsed, whole),
            series: changed.then(|| series(process)),
        }
    }

    fn points(
        &self,
        seconds: &[Second],
        tick: u64,
        elapsed: &[Duration],
        whole: bool,
    ) -> Vec<Point> {
        let known = (tick + 1 - self.since) as usize;
        let count = if whole { known.min(elapsed.len()) } else { 1 };
        let elapsed = &elapsed[elapsed.len() - count..];
        let skipped = seconds.partition_point(|second| second.age(tick) >= count);
        let mut seconds = seconds[skipped..].iter().peekable();
        let ages = (0..count).rev().zip(elapsed);
        ages.map(|(age, elapsed)| {
            let second = seconds.next_if(|second| second.age(tick) == age);
            second.map_or_else(Point::default, |second| second.point(*elapsed))
        })
        .collect()
    }
}

/// To three digits after the point, which is more than a graph shows and less to send.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

fn series(process: &ProcessSnapshot) -> Vec<Series> {
    let answers = process.totals.series.iter().filter_map(|it| {
        let key = &it.key;
        series_of(
            (key.method.name(), key.status, &key.in_words()),
            &it.durations,
        )
    });
    let calls = process.totals.calls.iter();
    let calls = calls.filter_map(|it| series_of(("gRPC", it.status, "2"), &it.durations));
    answers.chain(calls).collect()
}

fn series_of(
    (method, status, version): (&str, u16, &str),
    histogram: &Histogram,
) -> Option<Series> {
    let quantile = |q| quantile_ms(q, histogram).map(rounded);
    Some(Series {
        method: method.to_owned(),
        status,
        version: version.to_owned(),
        count: histogram.count(),
        mean_ms: histogram.sum_ns as f64 / histogram.count().max(1) as f64 / 1e6,
        p50_ms: quantile(0.5)?,
        p90_ms: quantile(0.9)?,
        p99_ms: quantile(0.99)?,
        max_ms: max_ms(histogram).map(rounded)?,
    })
}

#[cfg(test)]
mod tests {
    use crate::model::series_key::SeriesKey;

    use super::*;

    /// Of which there is one for each process, whether anybody looks or not.
    #[test]
    fn a_busy_minute_takes_some_hundred_bytes_and_an_idle_one_none() {
        let answered = |status, count, ns| {
            let key = SeriesKey {
                status,
                ..SeriesKey::OTHER
            };
            (key, Histogram::of(count, ns))
        };
        let increment = Increment {
            requests: 107,
            series: vec![answered(200, 101, 3_000_000), answered(404, 6, 900_000)],
            ..Increment::default()
        };
        let mut recent = Recent::new(0);
        for tick in 0..200 {
            recent.push(&increment, tick);
        }
        assert_eq!(recent.requests(), 60 * 107);
        let bytes = recent.seconds.len();
        assert!((300..900).contains(&bytes), "{bytes}");
        recent.forget(300);
        assert_eq!((recent.requests(), recent.seconds.capacity()), (0, 0));
    }
}
