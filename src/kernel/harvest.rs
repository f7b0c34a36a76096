// SPDX-License-Identifier: Apache-2.0
//! Reads the kernel's counters, and deletes those of processes that are gone.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use libbpf_rs::skel::Skel;
use libbpf_rs::{ErrorKind, Iter, MapCore, MapFlags};
use plain::Plain;

use crate::kernel::load::Bpf;
use crate::kernel::load::skeleton::types;
use crate::kernel::program_stats::{self, Cost};
use crate::kernel::programs::{self, Notes};
use crate::kernel::real_time::Urgency;
use crate::model::snapshot::{
    Harvest, Histogram, KernelState, MapFill, ProcessCounters, ProcessId, SeriesKey,
};

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
        let _urgency = self.urgency();
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
                process.series.insert((&key).into(), total);
            }
        }
        let costs = self.costs()?;
        let notes = maps.rodata_data.is_some_and(|c| c.http_notes_taken);
        let skipped = costs
            .iter()
            // Where a note that was needed is missing, that is counted already.
            .filter(|(program, _)| !(notes && takes_note(program)))
            .map(|(_, cost)| cost.recursion_misses)
            .sum();
        let mut missed = self.missed()?;
        missed.push(("recursion", skipped));
        let kernel = KernelState {
            backend: self.backend().name(),
            reason: Arc::clone(&self.reason),
            maps: vec![
                fill("http_processes", &maps.http_processes, processes.len()),
                fill("http_series", &maps.http_series, series),
            ],
            connections: self.connections()?,
            costs,
            harvest: start.elapsed(),
        };
        Ok(Harvest {
            processes: processes.into_values().collect(),
            missed,
            kernel,
        })
    }

    /// Programs at events suffer when work on a map is interrupted.
    fn urgency(&self) -> Option<Urgency> {
        let begun = self.at_events.then(Urgency::begin)?;
        begun
            .inspect_err(|error| log::trace!("the sampling thread may be interrupted: {error}"))
            .ok()
    }

    fn missed(&self) -> Result<Vec<(&'static str, u64)>> {
        let names = [
            "processes_full",
            "series_full",
            "connections_full",
            "unmatched",
            "requests_lost",
            "responses_lost",
            "unreadable",
            "io_uring",
            "kernel_thread",
            "compat",
            "syscall",
        ];
        let mut out = Vec::new();
        for (i, name) in names.iter().enumerate() {
            let per_cpu = self
                .skeleton
                .maps
                .http_missed
                .lookup_percpu(&(i as u32).to_ne_bytes(), MapFlags::ANY)
                .context("the missed counters cannot be read")?
                .unwrap_or_default();
            let mut sum = 0;
            for cpu in per_cpu {
                sum += u64::from_ne_bytes(cpu[..8].try_into()?);
            }
            out.push((*name, sum));
        }
        Ok(out)
    }

    /// What each attached program has cost so far.
    fn costs(&self) -> Result<Vec<(String, Cost)>> {
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
        let _urgency = self.urgency();
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

/// How many entries are read one by one.
const FEW: usize = 256;
/// How many map entries are asked for at first.
const BATCH: u32 = 1024;
/// More than a bucket of a hash map ever holds.
const BUCKET: usize = 64;

/// All entries of a map, keys and values. While the kernel reads a batch, it skips the programs at events on that CPU, also when
/// the reader is preempted. In a map of few entries that would be for as long as it takes to pass over all empty buckets; to
/// read one entry takes no time.
fn entries(map: &impl MapCore) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let keys: Vec<_> = map.keys().take(FEW + 1).collect();
    if keys.len() > FEW {
        return batches(map);
    }
    let unreadable = || unreadable(map);
    keys.into_iter()
        .filter_map(|key| {
            let value = map.lookup(&key, MapFlags::ANY).with_context(unreadable);
            value.transpose().map(|value| Ok((key, value?)))
        })
        .collect()
}

/// The kernel ends a batch early where the next bucket does not fit, and the iterator takes such a batch for the last one. So a
/// batch counts only if a bucket would still have fitted, or the whole map.
fn batches(map: &impl MapCore) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let all = map.max_entries();
    let mut count = BATCH.min(all);
    loop {
        let entries: Vec<_> = map
            .lookup_batch(count, MapFlags::ANY, MapFlags::ANY)
            .with_context(|| unreadable(map))?
            .collect();
        if count == all || entries.len() + BUCKET <= count as usize {
            return Ok(entries);
        }
        count = count.saturating_mul(4).min(all);
    }
}

fn unreadable(map: &impl MapCore) -> String {
    format!("{} cannot be read", map.name().to_string_lossy())
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

fn delete(map: &impl MapCore, key: &[u8]) -> Result<()> {
    match map.delete(key) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} keeps an entry", map.name().to_string_lossy()))
        }
        _ => Ok(()),
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

fn read<T: Plain + Copy>(bytes: &[u8]) -> Result<T> {
    plain::from_bytes(bytes)
        .copied()
        .map_err(|error| anyhow!("a map entry is malformed: {error:?}"))
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
