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
use crate::kernel::program_stats;
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
unsafe impl Plain for types::http_missed {}
// SAFETY: as above.
unsafe impl Plain for types::http_series_key {}
// SAFETY: as above.
unsafe impl Plain for types::http_series {}

/// Those that the kernel side tells apart.
const METHODS: [&str; 9] = [
    "CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE",
];

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
                process.series.insert((&key).into(), total);
            }
        }
        let per_cpu = maps
            .http_missed
            .lookup_percpu(&0_u32.to_ne_bytes(), MapFlags::ANY)
            .context("the missed counters cannot be read")?
            .unwrap_or_default();
        let per_cpu = per_cpu
            .iter()
            .map(|cpu| read(cpu))
            .collect::<Result<Vec<_>>>()?;
        let program_stats = self.program_stats()?;
        let notes = maps.rodata_data.is_some_and(|c| c.http_notes_taken);
        let skipped = program_stats
            .iter()
            // Where a note that was needed is missing, that is counted already.
            .filter(|(program, _)| !(notes && takes_note(program)))
            .map(|(_, stats)| stats.recursion_misses)
            .sum();
        let mut missed = missed(&per_cpu);
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
    program.starts_with("http_fentry_")
        || program.starts_with("http_fexit_")
            && (program.ends_with("_recv") || program.ends_with("_send"))
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
        let text = key.method.to_le_bytes();
        let method = METHODS
            .into_iter()
            .find(|method| text.starts_with(method.as_bytes()));
        Self {
            method: method.unwrap_or("_OTHER"),
            status: key.status,
            version: if key.minor == 0 { "1.0" } else { "1.1" },
        }
    }
}

/// Names every field of the kernel's struct, and does not compile when one is left out.
macro_rules! missed {
    ($($field:ident => $reason:ident),* $(,)?) => {
        /// What was missed on all CPUs.
        fn missed(per_cpu: &[types::http_missed]) -> Missed {
            let mut total = Missed::default();
            for types::http_missed { $($field),* } in per_cpu {
                $(total[Reason::$reason] += $field;)*
            }
            total
        }
    };
}

missed!(
    processes_full => ProcessesFull,
    series_full => SeriesFull,
    connections_full => ConnectionsFull,
    unmatched => Unmatched,
    requests_lost => RequestsLost,
    responses_lost => ResponsesLost,
    unreadable => Unreadable,
    io_uring => IoUring,
    kernel_thread => KernelThread,
    compat => Compat,
    syscall => Syscall,
);

/// Copied, since the bytes of an entry need not be aligned as `T` is.
fn read<T: Plain + Default>(bytes: &[u8]) -> Result<T> {
    let mut value = T::default();
    plain::copy_from_bytes(&mut value, bytes)
        .map_err(|error| anyhow!("a map entry is malformed: {error:?}"))?;
    Ok(value)
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
