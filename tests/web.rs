// SPDX-License-Identifier: Apache-2.0
//! What the TCP listener refuses, and that no client gets it out of step.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use common::agent::{Agent, Program, Response, folder, output_of};
use common::answering::{self, answering};
use common::process::eventually;
use common::prometheus::Prometheus;
use common::tls;
use common::web::{self, ask, connect, sample, text};
use scope_http_statistics::page::view::{Process, View};

const AGENT: Program = common::agent!();

/// Far more than an answer needs, for machines that are busy with other things.
const PATIENCE: Duration = Duration::from_secs(3);
/// What thousands of bad clients may leave behind.
const GROWTH_BYTES: f64 = 8e6;

fn resident_bytes(agent: &Agent) -> f64 {
    let statm = fs::read_to_string(format!("/proc/{}/statm", agent.pid())).unwrap();
    let pages: f64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096.0
}

/// Both listeners answer at once.
fn assert_in_time(agent: &Agent, address: SocketAddr) {
    let start = Instant::now();
    assert_eq!(agent.get("/report").status, 200);
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
    let start = Instant::now();
    assert_eq!(ask(address, "GET", "/metrics", &[]).status, 200);
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
}

/// What a browser is told with every answer.
fn assert_safe(response: &Response) {
    let policy = response.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; script-src 'self';"));
    for (name, value) in [
        ("cross-origin-resource-policy", Some("same-origin")),
        ("referrer-policy", Some("no-referrer")),
        ("x-content-type-options", Some("nosniff")),
        ("cache-control", Some("no-store")),
        ("access-control-allow-origin", None),
    ] {
        assert_eq!(response.header(name), value, "{response:?}");
    }
}

#[test]
fn serves_to_those_who_mean_this_host_and_only_to_read() {
    let (agent, address) = web::start(AGENT, &["--allow-host", "page.example"]);
    for path in [
        "/",
        "/app.js",
        "/style.css",
        "/icon.svg",
        "/metrics",
        "/api/v1",
        "/api/v1/processes",
        "/api/v1/workloads?limit=7",
    ] {
        let whole = ask(address, "GET", path, &[]);
        assert_eq!(whole.status, 200, "{path}");
        assert!(!whole.body.is_empty());
        let head = ask(address, "HEAD", path, &[]);
        assert_eq!((head.status, head.body.len()), (200, 0), "{path}");
        assert_safe(&whole);
        assert_safe(&head);
    }
    for path in ["/healthz", "/readyz"] {
        let answer = text(address, path);
        assert!(answer.starts_with("counting by "), "{answer}");
        assert_safe(&ask(address, "HEAD", path, &[]));
        assert_eq!(agent.get(path).status, 200, "{path}");
    }
    for path in [
        "/nothing",
        "/../Cargo.toml",
        "/page/app.js",
        "//",
        "/report",
        "/api/v2",
    ] {
        let response = ask(address, "GET", path, &[]);
        assert_eq!(response.status, 404, "{path}");
        assert_safe(&response);
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "ODD"] {
        let response = ask(address, method, "/metrics", &[]);
        assert_eq!(response.status, 405, "{method}");
        assert_eq!(response.header("allow"), Some("GET, HEAD"));
        assert_safe(&response);
    }
    assert_eq!(ask(address, "GET", "/api/v1?limit=0", &[]).status, 400);
    let port = address.port();
    for own in [
        "localhost",
        "127.0.0.1",
        "[::1]",
        "LocalHost",
        "Page.example",
    ] {
        let host = format!("Host: {own}:{port}");
        assert_eq!(ask(address, "GET", "/", &[&host]).status, 200, "{own}");
    }
    for other in [
        "evil.example",
        "127.0.0.1.evil.example",
        "",
        "a b",
        "localhost.evil.example",
    ] {
        let host = format!("Host: {other}");
        for path in ["/", "/metrics", "/events", "/api/v1"] {
            let response = ask(address, "GET", path, &[&host]);
            assert_eq!(response.status, 421, "{other}");
            assert_safe(&response);
        }
    }
    let twice = ["Host: localhost", "Host: evil.example"];
    assert_eq!(ask(address, "GET", "/", &twice).status, 421);
    assert_eq!(ask(address, "GET", "http://evil.example/", &[]).status, 421);
}

