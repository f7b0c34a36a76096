// SPDX-License-Identifier: Apache-2.0
//! What is known at one tick. Everything downstream is a pure function of a [`Snapshot`].

use std::collections::{BTreeMap, VecDeque};
use std::ops::AddAssign;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::kernel::program_stats::Cost;

/// A process for its whole life: a reused pid has another start time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProcessId {
    pub pid: u32,
    /// Nanoseconds since boot.
    pub start_time: u64,
}

/// What the requests that were answered alike have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesKey {
    /// `_OTHER` for all but the standard ones.
    pub method: &'static str,
    pub status: u16,
    /// `1.0` or `1.1`, of the request.
    pub version: &'static str,
}

/// How long requests took, from the request line to the first byte of the final response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    pub sum_ns: u64,
    /// By upper bound, inclusive, as [`BOUNDS_US`] has them; the last bucket has none.
    pub buckets: [u64; BOUNDS_US.len() + 1],
}

/// Upper bounds of the buckets in microseconds: OpenTelemetry's, and finer ones below 5 ms.
pub const BOUNDS_US: [u64; 19] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 75_000, 100_000, 250_000, 500_000,
    750_000, 1_000_000, 2_500_000, 5_000_000, 7_500_000, 10_000_000,
];

impl Histogram {
    /// Requests answered.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// What has been added to `earlier`, or nothing if this did not grow out of it.
    pub fn checked_sub(&self, earlier: &Self) -> Option<Self> {
        let mut added = Self {
            sum_ns: self.sum_ns.checked_sub(earlier.sum_ns)?,
            buckets: self.buckets,
        };
        for (bucket, earlier) in added.buckets.iter_mut().zip(earlier.buckets) {
            *bucket = bucket.checked_sub(earlier)?;
        }
        Some(added)
    }
}

impl AddAssign<&Self> for Histogram {
    fn add_assign(&mut self, other: &Self) {
        self.sum_ns += other.sum_ns;
        for (bucket, other) in self.buckets.iter_mut().zip(other.buckets) {
            *bucket += other;
        }
    }
}

/// The kernel's counters of one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessCounters {
    pub id: ProcessId,
    /// The kernel's name of the process, lossily decoded.
    pub comm: String,
    /// Requests received since the agent first saw the process.
    pub requests: u64,
    /// Of the requests that were answered.
    pub series: BTreeMap<SeriesKey, Histogram>,
    pub exited: bool,
}

/// All of the kernel's counters, read at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Harvest {
    pub processes: Vec<ProcessCounters>,
    /// What was not seen, by reason.
    pub missed: Vec<(&'static str, u64)>,
    pub kernel: KernelState,
}

/// How the programs and maps in the kernel are doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KernelState {
    pub backend: &'static str,
    /// Why that one, and what stands in the way of those before it.
    pub reason: Arc<str>,
    pub maps: Vec<MapFill>,
    /// Connections that were followed, some seconds ago at most.
    pub connections: u64,
    /// By program.
    pub costs: Vec<(String, Cost)>,
    /// The time that reading it all took.
    pub harvest: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapFill {
    pub name: &'static str,
    pub entries: usize,
    pub capacity: u32,
}

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

/// One process as of one tick.
#[derive(Clone, Debug, PartialEq)]
pub struct ProcessSnapshot {
    pub id: ProcessId,
    pub name: Arc<str>,
    /// The id of the container that it runs in, if any.
    pub container: Option<Arc<str>>,
    /// It has no more to come, and stays listed until its last rates have been seen.
    pub exited: bool,
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

/// Everything known at one tick.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    pub date: SystemTime,
    pub processes: Vec<ProcessSnapshot>,
    pub missed: Vec<(&'static str, u64)>,
    pub kernel: KernelState,
}
