// SPDX-License-Identifier: Apache-2.0
//! What a scrape of a crowded host takes, and what it does to the reports that are asked for meanwhile.
//!
//! 10 000 workloads with 5 kinds of answers each, served by the real server on loopback. It fails where the fastest
//! scrape takes 300 ms or a report more than 200 ms longer than without scrapes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Result, ensure};
use scope_http_statistics::api::routes::Api;
use scope_http_statistics::identity::cgroup::Cgroup;
use scope_http_statistics::model::buckets::BOUNDS_US;
use scope_http_statistics::model::counters::KernelState;
use scope_http_statistics::model::histogram::Histogram;
use scope_http_statistics::model::increment::{Increment, Totals};
use scope_http_statistics::model::reason::Missed;
use scope_http_statistics::model::series_key::{Method, Scheme, SeriesKey, Version};
use scope_http_statistics::model::snapshot::{AgentState, Lately, Snapshot, WorkloadSnapshot};
use scope_http_statistics::model::workload::Workload;
use scope_http_statistics::page::live::Live;
use scope_http_statistics::prometheus::series_lifetime::{self, SeriesLifetimes};
use scope_http_statistics::scope::plugin::{self, Plugin};
use scope_http_statistics::scope::probe::Probe;
use scope_http_statistics::scope::reports::Reports;
use scope_http_statistics::scope::socket::Endpoint;
use scope_http_statistics::serve::port::Port;
use scope_http_statistics::serve::web::{self, Door, Health};
use tokio::sync::{mpsc, watch};

const WORKLOADS: u32 = 10_000;
const STATUS_CODES: [u16; 5] = [200, 204, 304, 404, 500];
const SCRAPES: usize = 10;
const SCRAPE_LIMIT: Duration = Duration::from_millis(300);
const REPORT_LIMIT: Duration = Duration::from_millis(200);

fn main() -> Result<()> {
    let folder = tempfile::tempdir_in("/tmp")?;
    let root = folder.path().to_owned();
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let outcome = serve(&root, |address, socket| {
            // Whoever listens ends last.
            let _ = sender.send((address, socket));
        });
        panic!("the server has ended: {outcome:?}");
    });
    let (address, socket) = receiver.recv()?;

    let quiet = reports_until(&socket, &AtomicBool::new(false), 40);
    let done = AtomicBool::new(false);
    let (scrapes, size, busy) = std::thread::scope(|scope| -> Result<_> {
        let reports = scope.spawn(|| reports_until(&socket, &done, usize::MAX));
        let mut scrapes = Vec::new();
        let mut size = 0;
        for _ in 0..SCRAPES {
            let start = Instant::now();
            size = scrape(address)?;
            scrapes.push(start.elapsed());
        }
        done.store(true, Ordering::Relaxed);
        let busy = reports
            .join()
            .map_err(|_| anyhow::anyhow!("a report failed"))?;
        Ok((scrapes, size, busy))
    })?;

    let (quiet, busy) = (median(quiet), median(busy));
    let fastest = scrapes.iter().min().copied().unwrap_or_default();
    println!(
        "{WORKLOADS} workloads with {} series each: {} MB",
        STATUS_CODES.len(),
        size >> 20
    );
    println!("scrape: floor {fastest:?}, median {:?}", median(scrapes));
    println!("report: median {quiet:?} without scrapes, {busy:?} during scrapes");
    ensure!(
        fastest < SCRAPE_LIMIT,
        "a scrape takes {fastest:?}, not {SCRAPE_LIMIT:?}"
    );
    ensure!(
        busy < quiet + REPORT_LIMIT,
        "a report waits for scrapes: {busy:?}"
    );
    Ok(())
}