#[test]
fn a_port_that_somebody_else_has_keeps_nobody_from_the_report_and_is_had_when_it_is_free() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let agent = AGENT.start(&["--listen", &address.to_string()]);
    assert_eq!(agent.get("/report").status, 200);
    std::thread::sleep(PATIENCE);
    let log = agent.log();
    let said = format!("{address} is in use");
    assert_eq!(log.matches(&said).count(), 1, "{log}");
    assert!(log.contains("choose another --listen"), "{log}");
    assert!(!log.contains("page: "), "{log}");
    drop(taken);
    assert_eq!(web::address(&agent), address);
    assert_in_time(&agent, address);
}

#[test]
fn an_address_that_is_not_there_yet_is_had_when_it_is() {
    // In a network of its own, which has nothing but itself.
    let mut command = Command::new("unshare");
    let script = "ip link set lo up && exec \"$@\"";
    command
        .args(["--net", "sh", "-c", script, "sh", AGENT.path()])
        .env_remove("SCOPE_HOSTNAME");
    // For documentation (RFC 5737): no host has it.
    let address = "192.0.2.1:9476";
    let agent = Agent::try_start(command, &["--listen", address]).unwrap();
    let said = "192.0.2.1 is no address of this host yet";
    eventually(1, || agent.log().matches(said).count());
    assert!(!agent.log().contains("page: "), "{}", agent.log());
    let inside = |command: &[&str]| {
        let network = format!("--net=/proc/{}/ns/net", agent.pid());
        let mut nsenter = Command::new("nsenter");
        output_of({
            nsenter.arg(network).args(command);
            nsenter
        })
    };
    let added = inside(&["ip", "address", "add", "192.0.2.1/32", "dev", "lo"]);
    assert!(added.status.success(), "{added:?}");
    eventually(true, || {
        agent.log().contains(&format!("page: http://{address}/"))
    });
    let page = inside(&["curl", "-sS", &format!("http://{address}/readyz")]);
    let page = String::from_utf8(page.stdout).unwrap();
    assert!(page.starts_with("counting by "), "{page}");
}

#[test]
fn what_nobody_can_listen_on_is_an_error_that_says_what_to_do() {
    let folder = folder();
    let root = folder.path().to_str().unwrap();
    // A group of hosts.
    let output = AGENT.run(&["--plugins-root", root, "--listen", "[ff02::1]:9476"]);
    let error = common::agent::only_error(&output);
    assert!(error.contains("cannot listen on [ff02::1]:9476"), "{error}");
    assert!(error.contains("--listen none"), "{error}");
    for wrong in ["99999", "node-7:9476", "nowhere"] {
        let output = AGENT.run(&["--listen", wrong]);
        assert_eq!(output.status.code(), Some(2), "{wrong}");
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(
            error.contains("--listen") && error.contains("0.0.0.0:9476"),
            "{error}"
        );
    }
    // A variable that is empty says nothing.
    let mut check = AGENT.command();
    check.args(["check", "--json", "--plugins-root", root]);
    check.env("SCOPE_HTTP_LISTEN", "");
    let output = common::agent::output_of(check);
    assert_ne!(output.status.code(), Some(2), "{output:?}");
}

/// Of Prometheus' documentation (<https://prometheus.io/docs/guides/basic-auth/>), for the password `test`.
const HASH: &str = "$2b$12$hNf2lSsxfm0.i4a.1kVpSOVyBCfIB51VRjgBUyv6kdnyTlgWj81Ay";

