// SPDX-License-Identifier: Apache-2.0
//! `scope-http-statistics`: wires the parts together.

use std::future;
use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Parser;
use env_logger::Target;
use log::LevelFilter;
use scope_http_statistics::api::routes::Api;
use scope_http_statistics::check::Check;
use scope_http_statistics::cli::{Cli, Command};
use scope_http_statistics::confine;
use scope_http_statistics::identity::namespace::PidNamespace;
use scope_http_statistics::page::live::Live;
use scope_http_statistics::prometheus::series_lifetime::{self, SeriesLifetimes};
use scope_http_statistics::sampler::Sampler;
use scope_http_statistics::scope::plugin::{self, Plugin};
use scope_http_statistics::scope::probe::Probe;
use scope_http_statistics::scope::reports::Reports;
use scope_http_statistics::scope::socket::Endpoint;
use scope_http_statistics::serve::port::Port;
use scope_http_statistics::serve::web::{self, Health};
use scope_http_statistics::stderr;
use scope_http_statistics::terminal::address::{Address, Url};
use scope_http_statistics::terminal::asked::Source;
use scope_http_statistics::terminal::own::Own;
use scope_http_statistics::terminal::{client, table, top};
use scope_http_statistics::tls::helper;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::Notify;

fn main() -> ExitCode {
    let cli = Cli::parse();
    start_logging(cli.verbose);
    match run(&cli) {
        Ok(code) => code,
        Err(error) => {
            // Whoever should read it may be gone.
            let _ = stderr::unhurried().write_all(format!("error: {error:#}\n").as_bytes());
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
        .target(Target::Pipe(Box::new(stderr::unhurried())))
        .init();
}

fn run(cli: &Cli) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    if let Some(command) = &cli.command {
        return obey(cli, &runtime, command);
    }
    let stop = Arc::new(Notify::new());
    handle_signals(Arc::clone(&stop))?;
    runtime.block_on(async {
        tokio::select! {
            outcome = work(cli) => outcome,
            () = stop.notified() => Ok(()),
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

/// The thread that waits for signals has the rights of the one that starts it: none.
fn handle_signals(stop: Arc<Notify>) -> Result<()> {
    let handle = || {
        confine::waiting();
        ctrlc::set_handler(move || stop.notify_one()).context("cannot handle signals")
    };
    thread::scope(|scope| {
        let starting = thread::Builder::new().spawn_scoped(scope, handle);
        let started = starting.context("cannot start a thread")?.join();
        started.unwrap_or_else(|_| bail!("the thread that handles signals has panicked"))
    })
}

/// Whether an agent would count here.
fn check(cli: &Cli, json: bool) -> Result<ExitCode> {
    let check = Check::run(cli);
    let text = if json {
        let json = serde_json::to_string_pretty(&check).context("cannot write JSON")?;
        json + "\n"
    } else {
        check.text()
    };
    print(text.as_bytes())?;
    Ok(if check.works() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn print(text: &[u8]) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text).context("cannot print")
}

/// A subcommand.
fn obey(cli: &Cli, runtime: &Runtime, command: &Command) -> Result<ExitCode> {
    let socket = || Endpoint::below(&cli.plugins_root).map(|it| it.path().to_owned());
    let agent = |url: &Option<Url>| match url {
        Some(url) => Ok(Address::Url(url.clone())),
        None => socket().map(Address::Socket),
    };
    match command {
        Command::Top { url, interval } => {
            let source = source(cli, runtime, agent(url)?)?;
            top::run(runtime, source, Duration::from_secs(*interval))?;
        }
        Command::Report {
            table: true, url, ..
        } => {
            let document = runtime.block_on(client::document(&agent(url)?, true))?;
            print(table::text(&document).as_bytes())?;
        }
        Command::Report {
            json: true, url, ..
        } => print(&runtime.block_on(client::json(&agent(url)?))?)?,
        Command::Report { url: Some(_), .. } => {
            bail!("Weave Scope's report is on the socket only: --url goes with --json or --table")
        }
        Command::Report { .. } => print(&runtime.block_on(client::report(&socket()?))?)?,
        Command::LookIntoTls => helper::run()?,
        Command::Check { json } => return check(cli, *json),
    }
    Ok(ExitCode::SUCCESS)
}

/// Who is looked at: the agent that is running, or else one of this process' own.
fn source(cli: &Cli, runtime: &Runtime, agent: Address) -> Result<Source> {
    match &agent {
        Address::Socket(socket) if !client::is_running(socket) => {
            top::needs_terminal()?;
            eprintln!(
                "No agent is running behind {}: starting one until you quit...",
                socket.display()
            );
            let own = Own::start(runtime, cli.host(), cli.options()).with_context(|| {
                format!("no agent is running behind {agent}, and none can be started here")
            })?;
            Ok(Source::Own(own))
        }
        _ => Ok(Source::Running(agent)),
    }
}

/// Serves until it is dropped: the socket goes first, then sampling ends.
async fn work(cli: &Cli) -> Result<()> {
    let endpoint = Endpoint::below(&cli.plugins_root)?;
    endpoint.clear().await?;
    let port = Port::take(cli.listen).await?;
    let host = cli.host();
    log::debug!("host id {host:?}");
    if PidNamespace::here() == PidNamespace::Own {
        log::info!(
            "in a pid namespace of its own: the pids shown are those of the host, not of this namespace"
        );
    }
    let (sampler, every) = Sampler::start(cli.options()).await?;
    endpoint.make_root()?;
    confine::serving(&cli.plugins_root, port.awaited());
    confine::calling();
    // As it may have to be done again later.
    let socket = endpoint.bind().await?;
    if let Some(address) = port.address() {
        say_where_the_page_is(address);
    }
    log::info!("socket for Weave Scope: {}", endpoint.path().display());
    let kernel = &sampler.latest().kernel;
    log::debug!("{}, since: {}", kernel.backend, kernel.reason);
    let why = match &*kernel.reason {
        others if others.starts_with("not ") => "the best that works here (-v says why)",
        why => why,
    };
    log::info!("backend {}: {why}", kernel.backend);
    let live = Live::follow(host.clone(), sampler.latest(), every);
    let api = Arc::new(Api::new(host.clone(), sampler.snapshots.clone()));
    let reports = Reports::follow(host.clone(), sampler.snapshots.clone());
    let plugin = Plugin {
        probe: Arc::new(Probe::new(host.clone())),
        reports: Arc::clone(&reports),
        live: Arc::clone(&live),
        api: Arc::clone(&api),
    };
    let plugin = plugin::serve(socket, &endpoint, plugin);
    let lifetimes = if cli.per_process {
        SeriesLifetimes::by_process(cli.max_processes as usize)
    } else {
        SeriesLifetimes::by_workload()
    };
    let scrape_contents = series_lifetime::follow(sampler.snapshots.clone(), lifetimes);
    let health = Health {
        failures: sampler.failures.clone(),
        reduction: Arc::clone(&reports.reduction),
    };
    let web = async {
        let Some(listener) = listen(port).await? else {
            return future::pending().await;
        };
        web::serve(&listener, live, api, scrape_contents, health).await
    };
    tokio::select! {
        () = plugin => Ok(()),
        outcome = web => outcome,
    }
}

/// Says where the page is, when it is there later than all else.
async fn listen(port: Port) -> Result<Option<TcpListener>> {
    let is_late = port.awaited().is_some();
    let Some(listener) = port.listener().await else {
        return Ok(None);
    };
    confine::listening().context("a capability cannot be given up")?;
    if is_late {
        say_where_the_page_is(listener.local_addr()?);
    }
    Ok(Some(listener))
}

fn say_where_the_page_is(address: SocketAddr) {
    log::info!("page: http://{address}/, metrics: http://{address}/metrics");
}
