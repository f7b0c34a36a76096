// SPDX-License-Identifier: Apache-2.0
//! Reads the kernel's counters, and deletes those of processes that are gone.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use libbpf_rs::skel::Skel;
use libbpf_rs::{Iter, MapCore, MapFlags};
use plain::Plain;

use crate::kernel::load::Bpf;
use crate::kernel::load::skeleton::types;
use crate::kernel::maps::{delete, entries, read};
use crate::kernel::program_stats;
use crate::kernel::programs::{self, Notes};
use crate::kernel::proof::script::KINDS;
use crate::kernel::real_time::RealTimePriority;
use crate::model::counters::{
    Harvest, KernelState, MapFill, ProcessCounters, ProcessId, ProgramStats, SeriesKey,
};
use crate::model::histogram::Histogram;
use crate::model::reason::{Missed, Reason};

// SAFETY: `#[repr(C)]`, integers only, no padding: every bit pattern is a value.
unsafe impl Plain for types::http_process_key {}
// SAFETY: as above.
unsafe impl Plain for types::http_process {}
// SAFETY: as above.
unsafe impl Plain for types::http_series_key {}
// SAFETY: as above.
unsafe impl Plain for types::http_series {}

const CONNECTIONS_INTERVAL: Duration = Duration::from_secs(10);

impl Bpf<'_> {
    /// Reads all counters but the agent's own.
    pub fn harvest(&self) -> Result<Harvest> {
        let start = Instant::now();
        let _priority = self.real_time_priority();
        let maps = &self.skeleton.maps;
        let mut processes = BTreeMap::new();
        let mut series = 0;
        // Processes come first: the series of one that is found to have exited are complete.
        for (key, value) in entries(&maps.http_processes)? {
            let process: types::http_process = read(&value)?;
            let id = read::<types::http_process_key>(&key)?.into();
            if self.own.is(id) {
                continue;
            }
            let counters = ProcessCounters {
                id,
                comm: name(&process.comm),
                requests: requests(&process),
                series: BTreeMap::new(),
                exited: process.exited != 0,
            };
            processes.insert(id, counters);
        }
        for (key, value) in entries(&maps.http_series)? {
            let key: types::http_series_key = read(&key)?;
            if self.own.is(owner(&key)) {
                continue;
            }
            series += 1;
            // One whose process has come into being meanwhile has to wait for the next harvest.
            if let Some(process) = processes.get_mut(&owner(&key)) {
                process
                    .series
                    .insert((&key).into(), durations(&read(&value)?));
            }
        }
        let program_stats = self.program_stats()?;
        let mut missed = self.missed(&program_stats)?;
        let own = self.own.missed.get();
        for (reason, count) in own.iter() {
            missed[reason] -= count;
        }
        let kernel = KernelState {
            backend: self.backend().name(),
            reason: Arc::clone(&self.reason),
            maps: vec![
                fill("http_processes", &maps.http_processes, processes.len(), 1),
                fill("http_series", &maps.http_series, series, KINDS),
            ],
            connections: self.connections()?,
            counts: self.own.counted.get(),
            program_stats,
            harvest: start.elapsed(),
        };
        Ok(Harvest {
            processes: processes.into_values().collect(),
            missed,
            kernel,
        })
    }

    /// Programs at events suffer when work on a map is interrupted.
    pub(super) fn real_time_priority(&self) -> Option<RealTimePriority> {
        let taken = self.at_events.then(RealTimePriority::take)?;
        taken
            .inspect_err(|error| log::trace!("the sampling thread may be interrupted: {error}"))
            .ok()
    }

    /// What was missed so far, the agent's own requests included.
    pub(super) fn missed_by_all(&self) -> Result<Missed> {
        self.missed(&self.program_stats()?)
    }

    /// What the programs have missed, on all CPUs together, and what was missed because the kernel skipped them.
    fn missed(&self, program_stats: &[(String, ProgramStats)]) -> Result<Missed> {
        let mut missed = Missed::default();
        for reason in Reason::ALL {
            let per_cpu = self
                .skeleton
                .maps
                .http_missed
                .lookup_percpu(&in_kernel(reason).0.to_ne_bytes(), MapFlags::ANY)
                .context("the missed counters cannot be read")?
                .unwrap_or_default();
            for count in &per_cpu {
                missed[reason] += read::<u64>(count)?;
            }
        }
        let constants = self.skeleton.maps.rodata_data.as_ref();
        let notes = constants.is_some_and(|constants| constants.http_notes_taken);
        missed[Reason::Recursion] = program_stats
            .iter()
            // Where a note that was needed is missing, that is counted already.
            .filter(|(program, _)| !(notes && takes_note(program)))
            .map(|(_, stats)| stats.recursion_misses)
            .sum();
        Ok(missed)
    }

    /// How each attached program has run so far.
    fn program_stats(&self) -> Result<Vec<(String, ProgramStats)>> {
        let programs = self.skeleton.object().progs();
        programs
            .filter(libbpf_rs::ProgramImpl::autoload)
            .map(|program| {
                let name = program.name().to_string_lossy().into_owned();
                Ok((name, program_stats::of(program.as_fd())?))
            })
            .collect()
    }

    /// Connections that have state. There may be very many files, so that they are not walked on every harvest.
    fn connections(&self) -> Result<u64> {
        match self.counted.get() {
            Some((when, counted)) if when.elapsed() < CONNECTIONS_INTERVAL => Ok(counted),
            _ => {
                let mut walk =
                    Iter::new(&self.connections).context("connections cannot be walked")?;
                let counted =
                    io::copy(&mut walk, &mut io::sink()).context("connections cannot be walked")?;
                self.counted.set(Some((Instant::now(), counted)));
                Ok(counted)
            }
        }
    }

    /// Deletes the entries of processes that are gone.
    pub fn forget(&self, ids: &[ProcessId]) -> Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        let _priority = self.real_time_priority();
        let maps = &self.skeleton.maps;
        for (key, _) in entries(&maps.http_series)? {
            if ids.contains(&owner(&read(&key)?)) {
                delete(&maps.http_series, &key)?;
            }
        }
        for id in ids {
            let key = types::http_process_key::from(*id);
            // SAFETY: `Plain` above says that the key has no padding.
            delete(&maps.http_processes, unsafe { plain::as_bytes(&key) })?;
        }
        Ok(())
    }
}

