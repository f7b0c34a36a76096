// SPDX-License-Identifier: Apache-2.0
//! Reads the kernel's counters, and deletes those of processes that are gone.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use libbpf_rs::Iter;
use libbpf_rs::skel::Skel;
use plain::Plain;

use crate::kernel::load::Bpf;
use crate::kernel::maps::{Access, read};
use crate::kernel::program_stats;
use crate::kernel::programs::{self, Notes};
use crate::kernel::proof::script::KINDS;
use crate::kernel::skeleton::types;
use crate::kernel::table::{Entry, Table};
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

impl Entry for types::http_process {
    type Key = types::http_process_key;

    fn key(&self) -> Self::Key {
        self.requests[0].key
    }
}

impl Entry for types::http_series {
    type Key = types::http_series_key;

    fn key(&self) -> Self::Key {
        self.durations[0].key
    }
}

impl Bpf<'_> {
    /// Reads all counters but the agent's own.
    pub fn harvest(&mut self) -> Result<Harvest> {
        let start = Instant::now();
        let mut processes = BTreeMap::new();
        // Processes come first: the series of one that is found to have exited are complete.
        for place in self.processes.used() {
            let process = self.processes.entry(place)?;
            let id = process.key().into();
            if self.own.is(id) {
                continue;
            }
            let counters = ProcessCounters {
                id,
                comm: text(&process.comm),
                executable: text(&process.identity.executable),
                cgroup: path(&process.identity.cgroup_names),
                requests: requests(&process),
                series: BTreeMap::new(),
                exited: process.exited != 0,
            };
            processes.insert(id, counters);
        }
        let mut series = 0;
        for place in self.series.used() {
            let entry = self.series.entry(place)?;
            let key = entry.key();
            if self.own.is(owner(&key)) {
                continue;
            }
            series += 1;
            // One whose process has come into being meanwhile has to wait for the next harvest.
            if let Some(process) = processes.get_mut(&owner(&key)) {
                // Two that only the kernel tells apart are one here.
                *process.series.entry((&key).into()).or_default() += &durations(&entry);
            }
        }
        let program_stats = self.program_stats();
        let mut missed = self.missed(&program_stats)?;
        let own = self.own.missed.get();
        for (reason, count) in own.iter() {
            missed[reason] -= count;
        }
        let kernel = KernelState {
            backend: self.backend().name(),
            reason: Arc::clone(&self.reason),
            maps: vec![
                fill("http_processes", &self.processes, processes.len(), 1),
                fill("http_series", &self.series, series, KINDS),
            ],
            connections: self.connections(start),
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

    /// What was missed so far, the agent's own requests included.
    pub(super) fn missed_by_all(&self) -> Result<Missed> {
        self.missed(&self.program_stats())
    }

    /// What the programs have missed, on all CPUs together, and what was missed because the kernel skipped them.
    fn missed(&self, program_stats: &[(String, ProgramStats)]) -> Result<Missed> {
        let mut missed = Missed::default();
        for reason in Reason::ALL {
            let key = in_kernel(reason).0.to_ne_bytes();
            let per_cpu = self
                .access
                .of_each_cpu(&self.skeleton.maps.http_missed, &key)?;
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
    fn program_stats(&self) -> Vec<(String, ProgramStats)> {
        let mut latest = self.program_stats.borrow_mut();
        let programs = self.skeleton.object().progs();
        for program in programs.filter(libbpf_rs::ProgramImpl::autoload) {
            let name = program.name().to_string_lossy().into_owned();
            latest.update(name, program_stats::of(program.as_fd()));
        }
        latest.all()
    }

    /// Connections that have state, if it is known.
    fn connections(&mut self, now: Instant) -> Option<u64> {
        let counting = self.counting.as_ref()?;
        let start = || Iter::new(counting).map_err(io::Error::other);
        let count = self.connections.count(now, start);
        // All open files have been walked, with all sockets that are older than the programs.
        if count.is_some()
            && let Some(variables) = &mut self.skeleton.maps.bss_data
        {
            variables.http_old_sockets_known = true;
        }
        count
    }

    /// Clears the entries of processes that are gone.
    pub fn forget(&self, ids: &[ProcessId]) -> Result<()> {
        let ids: HashSet<_> = ids.iter().copied().collect();
        if ids.is_empty() {
            return Ok(());
        }
        forget(&self.series, self.access, |key| ids.contains(&owner(key)))?;
        forget(&self.processes, self.access, |key| {
            ids.contains(&(*key).into())
        })
    }
}

/// Clears the entries of a table whose keys are such.
fn forget<T: Entry>(
    table: &Table<T>,
    access: Access,
    is_one: impl Fn(&T::Key) -> bool,
) -> Result<()> {
    let mut gone = Vec::new();
    for place in table.used() {
        let key = table.entry(place)?.key();
        if is_one(&key) {
            gone.push((place, key));
        }
    }
    table.clear(&gone, access)
}

/// Whether a program takes notes, where any does.
fn takes_note(program: &str) -> bool {
    programs::find(program).is_some_and(|program| program.notes != Notes::Never)
}

/// `own` entries are the agent's.
fn fill<T: Entry>(name: &'static str, table: &Table<T>, entries: usize, own: u32) -> MapFill {
    MapFill {
        name,
        entries,
        capacity: table.capacity() - own,
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
fn text(name: &[i8]) -> String {
    let bytes: Vec<u8> = name
        .iter()
        .map(|c| c.cast_unsigned())
        .take_while(|c| *c != 0)
        .collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Such names one behind the other until an empty one, as a path, which none of them can have a part of.
fn path(names: &[i8]) -> String {
    let names = names.split(|c| *c == 0).take_while(|name| !name.is_empty());
    names.map(text).collect::<Vec<_>>().join("/")
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
