// SPDX-License-Identifier: Apache-2.0
//! What the agent costs, against nobody watching and against other ways to count requests.
//!
//! Where a program happens to be placed in memory moves a result by a hundred nanoseconds. So each
//! repetition loads a new copy while the old ones stay where they are, and everybody takes turns.

mod bpftrace;
mod calls;
mod connection;
mod cores;
mod h2load;
mod messages;
mod nginx;
mod observer;
mod split;
mod stall;
mod strangers;
mod table;
mod tracepoints;
mod variant;
mod worker;
mod workload;

use std::time::Duration;

use anyhow::{Context, Result};
use clap::builder::PossibleValue;
use clap::{Parser, ValueEnum};
use scope_http_statistics::kernel::backend::Backend;
use scope_http_statistics::kernel::choice::objects;

use crate::cores::{Cores, pin};
use crate::table::{Added, Floors, least};
use crate::variant::Variant;
use crate::worker::Worker;
use crate::workload::Kind;

/// Measures what the agent adds to system calls and takes from nginx
#[derive(Parser)]
struct Cli {
    /// Fewer rounds, for a first impression
    #[arg(long)]
    quick: bool,
    /// Only this part; may be repeated
    #[arg(long, value_name = "NAME")]
    only: Vec<Part>,
    /// How many copies of each program are loaded
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..))]
    placements: u16,
    /// Print one line instead: what this variant adds to the round trip of --size
    #[arg(
        long,
        value_name = "VARIANT",
        requires = "size",
        conflicts_with = "only"
    )]
    floor: Option<Variant>,
    /// The work for --floor
    #[arg(long, requires = "floor")]
    size: Option<Kind>,
    /// Print instead how long each program of this backend runs
    #[arg(long, value_name = "BACKEND", conflicts_with_all = ["floor", "only"])]
    split: Option<Backend>,
    /// Be the process that is measured
    #[arg(long, hide = true)]
    worker: bool,
    /// Cargo says so to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

/// A part of the benchmark that can be asked for by name.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    Calls(Kind),
    Nginx,
    Rpc,
    H2load,
    Strangers,
    Stall,
}

impl ValueEnum for Part {
    fn value_variants<'a>() -> &'a [Self] {
        &[
            Self::Calls(Kind::Small),
            Self::Calls(Kind::Large),
            Self::Calls(Kind::Mix),
            Self::Calls(Kind::Threads),
            Self::Calls(Kind::Getppid),
            Self::Calls(Kind::Read),
            Self::Nginx,
            Self::Rpc,
            Self::H2load,
            Self::Strangers,
            Self::Stall,
        ]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        match self {
            Self::Calls(kind) => kind.to_possible_value(),
            Self::Nginx => Some(PossibleValue::new("nginx").help("nginx under wrk")),
            Self::Rpc => Some(PossibleValue::new("grpc").help("gRPC calls, warm and cold")),
            Self::H2load => {
                Some(PossibleValue::new("h2load").help("nginx and a Go server under h2load"))
            }
            Self::Strangers => {
                Some(PossibleValue::new("strangers").help("What is no HTTP, small and in bulk"))
            }
            Self::Stall => Some(
                PossibleValue::new("stall").help("How long one call can keep a CPU from others"),
            ),
        }
    }
}

/// How long to look.
struct Plan {
    placements: usize,
    /// Turns of each variant on each placement.
    rounds: usize,
    /// For each kind of work in each turn.
    budget: Duration,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    let cores = Cores::find()?;
    let mut plan = Plan {
        placements: usize::from(cli.placements),
        rounds: if cli.quick { 1 } else { 3 },
        budget: Duration::from_millis(if cli.quick { 50 } else { 100 }),
    };
    if cli.worker {
        return worker::serve(cores);
    }
    let mut worker = Worker::start()?;
    pin(cores.there)?;
    if let Some(backend) = cli.split {
        return split::run(backend, &mut worker);
    }
    if let (Some(variant), Some(kind)) = (cli.floor, cli.size) {
        // One kind of work has time for longer turns.
        (plan.rounds, plan.budget) = (2, Duration::from_millis(250));
        return floor(variant, kind, &plan, &mut worker);
    }

