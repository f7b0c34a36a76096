// SPDX-License-Identifier: Apache-2.0
//! What the kernel has counted, from one reading to the next.

use std::sync::Arc;
use std::time::Duration;

use crate::model::increment::Increment;
use crate::model::reason::Missed;
use crate::model::series_key::SeriesKey;
use crate::model::workload::Workload;

/// A process for its whole life: a reused pid has another start time, and so has another program that it executes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProcessId {
    pub pid: u32,
    /// Nanoseconds since boot, but for the lowest byte, which counts the programs.
    pub start_time: u64,
}

/// What a series of the kernel is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Answer(SeriesKey),
    /// gRPC calls that have come to this end.
    Call(GrpcStatus),
}

/// 0 to 16, or one of these.
pub type GrpcStatus = u16;
/// No number, or a higher one.
pub const GRPC_OTHER: GrpcStatus = 0xffe;
/// It was indexed before the connection was seen.
pub const GRPC_UNKNOWN: GrpcStatus = 0xfff;

/// What a process has brought since the reading before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessGrowth {
    pub id: ProcessId,
    pub workload: Arc<Workload>,
    pub increment: Increment,
    /// There is no more to come.
    pub ended: bool,
}

/// What a workload has counted itself: for processes that ended before they were read, and those that have no place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadGrowth {
    pub workload: Arc<Workload>,
    pub increment: Increment,
    /// Of these requests, those of processes for which there was no room.
    pub unlisted: u64,
}

/// All that the kernel's counters have grown by, and how those are that only go up and down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Harvest {
    pub processes: Vec<ProcessGrowth>,
    pub workloads: Vec<WorkloadGrowth>,
    pub missed: Missed,
    pub kernel: KernelState,
}

/// Connections that are followed, and those of them that speak HTTP/2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionCount {
    pub all: u64,
    pub http2: u64,
}

/// How the programs and maps in the kernel are doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KernelState {
    pub backend: &'static str,
    /// Why that one, and what stands in the way of those before it.
    pub reason: Arc<str>,
    pub maps: Vec<MapFill>,
    /// Connections that were followed, some seconds ago at most. `None` where it is not known.
    pub connections: Option<ConnectionCount>,
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
