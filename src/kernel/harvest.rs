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
use crate::kernel::maps::{delete, entries, read};
use crate::kernel::program_stats;
use crate::kernel::programs::{self, Notes};
use crate::kernel::real_time::RealTimePriority;
use crate::kernel::skeleton::types;
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
    /// Reads all counters.
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
            let counters = ProcessCounters {
                id,
                comm: name(&process.comm),
                requests: process.requests.iter().map(|shard| shard.count).sum(),
                series: BTreeMap::new(),
                exited: process.exited != 0,
            };
            processes.insert(id, counters);
        }
        for (key, value) in entries(&maps.http_series)? {
            series += 1;
            let key: types::http_series_key = read(&key)?;
            let value: types::http_series = read(&value)?;
            // One whose process has come into being meanwhile has to wait for the next harvest.
            if let Some(process) = processes.get_mut(&owner(&key)) {
                let mut total = Histogram::default();
                for durations in &value.durations {
                    total += &Histogram {
                        sum_ns: durations.sum,
                        buckets: durations.buckets,
                    };
                }
                // Two that only the kernel tells apart are one here.
                *process.series.entry((&key).into()).or_default() += &total;
            }
        }
        let program_stats = self.program_stats()?;
        let notes = maps.rodata_data.is_some_and(|c| c.http_notes_taken);
        let skipped = program_stats
            .iter()
            // Where a note that was needed is missing, that is counted already.
            .filter(|(program, _)| !(notes && takes_note(program)))
            .map(|(_, stats)| stats.recursion_misses)
            .sum();
        let mut missed = self.missed()?;
        missed[Reason::Recursion] = skipped;
        let kernel = KernelState {
            backend: self.backend().name(),
            reason: Arc::clone(&self.reason),
            maps: vec![
                fill("http_processes", &maps.http_processes, processes.len()),
                fill("http_series", &maps.http_series, series),
            ],
            connections: self.connections()?,
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
    fn real_time_priority(&self) -> Option<RealTimePriority> {
        let taken = self.at_events.then(RealTimePriority::take)?;
        taken
            .inspect_err(|error| log::trace!("the sampling thread may be interrupted: {error}"))
            .ok()
    }

    /// What the programs have missed, on all CPUs together.
    fn missed(&self) -> Result<Missed> {
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
            let key = types::http_process_key {
                start_time: id.start_time,
                pid: id.pid.into(),
            };
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

fn fill(name: &'static str, map: &impl MapCore, entries: usize) -> MapFill {
    MapFill {
        name,
        entries,
        capacity: map.max_entries(),
    }
}

fn owner(key: &types::http_series_key) -> ProcessId {
    ProcessId {
        pid: key.pid,
        start_time: key.start_time,
    }
}

impl From<&types::http_series_key> for SeriesKey {
    fn from(key: &types::http_series_key) -> Self {
        Self {
            method: method(key.method).unwrap_or("_OTHER"),
            status: key.status,
            version: version(key.version).unwrap_or("unknown"),
        }
    }
}

/// A method of the programs. What they add to theirs has to be added here.
fn method(method: types::http_method) -> Option<&'static str> {
    use types::http_method;
    match method {
        http_method::HTTP_METHOD_OTHER => Some("_OTHER"),
        http_method::HTTP_METHOD_CONNECT => Some("CONNECT"),
        http_method::HTTP_METHOD_DELETE => Some("DELETE"),
        http_method::HTTP_METHOD_GET => Some("GET"),
        http_method::HTTP_METHOD_HEAD => Some("HEAD"),
        http_method::HTTP_METHOD_OPTIONS => Some("OPTIONS"),
        http_method::HTTP_METHOD_PATCH => Some("PATCH"),
        http_method::HTTP_METHOD_POST => Some("POST"),
        http_method::HTTP_METHOD_PUT => Some("PUT"),
        http_method::HTTP_METHOD_TRACE => Some("TRACE"),
        _ => None,
    }
}

fn version(version: types::http_version) -> Option<&'static str> {
    use types::http_version;
    match version {
        http_version::HTTP_VERSION_1_0 => Some("1.0"),
        http_version::HTTP_VERSION_1_1 => Some("1.1"),
        _ => None,
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
        Reason::Unbounded => http_reason::HTTP_MISSED_UNBOUNDED,
        Reason::TooLong => http_reason::HTTP_MISSED_TOO_LONG,
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// What follows the prefix in the names of an enumeration that the programs share with us, in order.
    fn enumerators(prefix: &str) -> impl Iterator<Item = (u8, &str)> {
        let lines = include_str!("../bpf/http.h").lines();
        let names = lines.filter_map(move |line| line.trim_start().strip_prefix(prefix));
        (0..).zip(names.filter_map(|name| name.split(',').next()))
    }

    #[test]
    fn each_method_and_each_version_of_the_programs_has_a_name() {
        let mut methods = 0;
        for (code, name) in enumerators("HTTP_METHOD_") {
            let expected = if name == "OTHER" { "_OTHER" } else { name };
            assert_eq!(method(types::http_method(code)), Some(expected));
            methods += 1;
        }
        assert_eq!(method(types::http_method(methods)), None);
        let mut versions = 0;
        for (code, name) in enumerators("HTTP_VERSION_") {
            assert_eq!(
                version(types::http_version(code)),
                Some(&*name.replace('_', "."))
            );
            versions += 1;
        }
        assert_eq!(version(types::http_version(versions)), None);
    }

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