/// Whether a program takes notes, where any does.
fn takes_note(program: &str) -> bool {
    programs::find(program).is_some_and(|program| program.notes != Notes::Never)
}

/// `own` entries are the agent's.
fn fill(name: &'static str, map: &impl MapCore, entries: usize, own: u32) -> MapFill {
    MapFill {
        name,
        entries,
        capacity: map.max_entries() - own,
    }
}

/// Those of all groups of CPUs.
pub(super) fn requests(process: &types::http_process) -> u64 {
    process.requests.iter().map(|shard| shard.count).sum()
}

/// The same.
pub(super) fn durations(series: &types::http_series) -> Histogram {
    let mut total = Histogram::default();
    for durations in &series.durations {
        total += &Histogram {
            sum_ns: durations.sum,
            buckets: durations.buckets,
        };
    }
    total
}

pub(super) fn owner(key: &types::http_series_key) -> ProcessId {
    ProcessId {
        pid: key.pid,
        start_time: key.start_time,
    }
}

impl From<&types::http_series_key> for SeriesKey {
    fn from(key: &types::http_series_key) -> Self {
        Self {
            method: match key.method {
                types::http_method::HTTP_METHOD_CONNECT => "CONNECT",
                types::http_method::HTTP_METHOD_DELETE => "DELETE",
                types::http_method::HTTP_METHOD_GET => "GET",
                types::http_method::HTTP_METHOD_HEAD => "HEAD",
                types::http_method::HTTP_METHOD_OPTIONS => "OPTIONS",
                types::http_method::HTTP_METHOD_PATCH => "PATCH",
                types::http_method::HTTP_METHOD_POST => "POST",
                types::http_method::HTTP_METHOD_PUT => "PUT",
                types::http_method::HTTP_METHOD_TRACE => "TRACE",
                _ => "_OTHER",
            },
            status: key.status,
            version: match key.version {
                types::http_version::HTTP_VERSION_1_0 => "1.0",
                _ => "1.1",
            },
        }
    }
}

/// A reason as the programs have it.
fn in_kernel(reason: Reason) -> types::http_reason {
    use types::http_reason;
    match reason {
        Reason::ProcessesFull => http_reason::HTTP_MISSED_PROCESSES_FULL,
        Reason::SeriesFull => http_reason::HTTP_MISSED_SERIES_FULL,
        Reason::ConnectionsFull => http_reason::HTTP_MISSED_CONNECTIONS_FULL,
        Reason::Unmatched => http_reason::HTTP_MISSED_UNMATCHED,
        Reason::RequestsLost => http_reason::HTTP_MISSED_REQUESTS_LOST,
        Reason::ResponsesLost => http_reason::HTTP_MISSED_RESPONSES_LOST,
        Reason::Unreadable => http_reason::HTTP_MISSED_UNREADABLE,
        Reason::IoUring => http_reason::HTTP_MISSED_IO_URING,
        Reason::KernelThread => http_reason::HTTP_MISSED_KERNEL_THREAD,
        Reason::Compat => http_reason::HTTP_MISSED_COMPAT,
        Reason::Syscall => http_reason::HTTP_MISSED_SYSCALL,
        Reason::Recursion => http_reason::HTTP_MISSED_RECURSION,
    }
}

/// A name as the kernel keeps it: bytes, ended by a zero.
fn name(comm: &[i8]) -> String {
    let bytes: Vec<u8> = comm
        .iter()
        .map(|c| c.cast_unsigned())
        .take_while(|c| *c != 0)
        .collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

impl From<types::http_process_key> for ProcessId {
    fn from(key: types::http_process_key) -> Self {
        Self {
            pid: key.pid as u32,
            start_time: key.start_time,
        }
    }
}

impl From<ProcessId> for types::http_process_key {
    fn from(id: ProcessId) -> Self {
        Self {
            start_time: id.start_time,
            pid: id.pid.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_reason_of_the_programs_is_one_of_ours() {
        let known: BTreeSet<_> = Reason::ALL
            .iter()
            .map(|reason| in_kernel(*reason).0)
            .collect();
        let all = 0..types::http_reason::HTTP_REASONS.0;
        assert_eq!(known, all.collect());
    }
}
