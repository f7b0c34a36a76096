// SPDX-License-Identifier: Apache-2.0
//! Where the time goes, program by program, as the kernel counts it. Counting costs something itself, so
//! that these figures explain the table and do not replace it.

use std::collections::BTreeMap;
use std::os::fd::{FromRawFd, OwnedFd};
use std::time::Duration;

use anyhow::{Context, Result};
use libbpf_rs::libbpf_sys::{BPF_STATS_RUN_TIME, bpf_enable_stats};
use libbpf_rs::query::{ProgInfoIter, ProgramInfo};
use scope_http_statistics::kernel::backend::Backend;
use scope_http_statistics::kernel::choice::objects;

use crate::calls;
use crate::variant::load_agent;
use crate::worker::Worker;
use crate::workload::Kind;

pub fn run(backend: Backend, worker: &mut Worker) -> Result<()> {
    let before = programs();
    let mut storage = objects();
    let mut bpf = load_agent(&mut storage, backend)?;
    bpf.attach()?;
    let ours = |all: BTreeMap<u32, ProgramInfo>| {
        all.into_iter()
            .filter(|(id, _)| !before.contains_key(id))
            .collect::<Vec<_>>()
    };
    let _stats = enable_stats()?;
    let kinds = [Kind::Small, Kind::Large, Kind::Mix];
    for kind in kinds.into_iter().chain(calls::kinds()) {
        let start = ours(programs());
        let count = worker.measure(kind, Duration::from_secs(2))?.requests as f64;
        let end = ours(programs());

        println!("\n{}: {count} times", kind.label());
        println!(
            "{:<20}{:>12}{:>10}{:>16}{:>16}",
            "program", "runs", "ns/run", "ns/round trip", "verified insns"
        );
        let mut total = 0.0;
        for ((_, start), (_, end)) in start.iter().zip(&end) {
            let runs = end.run_cnt - start.run_cnt;
            if runs == 0 {
                continue;
            }
            let time = (end.run_time_ns - start.run_time_ns) as f64;
            total += time / count;
            println!(
                "{:<20}{runs:>12}{:>10.0}{:>16.0}{:>16}",
                end.name.display(),
                time / runs as f64,
                time / count,
                end.verified_insns
            );
        }
        anyhow::ensure!(total > 0.0, "no program ran");
        println!("{:<42}{total:>16.0}", "together");
    }
    Ok(())
}

fn programs() -> BTreeMap<u32, ProgramInfo> {
    ProgInfoIter::default()
        .map(|info| (info.id, info))
        .collect()
}

/// The kernel counts for as long as the descriptor is open.
pub fn enable_stats() -> Result<OwnedFd> {
    // SAFETY: The call takes a plain number and has no effect on our memory.
    let fd = unsafe { bpf_enable_stats(BPF_STATS_RUN_TIME) };
    if fd < 0 {
        return Err(std::io::Error::from_raw_os_error(-fd)).context("cannot enable BPF statistics");
    }
    // SAFETY: The descriptor is new and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
