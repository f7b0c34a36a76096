// SPDX-License-Identifier: Apache-2.0
//! What is known at one tick. Everything downstream is a pure function of a [`Snapshot`].

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arrayvec::ArrayVec;

use crate::model::counters::{KernelState, ProcessId};
use crate::model::increment::{Increment, Totals};
use crate::model::reason::Missed;
use crate::model::window::LISTED;
use crate::model::workload::Workload;

/// What a value has been of late.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trend {
    /// Of the last ticks, oldest first, up to the latest one. [`Snapshot::dates`] has those of the ticks.
    pub values: ArrayVec<f64, LISTED>,
    /// The highest of those that are remembered.
    pub peak: f64,
    /// Of these together; of rates, a measure of the traffic.
    pub sum: f64,
}

impl Trend {
    /// Of all values that are remembered, oldest first.
    pub fn of(values: impl ExactSizeIterator<Item = f64> + Clone) -> Self {
        let unlisted = values.len().saturating_sub(LISTED);
        Self {
            values: values.clone().skip(unlisted).collect(),
            peak: values.clone().fold(0.0, f64::max),
            sum: values.sum(),
        }
    }
}

/// What durations have been of late. They are told within a twentieth, so that they need no more than this.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Durations {
    /// As those of a [`Trend`].
    pub values: ArrayVec<f32, LISTED>,
    pub peak: f32,
}

impl Durations {
    /// Of all values that are remembered, oldest first.
    pub fn of(values: impl ExactSizeIterator<Item = f32> + Clone) -> Self {
        let unlisted = values.len().saturating_sub(LISTED);
        Self {
            values: values.clone().skip(unlisted).collect(),
            peak: values.fold(0.0, f32::max),
        }
    }

    pub fn last(&self) -> Option<f64> {
        self.values.last().copied().map(f64::from)
    }
}

/// How long requests took that were answered in the last 15 ticks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Latency {
    pub p50_ms: Durations,
    pub p90_ms: Durations,
    pub p99_ms: Durations,
    pub max_ms: Durations,
}

/// One process as of one tick. As long as it is idle, and has been for so long that nothing is said of what was before, it
/// is the same in each snapshot.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProcessSnapshot {
    pub id: ProcessId,
    pub workload: Arc<Workload>,
    /// It has no more to come, and stays listed until its last rates have been seen.
    pub exited: bool,
    /// Since the tick before.
    pub increment: Increment,
    /// Since the process was first seen.
    pub totals: Arc<Totals>,
    /// Over the last minute, never empty.
    pub requests_per_second: Trend,
    /// By the status codes of the last 15 ticks, in their order.
    pub responses_per_second: Vec<(u16, Trend)>,
    /// gRPC calls of the last 15 ticks that failed, if any did.
    pub failed_calls_per_second: Option<Box<Trend>>,
    /// If any were answered.
    pub latency: Option<Box<Latency>>,
}

/// What something was asked, and how it answered, of late: each as that of a [`ProcessSnapshot`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lately {
    pub requests_per_second: Trend,
    pub responses_per_second: Vec<(u16, Trend)>,
    pub failed_calls_per_second: Option<Box<Trend>>,
    pub latency: Option<Box<Latency>>,
}

/// One workload as of one tick: its processes of all times together.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkloadSnapshot {
    pub workload: Arc<Workload>,
    /// What has come since the tick before, of its processes and to the rest.
    pub increment: Increment,
    pub totals: Totals,
    pub lately: Lately,
    /// Of the totals, what was counted for no process that has ever been in a snapshot.
    pub rest: Totals,
    /// Of the requests, those of processes for which there was no room.
    pub unlisted: u64,
    /// Those that have not exited.
    pub processes: usize,
    /// When it was first seen.
    pub since: Instant,
}

/// How the agent itself is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentState {
    /// Requests that are not shown, since they were not selected.
    pub left_out: u64,
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
    /// Of the last ticks up to this one, oldest first, as far apart as they were by that clock.
    pub dates: Vec<SystemTime>,
    /// In the order of their ids. Where nothing has changed in any of them it is the same as the tick before.
    pub processes: Arc<[Arc<ProcessSnapshot>]>,
    /// In the order of the workloads.
    pub workloads: Vec<Arc<WorkloadSnapshot>>,
    pub missed: Missed,
    pub kernel: KernelState,
    pub agent: AgentState,
}

/// A snapshot comes each second. One that is older than this is no news any more, and whoever asks should hear that.
pub const STALE: Duration = Duration::from_secs(10);

impl Snapshot {
    pub fn is_stale(&self, now: Instant) -> bool {
        self.age(now) > STALE
    }

    /// It is the latest one until the next succeeds, which may be never.
    pub fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.taken)
    }

    /// The dates of values of the last ticks.
    pub fn dated<'a, T: Copy>(&'a self, values: &'a [T]) -> impl Iterator<Item = (SystemTime, T)> {
        let skipped = values.len().saturating_sub(self.dates.len());
        let values = &values[skipped..];
        let dates = &self.dates[self.dates.len() - values.len()..];
        dates.iter().copied().zip(values.iter().copied())
    }
}
