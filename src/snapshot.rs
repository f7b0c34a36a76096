// SPDX-License-Identifier: Apache-2.0
//! What is known at one tick. Everything downstream is a pure function of a [`Snapshot`].

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::SystemTime;

/// A process for its whole life: a reused pid has another start time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProcessId {
    pub pid: u32,
    /// Nanoseconds since boot.
    pub start_time: u64,
}

/// The kernel's counters of one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessCounters {
    pub id: ProcessId,
    /// The kernel's name of the process, lossily decoded.
    pub comm: String,
    /// Requests received since the agent first saw the process.
    pub requests: u64,
    pub exited: bool,
}

/// All of the kernel's counters, read at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Harvest {
    pub processes: Vec<ProcessCounters>,
    /// What was not seen, by reason.
    pub missed: Vec<(&'static str, u64)>,
}

/// A rate at the end of the interval it was measured over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    pub date: SystemTime,
    pub value: f64,
}

/// One process as of one tick.
#[derive(Clone, Debug, PartialEq)]
pub struct ProcessSnapshot {
    pub id: ProcessId,
    pub name: Arc<str>,
    pub requests_total: u64,
    /// Requests per second over the last ticks, oldest first, never empty.
    pub requests_per_second: VecDeque<Sample>,
    /// The highest rate of the last minute.
    pub requests_per_second_peak: f64,
}

/// Everything known at one tick.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    pub date: SystemTime,
    pub processes: Vec<ProcessSnapshot>,
    pub missed: Vec<(&'static str, u64)>,
}
