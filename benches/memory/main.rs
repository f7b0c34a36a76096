// SPDX-License-Identifier: Apache-2.0
//! What the agent and its maps take with many processes and connections.

mod agent;
mod crowd;
mod kernel;
mod load;
mod sample;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Parser;
use nix::unistd::alarm;
use scope_http_statistics::kernel::backend::Backend;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::agent::{Agent, INTERVAL};
use crate::sample::Sample;

const MAX_PROCESSES: u32 = 12_000;
const MAX_CONNECTIONS: u32 = 131_072;
/// Everything ends when this process does, which the kernel sees to after so many seconds.
const LIMIT_S: u32 = 600;
const HARVEST_LIMIT: Duration = Duration::from_secs(30);
/// How long the agent remembers the rates of a process.
const HISTORY: Duration = Duration::from_secs(62);

/// Measures the memory of the agent, first with nothing to count and then with a lot
#[derive(Parser)]
struct Cli {
    /// Do not wait until the agent's minute of history is full
    #[arg(long)]
    quick: bool,
    /// Cargo says so to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    alarm::set(LIMIT_S);
    // `fexit` keeps what `sock` keeps.
    for backend in [Backend::Sock, Backend::Syscall] {
        measure(backend, cli.quick)?;
    }
    Ok(())
}

fn measure(backend: Backend, quick: bool) -> Result<()> {
    let agent = Agent::start(backend, MAX_PROCESSES, MAX_CONNECTIONS)?;
    let mut samples = vec![("idle", Sample::of(&agent)?)];

    let servers = load::processes()?;
    servers.wait()?;
    let holders = load::connections()?;
    holders.wait()?;
    // The connections are open: from here on only their state is new.
    let before = kernel::caches()?;
    holders.open()?;
    holders.wait()?;
    let pids = servers.pids().chain(holders.pids());
    wait_for_nodes(&agent, pids.map(|pid| pid.to_string()).collect())?;
    let after = kernel::caches()?;

    samples.push(("loaded", Sample::of(&agent)?));
    if !quick {
        sleep(HISTORY);
        samples.push(("a minute later", Sample::of(&agent)?));
    }
    table::print(backend, &samples);
    table::print_growth(&before, &after);
    Ok(())
}

/// No more of the report than is looked at: a large heap would make the next ten thousand forks slow.
#[derive(Deserialize)]
struct Report {
    #[serde(rename = "Process")]
    process: Processes,
}

#[derive(Deserialize)]
struct Processes {
    nodes: BTreeMap<String, IgnoredAny>,
}

/// Waits until the report has a node for each of these processes.
fn wait_for_nodes(agent: &Agent, mut pids: BTreeSet<String>) -> Result<()> {
    let start = Instant::now();
    while !pids.is_empty() {
        let missing = pids.len();
        ensure!(
            start.elapsed() < HARVEST_LIMIT,
            "{missing} processes are missing in the report"
        );
        sleep(INTERVAL);
        let report: Report = serde_json::from_slice(&agent.report("identity")?)?;
        let nodes = report.process.nodes.keys();
        for (_, pid) in nodes.filter_map(|id| id.rsplit_once(';')) {
            pids.remove(pid);
        }
    }
    Ok(())
}
