// SPDX-License-Identifier: Apache-2.0
//! Reads the kernel's counters.

use std::mem::offset_of;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use libbpf_rs::MapCore;
use libbpf_rs::skel::Skel;
use plain::Plain;

use crate::kernel::decode::{described, in_kernel, kind, owner, requests, sum_ns};
use crate::kernel::growth::Counts;
use crate::kernel::load::{Bpf, Seen};
use crate::kernel::maps::read;
use crate::kernel::mirror::Known;
use crate::kernel::program_stats;
use crate::kernel::programs::{self, Notes};
use crate::kernel::proof::script::KINDS;
use crate::kernel::shares::Resource;
use crate::kernel::skeleton::types;
use crate::kernel::spans;
use crate::kernel::table::{Entry, Table, UNKNOWN};
use crate::model::buckets::CLASSICS;
use crate::model::counters::{
    ConnectionCount, Harvest, KernelState, MapFill, ProcessId, ProgramStats,
};
use crate::model::reason::{Missed, Reason};

// SAFETY: `#[repr(C)]`, integers only, no padding: every bit pattern is a value.
unsafe impl Plain for types::http_owner_key {}
// SAFETY: as above.
unsafe impl Plain for types::http_process {}
// SAFETY: as above.
unsafe impl Plain for types::http_workload_key {}
// SAFETY: as above.
unsafe impl Plain for types::http_workload {}
// SAFETY: as above.
unsafe impl Plain for types::http_series_key {}
// SAFETY: as above.
unsafe impl Plain for types::http_series {}

const REQUESTS: usize = offset_of!(types::http_requests, count);
const NEXT_REQUESTS: usize = size_of::<types::http_requests>();
/// By group of CPUs.
const REQUEST_COUNTS: [usize; 4] = [
    REQUESTS,
    REQUESTS + NEXT_REQUESTS,
    REQUESTS + 2 * NEXT_REQUESTS,
    REQUESTS + 3 * NEXT_REQUESTS,
];
const SUM: usize = offset_of!(types::http_durations, sum);
const NEXT_SUM: usize = size_of::<types::http_durations>();
const UNLISTED: usize = offset_of!(types::http_owner, unlisted);
const TLS_UNSEEN: usize = offset_of!(types::http_owner, tls_unseen);
const COARSE: usize = offset_of!(types::http_series, coarse);
/// With the place of the workload, which does not change.
const ENDED: usize = offset_of!(types::http_process, workload);

impl Entry for types::http_process {
    type Key = types::http_owner_key;

    const COUNTS: &'static [usize] = &[TLS_UNSEEN];
    const OF_GROUPS: &'static [usize] = &REQUEST_COUNTS;
    const KEYS: &'static [usize] = &[0, ENDED];

    fn key(&self) -> Self::Key {
        self.owner.key
    }
}

impl Entry for types::http_workload {
    type Key = types::http_workload_key;

    const COUNTS: &'static [usize] = types::http_process::COUNTS;
    const OF_GROUPS: &'static [usize] = types::http_process::OF_GROUPS;
    const KEYS: &'static [usize] = &[0];

    fn key(&self) -> Self::Key {
        types::http_workload_key {
            cgroup: self.identity.cgroup,
            executable: self.identity.executable,
        }
    }
}

impl Entry for types::http_series {
    type Key = types::http_series_key;

    const COUNTS: &'static [usize] = &[];
    const OF_GROUPS: &'static [usize] =
        &[SUM, SUM + NEXT_SUM, SUM + 2 * NEXT_SUM, SUM + 3 * NEXT_SUM];
    const KEYS: &'static [usize] = &[0, size_of::<u64>()];

    fn key(&self) -> Self::Key {
        self.durations[0].key
    }
}

