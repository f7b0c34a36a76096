// SPDX-License-Identifier: Apache-2.0
//! What the kernel has counted, as it is read at one moment.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::model::histogram::Histogram;
use crate::model::reason::Missed;

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
    /// Of the request: `1.0`, or `1.1` for any later 1.x.
    pub version: &'static str,
}

/// The kernel's counters of one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessCounters {
    pub id: ProcessId,
    /// The kernel's name of the process, lossily decoded.
    pub comm: String,
    /// The name of its executable, cut and lossily decoded; empty where there is none.
    pub executable: String,
    /// The names on the path of its control group, from the group outwards, with slashes in between.
    pub cgroup: String,
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
    pub missed: Missed,
    pub kernel: KernelState,
}

/// How the programs and maps in the kernel are doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KernelState {
    pub backend: &'static str,
    /// Why that one, and what stands in the way of those before it.
    pub reason: Arc<str>,
    pub maps: Vec<MapFill>,
    /// Connections that were followed, some seconds ago at most. `None` where it is not known.
    pub connections: Option<u64>,
    /// Whether the agent's own last request was counted as what it was.
    pub counts: bool,
    /// By program.
    pub program_stats: Vec<(String, ProgramStats)>,
    /// The time that reading it all took.
    pub harvest: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapFill {
    pub name: &'static str,
    pub entries: usize,
    pub capacity: u32,
}

/// How a program in the kernel has run, which the kernel calls its statistics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProgramStats {
    /// Time and runs are 0 as long as the kernel does not measure.
    pub run_time: Duration,
    pub runs: u64,
    /// Times that the kernel passed over the program, since it had not ended yet on that CPU. Always counted.
    pub recursion_misses: u64,
}
