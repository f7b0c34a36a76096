// SPDX-License-Identifier: Apache-2.0
//! What is known at one tick. Everything downstream is a pure function of a [`Snapshot`].

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::identity::cgroup::Cgroup;
use crate::model::counters::{KernelState, ProcessId, SeriesKey};
use crate::model::histogram::Histogram;
use crate::model::reason::Missed;

/// A rate at the end of the interval it was measured over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    pub date: SystemTime,
    pub value: f64,
}

/// What a value has been of late.
#[derive(Clone, Debug, PartialEq)]
pub struct Trend {
    /// Of the last ticks, oldest first, never empty.
    pub samples: VecDeque<Sample>,
    /// The highest of the last 15 ticks.
    pub peak: f64,
    /// Of these ticks together; of rates, a measure of the traffic.
    pub sum: f64,
}

/// What is known of a process besides its counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub name: Arc<str>,
    pub cgroup: Cgroup,
}

/// What one tick has brought to a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Increment {
    pub requests: u64,
    /// Of those series only that have grown.
    pub series: Vec<(SeriesKey, Histogram)>,
}

impl Increment {
    pub fn is_empty(&self) -> bool {
        self.requests == 0 && self.series.is_empty()
    }

    /// Requests answered, by status code.
    pub fn answers(&self) -> BTreeMap<u16, u64> {
        let mut answers = BTreeMap::new();
        for (key, histogram) in &self.series {
            *answers.entry(key.status).or_default() += histogram.count();
        }
        answers
    }

    /// Of all requests answered.
    pub fn durations(&self) -> Histogram {
        let mut durations = Histogram::default();
        for (_, histogram) in &self.series {
            durations += histogram;
        }
        durations
    }
}

/// One process as of one tick.
#[derive(Clone, Debug, PartialEq)]
pub struct ProcessSnapshot {
    pub id: ProcessId,
    pub name: Arc<str>,
    pub cgroup: Cgroup,
    /// It has no more to come, and stays listed until its last rates have been seen.
    pub exited: bool,
    /// Since the tick before.
    pub increment: Increment,
    /// Requests received since the process was first seen.
    pub requests_total: u64,
    /// Of the requests answered since then. No number ever goes back.
    pub series: BTreeMap<SeriesKey, Histogram>,
    /// Requests per second over the last ticks, oldest first, never empty.
    pub requests_per_second: VecDeque<Sample>,
    /// The highest rate of the last minute.
    pub requests_per_second_peak: f64,
    /// By the status codes of the last 15 ticks.
    pub responses_per_second: BTreeMap<u16, Trend>,
    /// How long the requests took that were answered in the last 15 ticks, if there were any.
    pub duration_p50_ms: Option<Trend>,
    pub duration_p99_ms: Option<Trend>,
}

/// How the agent itself is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentState {
    /// `None` where `/proc` is not to be had.
    pub resident_bytes: Option<u64>,
}

/// Everything known at one tick.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    pub date: SystemTime,
    /// The same moment, by a clock that nobody sets.
    pub taken: Instant,
    /// Since the tick before, by that clock.
    pub elapsed: Duration,
    pub processes: Vec<ProcessSnapshot>,
    pub missed: Missed,
    pub kernel: KernelState,
    pub agent: AgentState,
}

impl Snapshot {
    /// It is the latest one until the next succeeds, which may be never.
    pub fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.taken)
    }
}
