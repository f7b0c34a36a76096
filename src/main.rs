// SPDX-License-Identifier: Apache-2.0
//! `scope-http-statistics`: wires the parts together.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Parser;
use log::LevelFilter;
use scope_http_statistics::cli::{Cli, Command};
use scope_http_statistics::kernel::load::Options;
use scope_http_statistics::page::live::Live;
use scope_http_statistics::prometheus::series_lifetime;
use scope_http_statistics::sampler::Sampler;
use scope_http_statistics::scope::plugin::{self, Plugin, Reports};
use scope_http_statistics::scope::socket::Endpoint;
use scope_http_statistics::serve::web;
use scope_http_statistics::terminal::{client, table, top};
use tokio::runtime::Runtime;
use tokio::sync::Notify;

fn main() -> ExitCode {
    let cli = Cli::parse();
    start_logging(cli.verbose);
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start_logging(verbose: u8) {
    // By default the few lines of the start, and what goes wrong.
    let (others, own) = match verbose {
        0 => (LevelFilter::Warn, LevelFilter::Info),
        1 => (LevelFilter::Info, LevelFilter::Debug),
        _ => (LevelFilter::Trace, LevelFilter::Trace),
    };
    env_logger::Builder::new()
        .filter_level(others)
        .filter_module("scope_http_statistics", own)
        .init();
}

fn run(cli: &Cli) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    if let Some(command) = &cli.command {
        let endpoint = Endpoint::below(&cli.plugins_root)?;
        return ask(&runtime, command, endpoint.path());
    }
    let stop = Arc::new(Notify::new());
    let signalled = Arc::clone(&stop);
    ctrlc::set_handler(move || signalled.notify_one()).context("cannot handle signals")?;
    runtime.block_on(async {
        tokio::select! {
            outcome = work(cli) => outcome,
            () = stop.notified() => Ok(()),
        }
    })
}

/// What the subcommands do with a running agent.
fn ask(runtime: &Runtime, command: &Command, socket: &Path) -> Result<()> {
    let text = match command {
        Command::Top => return top::run(runtime, socket),
        Command::Report { table: true } => {
            table::text(runtime.block_on(client::view(socket))?).into()
        }
        Command::Report { table: false } => runtime.block_on(client::report(socket))?,
    };
    let mut out = std::io::stdout().lock();
    out.write_all(&text).context("cannot print the report")
}

/// Serves until it is dropped: the socket goes first, then sampling ends.
async fn work(cli: &Cli) -> Result<()> {
    let endpoint = Endpoint::below(&cli.plugins_root)?;
    endpoint.clear().await?;
    let listener = web::bind(cli.listen).await?;
    let host = cli.host();
    log::info!("host id {host:?}: it must be what Weave Scope's probe calls this host");
    let (sampler, every) = Sampler::start(Options {
        backend: cli.backend(),
        max_processes: cli.max_processes,
        max_connections: cli.max_connections,
    })
    .await?;
    let socket = endpoint.bind().await?;
    log::info!("ready: GET /report on {}", endpoint.path().display());
    let live = Live::follow(host.clone(), sampler.latest(), every);
    let plugin = Plugin {
        reports: Reports::new(host, sampler.snapshots.clone()),
        live: Arc::clone(&live),
    };
    let plugin = plugin::serve(socket, &endpoint, plugin);
    match listener {
        Some(listener) => {
            let address = listener.local_addr()?;
            log::info!("page: http://{address}/, metrics: http://{address}/metrics");
            let scrape_contents =
                series_lifetime::follow(sampler.snapshots.clone(), cli.max_processes);
            tokio::select! {
                () = plugin => Ok(()),
                outcome = web::serve(&listener, live, scrape_contents, sampler.failures.clone()) => outcome,
            }
        }
        None => {
            plugin.await;
            Ok(())
        }
    }
}