    let parts = match cli.only.as_slice() {
        [] => Part::value_variants(),
        only => only,
    };
    let kinds: Vec<Kind> = parts
        .iter()
        .filter_map(|part| match part {
            Part::Calls(kind) => Some(*kind),
            Part::Nginx | Part::Rpc | Part::H2load | Part::Strangers | Part::Stall => None,
        })
        .collect();
    if !kinds.is_empty() {
        let floors = measure(&Variant::all(), &kinds, &plan, &mut worker)?;
        table::print(&floors, plan.placements);
    }
    if parts.contains(&Part::Nginx) {
        let (turns, seconds) = if cli.quick { (3, 1) } else { (7, 3) };
        table::print_rates("nginx under wrk", &nginx::measure(turns, seconds, cores)?);
        pin(cores.there)?;
    }
    if parts.contains(&Part::Rpc) {
        let floors = measure(&calls::variants(), &calls::kinds(), &plan, &mut worker)?;
        calls::print(&floors, plan.placements);
    }
    if parts.contains(&Part::H2load) {
        let (turns, seconds) = if cli.quick { (3, 1) } else { (7, 3) };
        for (what, rates) in h2load::measure(turns, seconds, cores)? {
            table::print_rates(what, &rates);
        }
        pin(cores.there)?;
    }
    if parts.contains(&Part::Strangers) {
        let kinds = strangers::kinds();
        let floors = measure(&strangers::variants(), &kinds, &plan, &mut worker)?;
        strangers::print(&floors, plan.placements);
    }
    if parts.contains(&Part::Stall) {
        stall::print(&stall::measure(&plan, &mut worker)?, plan.placements);
    }
    Ok(())
}

fn floor(variant: Variant, kind: Kind, plan: &Plan, worker: &mut Worker) -> Result<()> {
    let floors = measure(&[Variant::None, variant], &[kind], plan, worker)?;
    let (none, seen) = (&floors[&(kind, Variant::None)], &floors[&(kind, variant)]);
    let added = Added::new(seen, none);
    println!(
        "{}, {}: floor {:+.0} ns, median {:+.0}, worst {:+.0} over {} placements (none takes {:.0})",
        variant.label(),
        kind.label(),
        added.floor,
        added.median,
        added.worst,
        plan.placements,
        least(none)
    );
    Ok(())
}

fn measure(
    variants: &[Variant],
    kinds: &[Kind],
    plan: &Plan,
    worker: &mut Worker,
) -> Result<Floors> {
    let mut storage: Vec<_> = (0..plan.placements * variants.len())
        .map(|_| objects())
        .collect();
    let mut slots = storage.iter_mut();
    // Nothing is unloaded before the end, or the next copy would land on the same place.
    let mut loaded = Vec::new();
    let mut floors = Floors::new();
    for placement in 1..=plan.placements {
        eprintln!("placement {placement} of {}", plan.placements);
        let first = loaded.len();
        for variant in variants {
            loaded.push(variant.load(slots.next().context("too few slots")?)?);
        }
        let mut fastest = Floors::new();
        for _ in 0..plan.rounds {
            for (variant, observer) in variants.iter().zip(&mut loaded[first..]) {
                let before = observer.requests(worker.pid())?;
                for &kind in kinds.iter().filter(|kind| kind.is_old()) {
                    worker.set_up(kind)?;
                }
                observer.attach()?;
                let mut sent = 0;
                for &kind in kinds {
                    let measured = worker.measure(kind, plan.budget)?;
                    fastest
                        .entry((kind, *variant))
                        .or_default()
                        .push(measured.floor);
                    sent += measured.requests as u64;
                }
                observer.detach()?;
                // Who does not count is cheap.
                if let (Some(before), Some(after)) = (before, observer.requests(worker.pid())?) {
                    let (counted, who) = (after - before, variant.label());
                    anyhow::ensure!(
                        counted == sent,
                        "{who} counted {counted} of {sent} requests"
                    );
                }
            }
        }
        for (key, values) in fastest {
            floors.entry(key).or_default().push(least(&values));
        }
    }
    Ok(floors)
}