impl Bpf<'_> {
    /// What all counters but the agent's own have grown by since the last time.
    pub fn harvest(&mut self) -> Result<Harvest> {
        let (missed, kernel) = self.read()?;
        let (processes, workloads) = self.mirror.take();
        Ok(Harvest {
            processes,
            workloads,
            missed,
            kernel,
        })
    }

    /// Reads all counters. What they have grown by waits until it is harvested, also where this fails.
    pub fn read(&mut self) -> Result<(Missed, KernelState)> {
        let start = Instant::now();
        let program_stats = self.program_stats();
        let mut missed = self.missed(&program_stats)?;
        let own = self.own.missed.get();
        for (reason, count) in own.iter() {
            missed[reason] -= count;
        }
        if let Err(error) = self.read_tables() {
            // What had changed and was not read yet is looked at again.
            self.seen = Seen::default();
            return Err(error);
        }
        let kernel = KernelState {
            backend: self.backend().name(),
            reason: Arc::clone(&self.reason),
            maps: vec![
                fill("http_processes", &self.processes, 1, 1),
                // And the one for whatever has no other.
                fill("http_workloads", &self.workloads, 2, 2),
                fill("http_series", &self.series, self.own_kinds()?, KINDS),
                MapFill {
                    name: "http_spans",
                    entries: self.shares.all(Resource::Spans) as usize,
                    capacity: self.spans.capacity(),
                },
            ],
            connections: self.connections(),
            counts: self.own.counted.get(),
            program_stats,
            harvest: start.elapsed(),
        };
        Ok((missed, kernel))
    }

    fn read_tables(&mut self) -> Result<()> {
        self.read_workloads()?;
        // Processes come before series: those of one that is found to have ended are complete.
        self.read_processes()?;
        self.read_series()
    }

    fn read_processes(&mut self) -> Result<()> {
        for place in self.processes.changed(&mut self.seen.processes)? {
            if place == self.own.place {
                continue;
            }
            if !self.mirror.knows_process(place) && !self.take_over(place)? {
                self.seen.processes[place as usize] = UNKNOWN;
                continue;
            }
            let ended = self.processes.word(place, ENDED)? >> u32::BITS != 0;
            let counts = counts(&self.processes, place)?;
            self.mirror.process_read(place, counts, ended);
        }
        Ok(())
    }

    /// Begins to read a process, unless it ends and the kernel adds it to its workload.
    fn take_over(&mut self, place: u32) -> Result<bool> {
        let process = self.processes.entry(place)?;
        let key = process.key();
        let id = ProcessId::from(&key);
        if id.pid == 0 {
            return Ok(false);
        }
        let untaken = &self.skeleton.maps.http_untaken;
        // SAFETY: `Plain`.
        let taken = self
            .access
            .take(untaken, unsafe { plain::as_bytes(&key) })?;
        if !taken && !self.mirror.stays_undecided(id) {
            return Ok(false);
        }
        // What was read before may have been half another one's: from now on only we clear the place.
        let process = self.processes.entry(place)?;
        if ProcessId::from(&process.key()) != id {
            return Ok(false);
        }
        // One whose workload has come into being meanwhile cannot be read without.
        self.read_workload(process.workload)?;
        let Some(workload) = self.mirror.workload(process.workload) else {
            return Ok(false);
        };
        let workload = Arc::clone(&workload.known.workload);
        let known = Known::new(id, process.owner.share, workload);
        self.mirror.add_process(place, known, process.workload);
        Ok(true)
    }

    fn read_workloads(&mut self) -> Result<()> {
        for place in self.workloads.used().collect::<Vec<_>>() {
            self.read_workload(place)?;
        }
        Ok(())
    }

    fn read_workload(&mut self, place: u32) -> Result<()> {
        let (counts, unlisted) = match self.mirror.workload(place) {
            Some(_) => (
                counts(&self.workloads, place)?,
                self.workloads.word(place, UNLISTED)?,
            ),
            None => {
                let entry = self.workloads.entry(place)?;
                let id = ProcessId::from(&entry.owner.key);
                if id.start_time == 0 {
                    return Ok(());
                }
                let known = Known::new(id, entry.owner.share, Arc::new(described(&entry)));
                self.mirror.add_workload(place, known);
                (counted(&entry.owner), entry.owner.unlisted)
            }
        };
        self.mirror.workload_read(place, counts, unlisted);
        Ok(())
    }

    fn read_series(&mut self) -> Result<()> {
        let mut buckets = Vec::new();
        for place in self.series.changed(&mut self.seen.series)? {
            let entry = self.series.entry(place)?;
            if !self.mirror.knows_series(place) {
                let key = entry.key();
                let Some(owner) = self.mirror.owner(owner(&key)) else {
                    // Those of one that is not read yet have to wait.
                    self.seen.series[place as usize] = UNKNOWN;
                    continue;
                };
                self.mirror.add_series(place, owner, kind(&key));
            }
            let coarse: [u32; CLASSICS] = self.series.take_out(place, COARSE)?;
            buckets.clear();
            self.spans.take_out(&entry, &mut buckets)?;
            buckets.extend(spans::coarse(&coarse));
            (self.mirror).series_read(place, sum_ns(&entry), buckets.iter().copied());
        }
        Ok(())
    }

    /// Kinds of answers that the agent has given to itself.
    fn own_kinds(&self) -> Result<u32> {
        Ok(self.processes.entry(self.own.place)?.owner.kinds)
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
        let skipped: u64 = program_stats
            .iter()
            // Where a note that was needed is missing, that is counted already.
            .filter(|(program, _)| !(notes && takes_note(program)))
            .map(|(_, stats)| stats.recursion_misses)
            .sum();
        // Beside what programs have counted that found no room to run in.
        missed[Reason::Recursion] += skipped;
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
    fn connections(&mut self) -> Option<ConnectionCount> {
        let count = self.connections.count();
        // All open files have been walked, with all sockets that are older than the programs.
        if count.is_some()
            && let Some(variables) = &mut self.skeleton.maps.bss_data
        {
            variables.http_old_sockets_known = true;
        }
        count
    }
}

/// What an owner has counted, which is what changes in its entry.
fn counts<T: Entry, M: MapCore>(table: &Table<T, M>, place: u32) -> Result<Counts> {
    let mut counts = Counts {
        requests: 0,
        tls_unseen: table.word(place, TLS_UNSEEN)?,
    };
    for shard in REQUEST_COUNTS {
        counts.requests += table.word(place, shard)?;
    }
    Ok(counts)
}

fn counted(owner: &types::http_owner) -> Counts {
    Counts {
        requests: requests(owner),
        tls_unseen: owner.tls_unseen,
    }
}

/// Whether a program takes notes, where any does.
fn takes_note(program: &str) -> bool {
    programs::find(program).is_some_and(|program| program.notes != Notes::Never)
}

/// Without the agent's own, and with what is kept free for those.
fn fill<T: Entry, M: MapCore>(
    name: &'static str,
    table: &Table<T, M>,
    own: u32,
    kept: u32,
) -> MapFill {
    MapFill {
        name,
        entries: table.used().count().saturating_sub(own as usize),
        capacity: table.capacity() - kept,
    }
}