#[test]
fn within_tls_those_who_may_ask_are_answered_and_a_new_certificate_is_taken() {
    let folder = folder();
    let (certificate, _) = tls::certificate(folder.path());
    let file = folder.path().join("web.yml");
    let text = format!(
        "tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n\
         basic_auth_users:\n  prometheus: {HASH}\n"
    );
    fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    let agent = AGENT.start(&["--listen", "127.0.0.1:0", "--web-config-file", file]);
    eventually(true, || agent.log().contains("page: https://"));
    let log = agent.log();
    let (_, address) = log.split_once("page: https://").unwrap();
    let address: SocketAddr = address.split_once('/').unwrap().0.parse().unwrap();
    let curl = |user: &str| {
        let mut curl = Command::new("curl");
        let url = format!("https://localhost:{}/metrics", address.port());
        curl.args(["-sS", "-o", "/dev/null", "-w", "%{http_code}", "--cacert"])
            .arg(&certificate)
            .args(["--user", user, &url]);
        String::from_utf8(output_of(curl).stdout).unwrap()
    };
    // A wrong one has others wait for a while, so that it comes last.
    assert_eq!(curl("prometheus:test"), "200");
    assert_eq!(curl("prometheus:guess"), "401");
    let prometheus = Prometheus::scraping_securely(address, &certificate, ("prometheus", "test"));
    eventually(Some(1.0), || prometheus.query("up"));
    eventually(Some(1.0), || prometheus.query("scope_http_proof"));
    drop(prometheus);
    // One who does not know of TLS is answered nothing, and keeps nobody up.
    let mut stream = connect(address);
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    assert_eq!(agent.get("/report").status, 200);
    // The old one is no longer what curl is to trust.
    tls::certificate(folder.path());
    eventually("200".to_owned(), || curl("prometheus:test"));
}

#[test]
fn ten_thousand_bad_requests_change_nothing() {
    let (agent, address) = web::start(AGENT, &[]);
    assert_in_time(&agent, address);
    let before = resident_bytes(&agent);
    let huge = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(20_000));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(1000));
    let bad: [&[u8]; 8] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS hello",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n",
        huge.as_bytes(),
        many.as_bytes(),
    ];
    for round in 0..10_000 {
        let mut stream = connect(address);
        // It may be closed before everything has been said.
        if stream.write_all(bad[round % bad.len()]).is_ok() && round % 3 == 0 {
            let _ = stream.read(&mut [0; 512]);
        }
        if round % 1000 == 0 {
            assert_in_time(&agent, address);
        }
    }
    assert_in_time(&agent, address);
    let after = resident_bytes(&agent);
    assert!(
        after < before + GROWTH_BYTES,
        "{before} bytes became {after}"
    );
    let metrics = text(address, "/metrics");
    let own = sample(&metrics, "scope_http_resident_memory_bytes", &[]).unwrap();
    assert!((own - after).abs() < GROWTH_BYTES, "{own} is not {after}");
}

#[test]
fn slow_and_half_open_clients_hold_nobody_up_and_are_left() {
    let (agent, address) = web::start(AGENT, &[]);
    let before = resident_bytes(&agent);
    // Those who say nothing, who say half, and who ask and do not listen.
    let mut crowd: Vec<TcpStream> = (0..48).map(|_| connect(address)).collect();
    for (index, stream) in crowd.iter_mut().enumerate() {
        match index % 3 {
            0 => {}
            1 => stream.write_all(b"GET / HTTP/1.1\r\nHo").unwrap(),
            _ => {
                let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\n\r\n");
                stream.write_all(request.repeat(50).as_bytes()).unwrap();
            }
        }
    }
    for _ in 0..5 {
        assert_in_time(&agent, address);
    }
    for stream in &mut crowd {
        stream.set_read_timeout(Some(10 * PATIENCE)).unwrap();
        // Whatever was still sent, then the end; never a connection that stays.
        let mut rest = Vec::new();
        if let Err(error) = stream.read_to_end(&mut rest) {
            assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock);
        }
    }
    assert_in_time(&agent, address);
    let after = resident_bytes(&agent);
    assert!(
        after < before + GROWTH_BYTES,
        "{before} bytes became {after}"
    );
}

