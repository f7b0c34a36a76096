// SPDX-License-Identifier: Apache-2.0
//! What the agent and its maps take with many processes and connections.

mod agent;
mod charged;
mod crowd;
mod http2;
mod kernel;
mod load;
mod sample;
mod scale;
mod table;

use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use nix::unistd::alarm;
use scope_http_statistics::kernel::backend::Backend;

use crate::agent::Agent;
use crate::sample::Sample;

/// All are one user's, who gets half of a table.
const MAX_PROCESSES: u32 = 24_000;
const MAX_CONNECTIONS: u32 = 131_072;
/// Everything ends when this process does, which the kernel sees to after so many seconds.
const LIMIT_S: u32 = 1800;
/// How long the agent remembers the rates of a process.
const HISTORY: Duration = Duration::from_secs(62);

/// Measures the memory of the agent, first with nothing to count and then with a lot
#[derive(Parser)]
struct Cli {
    /// Do not wait until the agent's minute of history is full
    #[arg(long)]
    quick: bool,
    /// Only what the agent itself costs, by how much there is to count
    #[arg(long)]
    scale: bool,
    /// Only what its control group is charged
    #[arg(long, conflicts_with = "scale")]
    charged: bool,
    /// Of the rows of --scale, only those whose names have this in them
    #[arg(requires = "scale")]
    rows: Option<String>,
    /// Only what connections of HTTP/2 take
    #[arg(long, conflicts_with_all = ["scale", "charged"])]
    http2: bool,
    /// Cargo says so to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    alarm::set(LIMIT_S);
    if cli.charged {
        return charged::print();
    }
    if cli.http2 {
        return http2::print();
    }
    scale::print(cli.quick, cli.rows.as_deref().unwrap_or_default())?;
    if cli.scale {
        return Ok(());
    }
    // `fexit` keeps what `sock` keeps.
    for backend in [Backend::Sock, Backend::Syscall] {
        measure(backend, cli.quick)?;
    }
    http2::print()
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
    agent.wait_for(servers.count() + holders.count())?;
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
