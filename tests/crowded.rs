// SPDX-License-Identifier: Apache-2.0
//! Clients that keep the agent busy or waiting, and hosts that grant it little: whoever comes is served all the same.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::time::{Duration, Instant};

use common::agent::{Agent, Program, Response, connect as connect_unix};
use common::answering::{answering, ask as ask_server};
use common::cgroup::ControlGroup;
use common::process::eventually;
use common::web::{self, ask, connect, sample, text};
use nix::sys::resource::{Resource, setrlimit};
use rustix::net::sockopt::set_socket_recv_buffer_size;

const AGENT: Program = common::agent!();

/// Far more than an answer needs, for machines that are busy with other things, and less than any limit after which the agent leaves a
/// client by itself.
const PATIENCE: Duration = Duration::from_secs(4);

/// As many as there are places, and more.
const CROWD: usize = 100;

fn scrape(address: SocketAddr) -> Response {
    let start = Instant::now();
    let response = ask(address, "GET", "/metrics", &[]);
    assert_eq!(response.status, 200);
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
    response
}

fn warnings(agent: &Agent) -> usize {
    agent.log().matches(" WARN ").count()
}

#[test]
fn half_sent_requests_keep_no_scraper_out() {
    let (_agent, address) = web::start(AGENT, &[]);
    let mut crowd = Vec::new();
    for _ in 0..CROWD {
        let mut stream = connect(address);
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHo").unwrap();
        crowd.push(stream);
    }
    for _ in 0..60 {
        scrape(address);
    }
    drop(crowd);
}

#[test]
fn half_sent_requests_keep_no_probe_out() {
    let agent = AGENT.start(&[]);
    let halves = (0..CROWD).map(|_| {
        let mut stream = connect_unix(&agent.socket());
        stream.write_all(b"GET /report HTTP/1.1\r\nHo").unwrap();
        stream
    });
    let crowd: Vec<UnixStream> = halves.collect();
    for _ in 0..60 {
        let start = Instant::now();
        assert_eq!(agent.get("/report").status, 200);
        assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
    }
    drop(crowd);
}

/// A client that asks, and reads the first bytes of the answer and no more.
fn silent(address: SocketAddr, path: &str, times: usize) -> TcpStream {
    let mut stream = connect(address);
    if path == "/metrics" {
        // So that what it does not read stays with the agent.
        set_socket_recv_buffer_size(&stream, 1024).unwrap();
    }
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.repeat(times).as_bytes()).unwrap();
    let mut start = [0; 12];
    stream.read_exact(&mut start).unwrap();
    assert_eq!(&start, b"HTTP/1.1 200");
    stream
}

#[test]
fn silent_pages_make_room_for_others() {
    let (agent, address) = web::start(AGENT, &[]);
    let mut pages: Vec<_> = (0..16).map(|_| silent(address, "/events", 1)).collect();
    for _ in 0..5 {
        let mut page = silent(address, "/events", 1);
        // It is one that goes on.
        page.read_exact(&mut [0; 1000]).unwrap();
        pages.push(page);
        scrape(address);
    }
    // The oldest had to go, and whoever came last is still there.
    let mut gone = 0;
    for page in &mut pages {
        // Shorter than from one event to the next.
        let quiet = Duration::from_millis(400);
        page.set_read_timeout(Some(quiet)).unwrap();
        let end = loop {
            match page.read(&mut [0; 65536]) {
                Ok(0) => break true,
                Ok(_) => {}
                Err(error) => break error.kind() != ErrorKind::WouldBlock,
            }
        };
        gone += usize::from(end);
    }
    assert_eq!(gone, 5);
    assert_eq!(warnings(&agent), 0, "{}", agent.log());
}

#[test]
fn slow_readers_of_the_metrics_make_room_for_others() {
    let (agent, address) = web::start(AGENT, &[]);
    // Enough to say for a text that does not fit into what lies between.
    let servers: Vec<_> = (0..3).map(|_| answering("slow")).collect();
    for (server, kinds) in servers.iter().zip([200, 300, 400]) {
        for kind in kinds..kinds + 100 {
            ask_server(server, kind, 1);
        }
    }
    eventually(true, || scrape(address).body.len() > 300_000);
    for readers in [8, CROWD] {
        let slow: Vec<_> = (0..readers)
            .map(|_| silent(address, "/metrics", 20))
            .collect();
        for _ in 0..10 {
            scrape(address);
        }
        drop(slow);
    }
    assert_eq!(warnings(&agent), 0, "{}", agent.log());
}

#[test]
fn few_descriptors_are_one_warning_and_enough() {
    const LIMIT: u64 = 96;
    let mut command = AGENT.command();
    // SAFETY: a plain system call.
    unsafe {
        command.pre_exec(|| Ok(setrlimit(Resource::RLIMIT_NOFILE, LIMIT, LIMIT)?));
    }
    let agent = Agent::try_start(command, &["--listen", "127.0.0.1:0", "--per-process"])
        .unwrap_or_else(|error| panic!("{error}"));
    let address = web::address(&agent);
    let server = answering("few");
    let mut asked = 0;
    for _ in 0..3 {
        let crowd: Vec<_> = (0..CROWD).map(|_| connect(address)).collect();
        let others: Vec<_> = (0..CROWD).map(|_| connect_unix(&agent.socket())).collect();
        ask_server(&server, 200, 11);
        asked += 11;
        scrape(address);
        assert_eq!(agent.get("/report").status, 200);
        drop((crowd, others));
    }
    let pid = format!("process_pid=\"{}\"", server.pid());
    eventually(Some(f64::from(asked)), || {
        sample(
            &text(address, "/metrics"),
            "http_server_requests_total",
            &[&pid],
        )
    });
    let log = agent.log();
    assert_eq!(warnings(&agent), 1, "{log}");
    assert!(log.contains("no more than 96 open files"), "{log}");
    let failures = "scope_http_harvest_failures_total";
    assert_eq!(sample(&text(address, "/metrics"), failures, &[]), Some(0.0));
}

/// A hundredth of a CPU.
#[test]
fn little_of_a_cpu_is_slow_and_right() {
    let name = format!("http-stat-cpu-{}", std::process::id());
    let group = ControlGroup::with_cpu(&name, 1);
    let members = File::options().write(true).open(group.members()).unwrap();
    let mut command = AGENT.command();
    // SAFETY: it writes one byte, and allocates nothing.
    unsafe {
        command.pre_exec(move || (&members).write_all(b"0"));
    }
    let agent = Agent::try_start(command, &["--listen", "127.0.0.1:0", "--per-process"])
        .unwrap_or_else(|error| panic!("{error}"));
    let server = answering("little");
    ask_server(&server, 200, 37);
    let pid = format!(";{}", server.pid());
    let rate = || {
        let report = agent.report();
        let nodes = report["Process"]["nodes"].as_object().unwrap();
        let node = nodes.iter().find(|(name, _)| name.ends_with(&pid));
        node.is_some()
    };
    eventually(true, rate);
    let address = web::address(&agent);
    let label = format!("process_pid=\"{}\"", server.pid());
    eventually(Some(37.0), || {
        let metrics = text(address, "/metrics");
        sample(&metrics, "http_server_requests_total", &[&label])
    });
    assert!(warnings(&agent) <= 1, "{}", agent.log());
    let status = fs::read_to_string(format!("/proc/{}/status", agent.pid())).unwrap();
    assert!(status.contains("Seccomp:\t2"), "{status}");
}
