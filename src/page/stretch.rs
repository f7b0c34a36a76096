// SPDX-License-Identifier: Apache-2.0
//! What a process, or several, have done in a second or in a minute.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::buckets::BUCKETS;
use crate::model::increment::Increment;
use crate::model::quantile::quantile_in;
use crate::model::tick::rate;
use crate::page::heat::{self, Heat};
use crate::page::view::Point;

/// Processes are many, and most of them are idle most of the time: only what has happened is kept, and in few bytes.
#[derive(Serialize, Deserialize)]
pub struct Stretch {
    /// When: only the lowest byte of the number of the second or minute. What is older than some minutes or hours has been forgotten.
    pub number: u8,
    pub requests: u64,
    /// By status.
    pub answers: Vec<(u16, u64)>,
    /// gRPC calls with another status than OK.
    pub failed_calls: u64,
    /// The buckets of p50 and p99, if anything was answered.
    durations: Option<(u16, u16)>,
    pub heat: Heat,
}

impl Stretch {
    /// A second.
    pub fn new(increment: &Increment, tick: u64) -> Self {
        let durations = increment.durations();
        let bucket = |q| quantile_in(q, &durations).map(|(bucket, _)| bucket);
        Self {
            number: tick as u8,
            requests: increment.requests,
            answers: increment.answers(),
            failed_calls: increment.failed_calls(),
            durations: bucket(0.5).zip(bucket(0.99)),
            heat: heat::of(&durations),
        }
    }

    /// A minute, or as much of it as there is.
    pub fn sum(seconds: &[Self], minute: u64) -> Self {
        let mut answers = BTreeMap::new();
        for (status, count) in seconds.iter().flat_map(|it| &it.answers) {
            *answers.entry(*status).or_insert(0) += count;
        }
        let heat = heat::sum(seconds.iter().flat_map(|it| it.heat.iter().copied()));
        let bucket = |q| heat::quantile_ns(q, &heat).map(|ns| BUCKETS.of(ns));
        Self {
            number: minute as u8,
            requests: seconds.iter().map(|it| it.requests).sum(),
            answers: answers.into_iter().collect(),
            failed_calls: seconds.iter().map(|it| it.failed_calls).sum(),
            durations: bucket(0.5).zip(bucket(0.99)),
            heat,
        }
    }

    /// How many seconds or minutes before another one, which is later.
    pub fn age(&self, number: u64) -> usize {
        age(self.number, number)
    }

    pub fn point(&self, elapsed: Duration) -> Point {
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

/// Between one of which the lowest byte is known and a later one.
pub fn age(earlier: u8, number: u64) -> usize {
    usize::from((number as u8).wrapping_sub(earlier))
}

/// To three digits after the point, which is more than a graph shows and less to send.
pub fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