#[test]
fn events_come_each_second() {
    let (_agent, address) = web::start(AGENT, &[]);
    let mut stream = connect(address);
    let request = format!("GET /events HTTP/1.1\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let start = Instant::now();
    let mut text = String::new();
    let mut buffer = [0; 65536];
    while text.matches("data: ").count() < 4 {
        let length = stream.read(&mut buffer).unwrap();
        text.push_str(&String::from_utf8_lossy(&buffer[..length]));
        assert!(start.elapsed() < 5 * PATIENCE, "{text}");
    }
    // The first one at once, and then three ticks.
    assert!(start.elapsed() > Duration::from_millis(1500));
    assert!(text.contains("content-type: text/event-stream"));
    assert_eq!(text.matches("\"whole\":true").count(), 1);
}

/// The process with this pid, when it has been asked so often.
fn served(agent: &Agent, pid: u64, requests: u64) -> Process {
    let start = Instant::now();
    loop {
        let view: View = serde_json::from_slice(&agent.get("/view").body).unwrap();
        let found = view
            .processes
            .into_iter()
            .find(|it| u64::from(it.pid) == pid);
        if let Some(process) = found.filter(|it| it.requests == requests) {
            return process;
        }
        assert!(start.elapsed() < 5 * PATIENCE, "{pid} is not there");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn json(address: SocketAddr, path: &str) -> serde_json::Value {
    serde_json::from_str(&text(address, path)).unwrap()
}

#[test]
fn who_opens_a_row_is_told_of_it_and_on_loopback_how_it_was_started() {
    let (agent, address) = web::start(AGENT, &[]);
    let public = AGENT.start(&["--listen", "0.0.0.0:0"]);
    let elsewhere = web::address(&public);
    let server = answering("opened");
    answering::ask(&server, 200, 7);
    answering::ask(&server, 404, 5);
    let process = served(&agent, server.pid(), 12);
    served(&public, server.pid(), 12);

    let id = format!("{}-{}", process.pid, process.start_time);
    let row = format!("/row?by=process&id={id}");
    for address in [address, elsewhere] {
        let row = json(address, &row);
        let series = row["series"].as_array().unwrap();
        let counts = series.iter().map(|it| (&it["status"], &it["count"]));
        let counts: Vec<_> = counts.map(|(a, b)| (a.as_u64(), b.as_u64())).collect();
        assert_eq!(counts, [(Some(200), Some(7)), (Some(404), Some(5))]);
        let heat = row["seconds"]["heat"].as_array().unwrap().iter();
        let heat = heat.flat_map(|it| it.as_array().unwrap());
        assert_eq!(heat.map(|it| it[1].as_u64().unwrap()).sum::<u64>(), 12);
    }
    let line = json(address, &format!("/command-line?id={id}"));
    let read = fs::read_to_string(format!("/proc/{}/cmdline", server.pid())).unwrap();
    let arguments: Vec<_> = read.trim_end_matches('\0').split('\0').collect();
    assert_eq!(line["arguments"], serde_json::json!(arguments));
    assert_eq!(line["is_cut"], false);

    let status = |address, path: &str| ask(address, "GET", path, &[]).status;
    let line = format!("/command-line?id={id}");
    assert_eq!(status(elsewhere, &line), 403);
    for proxy in ["Via: 1.1 proxy", "X-Forwarded-For: 192.0.2.1"] {
        assert_eq!(ask(address, "GET", &line, &[proxy]).status, 403, "{proxy}");
    }
    // Of whom nothing is known nothing is told either, though it is there.
    let other = format!("/command-line?id={}-{}", std::process::id(), 1);
    for path in ["/row", "/row?by=odd&id=1-1", "/row?by=unit&id=%00", &other] {
        assert_eq!(status(address, path), 404, "{path}");
    }
}
