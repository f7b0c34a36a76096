// SPDX-License-Identifier: Apache-2.0
//! `scope-http-statistics`: wires the parts together.

use std::future;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result, bail};
use mimalloc::MiMalloc;
use scope_http_statistics::check::Check;
use scope_http_statistics::cli::{Cli, Command};
use scope_http_statistics::config::{self, Refusal};
use scope_http_statistics::confine;
use scope_http_statistics::footprint;
use scope_http_statistics::identity::namespace::PidNamespace;
use scope_http_statistics::kernel::load::Options;
use scope_http_statistics::logging::{self, LogFormat};
use scope_http_statistics::model::tick::Moment;
use scope_http_statistics::otlp::client::Client;
use scope_http_statistics::otlp::push::{Pusher, Pushes};
use scope_http_statistics::page::live::Live;
use scope_http_statistics::prometheus::series_lifetime::{self, SeriesLifetimes};
use scope_http_statistics::sampler::Sampler;
use scope_http_statistics::scope::plugin::{self, Plugin};
use scope_http_statistics::scope::reports::Reports;
use scope_http_statistics::scope::socket::Endpoint;
use scope_http_statistics::serve::access::{Access, Source};
use scope_http_statistics::serve::port::Port;
use scope_http_statistics::serve::web::{self, Door, Health};
use scope_http_statistics::supervisor::Supervisor;
use scope_http_statistics::terminal::{client, table, top};
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

/// A subcommand: all but one ask a running agent.
fn obey(cli: &Cli, runtime: &Runtime, command: &Command) -> Result<ExitCode> {
    let endpoint = || Endpoint::below(&cli.plugins_root);
    match command {
        Command::Top => top::run(runtime, endpoint()?.path())?,
        Command::Report { table: true } => {
            let view = runtime.block_on(client::view(endpoint()?.path()))?;
            print(table::text(view).as_bytes())?;
        }
        Command::Report { table: false } => {
            print(&runtime.block_on(client::report(endpoint()?.path()))?)?;
        }
        Command::LookIntoTls => helper::run()?,
        Command::Check { json } => return check(cli, *json),
    }
    Ok(ExitCode::SUCCESS)
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
    log::info!("host id {host:?}: it must be what Weave Scope's probe calls this host");
    if PidNamespace::here() == PidNamespace::Own {
        log::info!(
            "in a pid namespace of its own: the pids shown are those of the host, not of this namespace"
        );
    }
    let options = Options {
        backend: cli.backend(),
        max_processes: cli.max_processes,
        max_workloads: cli.max_workloads,
        max_connections: cli.max_connections,
        max_h2_connections: cli.max_h2_connections,
        max_tls_connections: cli.max_tls_connections(),
    };
    let (sampler, every) = Sampler::start(options, cli.selection()).await?;
    endpoint.make_root()?;
    let readable = source.as_ref().map(Source::folders).unwrap_or_default();
    let outside = collector.as_ref().map(Client::destination);
    confine::serving(&cli.plugins_root, port.awaited(), &readable, outside);
    confine::calling(outside);
    if let Some(source) = source {
        source.follow();
    }
    // As it may have to be done again later.
    let socket = endpoint.bind().await?;
    log::info!("ready: GET /report on {}", endpoint.path().display());
    supervisor.ready(sampler.snapshots.clone());
    let first = sampler.latest();
    let live = Live::follow(host.clone(), Arc::clone(&first), every);
    let reports = Reports::follow(host.clone(), sampler.snapshots.clone());
    let plugin = Plugin {
        reports: Arc::clone(&reports),
        live: Arc::clone(&live),
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
        web::serve(&listener, live, scrape_contents, health, door).await
    };
    tokio::select! {
        () = plugin => Ok(()),
        outcome = web => outcome,
    }
}

/// Says where the page is, when it is there.
async fn listen(port: Port, scheme: &str) -> Result<Option<TcpListener>> {
    let Some(listener) = port.listener().await else {
        return Ok(None);
    };
    confine::listening().context("a capability cannot be given up")?;
    let address = listener.local_addr()?;
    log::info!("page: {scheme}://{address}/, metrics: {scheme}://{address}/metrics");
    Ok(Some(listener))
}
