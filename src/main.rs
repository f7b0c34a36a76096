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
use mimalloc::MiMalloc;
use scope_http_statistics::api::routes::Api;
use scope_http_statistics::check::Check;
use scope_http_statistics::cli::{Cli, Command};
use scope_http_statistics::config::{self, Refusal};
use scope_http_statistics::confine;
use scope_http_statistics::footprint;
use scope_http_statistics::identity::namespace::PidNamespace;
use scope_http_statistics::logging::{self, LogFormat};
use scope_http_statistics::model::tick::Moment;
use scope_http_statistics::otlp::client::Client;
use scope_http_statistics::otlp::push::{Pusher, Pushes};
use scope_http_statistics::page::live::Live;
use scope_http_statistics::prometheus::series_lifetime::{self, SeriesLifetimes};
use scope_http_statistics::sampler::Sampler;
use scope_http_statistics::scope::plugin::{self, Plugin};
use scope_http_statistics::scope::probe::Probe;
use scope_http_statistics::scope::reports::Reports;
use scope_http_statistics::scope::socket::Endpoint;
use scope_http_statistics::serve::access::{Access, Source};
use scope_http_statistics::serve::port::Port;
use scope_http_statistics::serve::web::{self, Door, Health};
use scope_http_statistics::supervisor::Supervisor;
use scope_http_statistics::terminal::address::{Address, Url};
use scope_http_statistics::terminal::asked;
use scope_http_statistics::terminal::own::Own;
use scope_http_statistics::terminal::{client, manual, table, top};
use scope_http_statistics::tls::helper;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::Notify;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// As clap has it.
const WRONG_COMMAND_LINE: u8 = 2;

fn main() -> ExitCode {
    footprint::keep_small();
    let args: Vec<_> = std::env::args_os().collect();
    let cli = match config::command_line(&args) {
        Ok(cli) => cli,
        Err(Refusal::Flags(error)) => error.exit(),
        Err(Refusal::File(error)) => {
            logging::last_words(LogFormat::Text, format!("{error:#}"));
            return ExitCode::from(WRONG_COMMAND_LINE);
        }
    };
    logging::start(cli.verbose, cli.log_format);
    match run(&cli) {
        Ok(code) => code,
        Err(error) => {
            logging::last_words(cli.log_format, format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
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
    let supervisor = Supervisor::of_this_process();
    let pushes = Arc::<Pushes>::default();
    // Told before what works is dropped.
    let stopping = async {
        stop.notified().await;
        supervisor.tell("STOPPING=1");
        pushes.finish().await;
    };
    runtime.block_on(async {
        tokio::select! {
            outcome = work(cli, &supervisor, &pushes) => outcome,
            () = stopping => Ok(()),
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
        Command::Generate { folder } => manual::write(folder)?,
        Command::LookIntoTls => helper::run()?,
        Command::Check { json } => return check(cli, *json),
    }
    Ok(ExitCode::SUCCESS)
}

/// Who is looked at: the agent that is running, or else one of this process' own.
fn source(cli: &Cli, runtime: &Runtime, agent: Address) -> Result<asked::Source> {
    match &agent {
        Address::Socket(socket) if !client::is_running(socket) => {
            top::needs_terminal()?;
            eprintln!(
                "No agent is running behind {}: starting one until you quit...",
                socket.display()
            );
            let own = Own::start(runtime, cli.host(), cli.options(), cli.selection())
                .with_context(|| {
                    format!("no agent is running behind {agent}, and none can be started here")
                })?;
            Ok(asked::Source::Own(own))
        }
        _ => Ok(asked::Source::Running(agent)),
    }
}

/// Serves until it is dropped: the socket goes first, then sampling ends.
async fn work(cli: &Cli, supervisor: &Supervisor, pushes: &Arc<Pushes>) -> Result<()> {
    let endpoint = Endpoint::below(&cli.plugins_root)?;
    endpoint.clear().await?;
    let (access, source) = match &cli.web_config_file {
        None => (Access::default(), None),
        Some(path) => {
            let (access, source) = Access::load(path).context("--web-config-file")?;
            (access, Some(source))
        }
    };
    let collector = cli.otlp.settings()?.map(Client::new).transpose();
    let collector = collector.context("--otlp")?;
    let port = Port::take(cli.listen).await?;
    let host = cli.host();
    log::debug!("host id {host:?}");
    if PidNamespace::here() == PidNamespace::Own {
        log::info!(
            "in a pid namespace of its own: the pids shown are those of the host, not of this namespace"
        );
    }
    let (sampler, every) = Sampler::start(cli.options(), cli.selection()).await?;
    endpoint.make_root()?;
    let probe = Arc::new(Probe::new(host.clone()));
    probe.compare_hosts();
    let readable = source.as_ref().map(Source::folders).unwrap_or_default();
    let outside = collector.as_ref().map(Client::destination);
    confine::serving(&cli.plugins_root, port.awaited(), &readable, outside);
    confine::calling(outside);
    if let Some(source) = source {
        source.follow();
    }
    // As it may have to be done again later.
    let socket = endpoint.bind().await?;
    if let Some(address) = port.address() {
        say_where_the_page_is(address, access.scheme());
    }
    log::info!("socket for Weave Scope: {}", endpoint.path().display());
    let kernel = &sampler.latest().kernel;
    log::debug!("{}, since: {}", kernel.backend, kernel.reason);
    let why = match &*kernel.reason {
        others if others.starts_with("not ") => "the best that works here (-v says why)",
        why => why,
    };
    log::info!("backend {}: {why}", kernel.backend);
    supervisor.ready(sampler.snapshots.clone());
    let first = sampler.latest();
    let live = Live::follow(host.clone(), Arc::clone(&first), every);
    let api = Arc::new(Api::new(host.clone(), sampler.snapshots.clone()));
    let reports = Reports::follow(host.clone(), sampler.snapshots.clone());
    let plugin = Plugin {
        probe,
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
        pushes: Arc::clone(pushes),
    };
    if let Some(client) = collector {
        let start = Moment {
            instant: first.taken,
            date: first.date,
        };
        Pusher::new(client, host, start, scrape_contents.clone(), health.clone()).start();
    }
    let web = async {
        let Some(listener) = listen(port, access.scheme()).await? else {
            return future::pending().await;
        };
        let door = Door {
            hosts: cli.allow_host.clone(),
            access,
        };
        web::serve(&listener, live, api, scrape_contents, health, door).await
    };
    tokio::select! {
        () = plugin => Ok(()),
        outcome = web => outcome,
    }
}

/// Says where the page is, when it is there later than all else.
async fn listen(port: Port, scheme: &str) -> Result<Option<TcpListener>> {
    let is_late = port.awaited().is_some();
    let Some(listener) = port.listener().await else {
        return Ok(None);
    };
    confine::listening().context("a capability cannot be given up")?;
    if is_late {
        say_where_the_page_is(listener.local_addr()?, scheme);
    }
    Ok(Some(listener))
}

fn say_where_the_page_is(address: SocketAddr, scheme: &str) {
    log::info!("page: {scheme}://{address}/, metrics: {scheme}://{address}/metrics");
}
