// SPDX-License-Identifier: Apache-2.0
//! How long the longest single run of a program takes, and so how long everybody else waits for that CPU.
//!
//! A program runs within the system call that moves the bytes. So the kernel's own statistics of each program
//! before and after one call tell how long its run in it took; the fastest of many such runs is the one that
//! nothing disturbed.

pub mod call;
pub mod input;
mod table;

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::time::Duration;

use anyhow::{Context, Result};
use libbpf_rs::Program;
use scope_http_statistics::kernel::choice::objects;
use scope_http_statistics::kernel::load::Bpf;
use scope_http_statistics::kernel::program_stats;

use crate::Plan;
use crate::split::enable_stats;
use crate::stall::input::Case;
use crate::variant::{Variant, load_agent};
use crate::worker::Worker;
use crate::workload::Kind;

pub use table::print;

/// Calls in a turn that are timed, for each of which another one is watched.
const CALLS: usize = 2;

/// One call, and another one that was watched.
pub struct Stall {
    /// The longest run of a program within the call; none where nothing is attached.
    pub run: Duration,
    /// The call.
    pub call: Duration,
    /// The longest wait of a real-time thread during the other one.
    pub wait: Duration,
}

pub struct Stalls {
    pub round_trip: Duration,
    pub variants: Vec<Variant>,
    pub seen: BTreeMap<(Case, Variant), Vec<Stall>>,
}

pub fn measure(plan: &Plan, worker: &mut Worker) -> Result<Stalls> {
    let mut variants = Variant::all();
    variants.retain(|variant| *variant == Variant::None || variant.backend().is_some());
    let mut storage: Vec<_> = (0..plan.placements * variants.len())
        .map(|_| objects())
        .collect();
    let mut slots = storage.iter_mut();
    // As elsewhere, nothing is unloaded before the end.
    let mut loaded = Vec::new();
    let mut round_trip = f64::INFINITY;
    let mut seen = BTreeMap::new();
    let _stats = enable_stats()?;
    for placement in 1..=plan.placements {
        eprintln!("stall: placement {placement} of {}", plan.placements);
        let first = loaded.len();
        for variant in &variants {
            let slot = slots.next().context("too few slots")?;
            loaded.push(
                variant
                    .backend()
                    .map(|backend| load_agent(slot, backend))
                    .transpose()?,
            );
        }
        for _ in 0..plan.rounds {
            for (variant, agent) in variants.iter().zip(&mut loaded[first..]) {
                match agent {
                    Some(agent) => agent.attach()?,
                    None => {
                        round_trip = round_trip.min(worker.measure(Kind::Small, plan.budget)?.floor)
                    }
                }
                for case in Case::all() {
                    let stalls: &mut Vec<_> = seen.entry((case, *variant)).or_default();
                    for _ in 0..CALLS {
                        stalls.push(try_case(case, agent.as_ref(), worker)?);
                    }
                }
                if let Some(agent) = agent {
                    agent.detach();
                }
            }
        }
    }
    Ok(Stalls {
        round_trip: Duration::from_nanos(round_trip as u64),
        variants,
        seen,
    })
}

fn try_case(case: Case, agent: Option<&Bpf<'_>>, worker: &mut Worker) -> Result<Stall> {
    worker.prepare(case)?;
    let before = run_times(agent)?;
    let call = worker.call(false)?.0;
    let after = run_times(agent)?;
    worker.prepare(case)?;
    let wait = worker.call(true)?.0;
    let runs = after
        .iter()
        .zip(before)
        .map(|(after, before)| *after - before);
    Ok(Stall {
        run: runs.max().unwrap_or_default(),
        call,
        wait,
    })
}

/// How long each program has run so far.
fn run_times(agent: Option<&Bpf<'_>>) -> Result<Vec<Duration>> {
    let programs = agent.into_iter().flat_map(Bpf::programs);
    programs
        .filter(Program::autoload)
        .map(|program| Ok(program_stats::of(program.as_fd())?.run_time))
        .collect()
}