fn serve(root: &Path, ready: impl FnOnce(SocketAddr, PathBuf)) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let (_each, every) = mpsc::channel(1);
        let (_publisher, snapshots) = watch::channel(Arc::new(snapshot()));
        let scrape_contents =
            series_lifetime::follow(snapshots.clone(), SeriesLifetimes::by_workload());
        let port = Port::take("127.0.0.1:0".parse().map_err(anyhow::Error::msg)?).await?;
        let Some(listener) = port.listener().await else {
            unreachable!("an address was given")
        };
        let endpoint = Endpoint::below(root)?;
        let socket = endpoint.bind().await?;
        ready(listener.local_addr()?, endpoint.path().to_owned());
        let first = Arc::clone(&snapshots.borrow());
        let live = Live::follow("host".to_owned(), first, every);
        let api = Arc::new(Api::new("host".to_owned(), snapshots.clone()));
        let plugin = Plugin {
            probe: Arc::new(Probe::new("host".to_owned())),
            reports: Reports::follow("host".to_owned(), snapshots),
            live: Arc::clone(&live),
            api: Arc::clone(&api),
        };
        tokio::select! {
            () = plugin::serve(socket, &endpoint, plugin) => Ok(()),
            outcome = web::serve(&listener, live, api, scrape_contents, Health::default(), Door::default()) => outcome,
        }
    })
}

fn snapshot() -> Snapshot {
    let series = |pid: u32| {
        STATUS_CODES.into_iter().map(move |status| {
            let key = SeriesKey {
                method: Method::Get,
                status,
                version: Version::V1_1,
                scheme: Scheme::Http,
            };
            let mut histogram = Histogram::default();
            for bound in BOUNDS_US {
                histogram += &Histogram::of(u64::from(pid), bound * 1000);
            }
            (key, histogram)
        })
    };
    let workload = |n: u32| {
        let workload = Workload {
            executable: Some("server".into()),
            cgroup: Cgroup {
                container_id: Some(format!("{n:064x}").into()),
                ..Cgroup::default()
            },
            port: None,
        };
        let mut totals = Totals::default();
        let increment = Increment {
            requests: 1_000_000,
            series: series(n).collect(),
            ..Increment::default()
        };
        totals.add(&increment, Instant::now());
        Arc::new(WorkloadSnapshot {
            workload: Arc::new(workload),
            totals,
            lately: Lately::default(),
            rest: Totals::default(),
            increment: Increment::default(),
            unlisted: 0,
            processes: 1,
            since: Instant::now(),
        })
    };
    Snapshot {
        date: SystemTime::now(),
        // It is all that there is, and must not grow old.
        taken: Instant::now() + Duration::from_secs(3600),
        elapsed: Duration::from_secs(1),
        dates: Vec::new(),
        processes: Arc::default(),
        workloads: (0..WORKLOADS).map(workload).collect(),
        missed: Missed::default(),
        kernel: KernelState::default(),
        agent: AgentState::default(),
    }
}

/// Returns the size of what came.
fn scrape(address: SocketAddr) -> Result<usize> {
    let mut stream = TcpStream::connect(address)?;
    write!(
        stream,
        "GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    let mut buffer = vec![0; 1 << 20];
    let mut size = 0;
    loop {
        match stream.read(&mut buffer)? {
            0 => break,
            length => size += length,
        }
    }
    ensure!(size > 1 << 20, "only {size} bytes came");
    Ok(size)
}

/// How long each of the reports took.
fn reports_until(socket: &Path, done: &AtomicBool, count: usize) -> Vec<Duration> {
    let mut times = Vec::new();
    while times.is_empty() || (!done.load(Ordering::Relaxed) && times.len() < count) {
        let start = Instant::now();
        let mut stream = UnixStream::connect(socket).expect("the socket is there");
        stream
            .write_all(b"GET /report HTTP/1.1\r\nHost: plugin\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n")
            .expect("a request is taken");
        let mut report = Vec::new();
        stream.read_to_end(&mut report).expect("a report comes");
        assert!(report.starts_with(b"HTTP/1.1 200"));
        times.push(start.elapsed());
        std::thread::sleep(Duration::from_millis(10));
    }
    times
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
