// SPDX-License-Identifier: Apache-2.0
//! HTTP/2 and gRPC of real servers: the truth is what the clients were answered, and the server's own log.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use common::agent::{Agent, Program};
use common::by_backend;
use common::homemade::{Homemade, Kind, unique};
use common::load::{Address, Client, get};
use common::process::eventually;
use common::servers::Server;
use common::web::{self, sample, text};
use http1_fuzz::http2::frames::{END_HEADERS, END_STREAM, Frames, HEADERS, PREFACE, SETTINGS};

const AGENT: Program = common::agent!();

by_backend!(
    many_streams_of_h2load,
    every_method_and_status_of_nginx,
    grpc_calls_by_their_status,
    octets_one_by_one,
    a_connection_that_is_older_than_the_agent,
    a_preface_to_a_server_of_http_1,
);

const REQUESTS: &str = "http_server_requests_total";
const COUNT: &str = "http_server_request_duration_seconds_count";
const CALLS: &str = "rpc_server_duration_seconds_count";
const VERSION: &str = "network_protocol_version=\"2\"";

mod reader {
    #[test]
    #[ignore = "the entry of the servers that other tests start"]
    fn serves() {
        common::homemade::serve();
    }
}

fn agent(backend: &str) -> (Agent, SocketAddr) {
    web::start(AGENT, &["--backend", backend, "--hostname", "test"])
}

fn pid(pid: u64) -> String {
    format!("process_pid=\"{pid}\"")
}

/// Answers by method and status, and all requests, of a process that speaks HTTP/2.
fn counted(metrics: &str, pid: &str) -> (u64, BTreeMap<(String, String), u64>) {
    let label = |line: &str, name: &str| {
        let (_, rest) = line.split_once(&format!("{name}=\"")).unwrap();
        rest.split_once('"').unwrap().0.to_owned()
    };
    let lines = metrics.lines().filter(|line| {
        line.starts_with(&format!("{COUNT}{{")) && line.contains(pid) && line.contains(VERSION)
    });
    let answers = lines.map(|line| {
        let kind = (
            label(line, "http_request_method"),
            label(line, "http_response_status_code"),
        );
        (kind, line.rsplit(' ').next().unwrap().parse().unwrap())
    });
    let requests = sample(metrics, REQUESTS, &[pid]).unwrap_or(0.0) as u64;
    (requests, answers.collect())
}

fn expected<const N: usize>(
    kinds: [(&str, &str, u64); N],
) -> (u64, BTreeMap<(String, String), u64>) {
    let all = kinds.iter().map(|(.., count)| count).sum();
    let kinds =
        kinds.map(|(method, status, count)| ((method.to_owned(), status.to_owned()), count));
    (all, kinds.into())
}

/// Nothing was missed of a protocol that there is but one server of.
fn assert_nothing_is_unknown(metrics: &str) {
    for reason in [
        "joined_late",
        "hpack_table",
        "streams_full",
        "reset",
        "cancelled",
    ] {
        let label = format!("reason=\"{reason}\"");
        assert_eq!(
            sample(metrics, "scope_http_missed_total", &[&label]),
            Some(0.0),
            "{reason}"
        );
    }
}

fn nghttpd() -> Server {
    Server::start("nghttp2-server", |address, folder| {
        fs::write(folder.join("file"), "content").unwrap();
        let mut command = Command::new("nghttpd");
        command
            .args(["--no-tls", "--address", "127.0.0.1", "--htdocs"])
            .arg(folder)
            .arg(address.port().to_string());
        command
    })
}

fn run(command: &mut Command) -> String {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "{command:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn many_streams_of_h2load(backend: &str) {
    let (_agent, address) = agent(backend);
    let server = nghttpd();
    for (path, requests, clients, streams, body) in [
        ("file", 1009, 1, 1, false),
        ("file", 997, 3, 10, true),
        ("none", 2003, 3, 100, false),
        ("none", 499, 1, 499, false),
    ] {
        let mut command = Command::new("h2load");
        command
            .args(["-n", &requests.to_string(), "-c", &clients.to_string()])
            .args(["-m", &streams.to_string()]);
        if body {
            command.arg("-d").arg(server.file("file"));
        }
        let said = run(command.arg(format!("{}{path}", server.address.url())));
        let done = format!("{requests} done");
        assert!(said.contains(&done), "{said}");
    }
    let pid = pid(server.pid());
    let all = expected([
        ("GET", "200", 1009),
        ("POST", "200", 997),
        ("GET", "404", 2502),
    ]);
    eventually(all, || counted(&text(address, "/metrics"), &pid));
    assert_nothing_is_unknown(&text(address, "/metrics"));
}

const NGINX: &str = r#"
daemon off;
worker_processes 1;
pid PLACE/pid;
error_log stderr;
events {}
http {
    log_format all '$request_method $status $server_protocol';
    access_log PLACE/log all;
    client_body_temp_path PLACE/body;
    proxy_temp_path PLACE/proxy;
    fastcgi_temp_path PLACE/fastcgi;
    uwsgi_temp_path PLACE/uwsgi;
    scgi_temp_path PLACE/scgi;
    server {
        listen ADDRESS http2;
        location / { return 200 "some text"; }
        location /201 { return 201; }
        location /204 { return 204; }
        location /302 { return 302 /; }
        location /404 { return 404; }
        location /429 { return 429; }
        location /500 { return 500; }
        location /503 { return 503; }
    }
}
"#;

fn every_method_and_status_of_nginx(backend: &str) {
    let (_agent, address) = agent(backend);
    let nginx = Server::start("nginx", |address, folder| {
        let config = NGINX
            .replace("PLACE", folder.to_str().unwrap())
            .replace("ADDRESS", &address.to_string());
        fs::write(folder.join("config"), config).unwrap();
        let mut command = Command::new("nginx");
        command.arg("-c").arg(folder.join("config"));
        command
    });
    let methods = [
        "GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND",
    ];
    let paths = ["", "201", "204", "302", "404", "429", "500", "503"];
    let url = |path: &str| format!("{}{path}", nginx.address.url());
    for method in methods {
        for (n, path) in paths.iter().enumerate() {
            // Each kind in a number of its own.
            for _ in 0..=n {
                let mut command = Command::new("curl");
                command.args(["-s", "--http2-prior-knowledge", "-X", method]);
                run(command.args(["-o", "/dev/null", &url(path)]));
            }
        }
    }
    run(Command::new("curl").args(["-s", "--http2-prior-knowledge", "--head", &url("")]));
    let log = || {
        let mut kinds = BTreeMap::new();
        for line in fs::read_to_string(nginx.file("log")).unwrap().lines() {
            let (kind, version) = line.rsplit_once(' ').unwrap();
            assert_eq!(version, "HTTP/2.0");
            let (method, status) = kind.split_once(' ').unwrap();
            let method = if method == "PROPFIND" {
                "_OTHER"
            } else {
                method
            };
            *kinds
                .entry((method.to_owned(), status.to_owned()))
                .or_insert(0) += 1;
        }
        kinds
    };
    let sent: u64 = 7 * (1..=8).sum::<u64>() + 1;
    eventually(sent, || log().values().sum());
    // The worker is a child.
    let worker = fs::read_to_string(format!("/proc/{0}/task/{0}/children", nginx.pid())).unwrap();
    let worker = pid(worker.trim().parse().unwrap());
    eventually((sent, log()), || {
        counted(&text(address, "/metrics"), &worker)
    });
    assert_nothing_is_unknown(&text(address, "/metrics"));
}

/// A server whose calls end as they are asked to, and a client that asks: so often with each status, of each of the four forms.
const GRPC: &str = r#"
import grpc, sys
from concurrent import futures
FORMS = ["unary_unary", "unary_stream", "stream_unary", "stream_stream"]
CODES = {code.value[0]: code for code in grpc.StatusCode}

def end(context, status):
    if status:
        context.set_code(CODES[status])
        context.set_details("as asked")

def one(request, context):
    end(context, request[0])
    return b"answer"

def some(request, context):
    for _ in range(3):
        yield b"answer"
    end(context, request[0])

class Handler(grpc.GenericRpcHandler):
    def service(self, details):
        form = details.method.rsplit("/", 1)[1]
        first = lambda requests: list(requests)[0]
        of = {
            "unary_unary": one,
            "unary_stream": some,
            "stream_unary": lambda requests, context: one(first(requests), context),
            "stream_stream": lambda requests, context: some(first(requests), context),
        }
        return getattr(grpc, form + "_rpc_method_handler")(of[form])

if sys.argv[1] == "serve":
    server = grpc.server(futures.ThreadPoolExecutor(4), handlers=[Handler()])
    assert server.add_insecure_port(sys.argv[2])
    server.start()
    server.wait_for_termination()
with grpc.insecure_channel(sys.argv[2]) as channel:
    for form in FORMS:
        call = getattr(channel, form)("/test/" + form)
        for status in range(17):
            for _ in range(status % 3 + 1):
                request = bytes([status])
                try:
                    answer = call(iter([request]) if form.startswith("stream") else request)
                    if form.endswith("stream"):
                        list(answer)
                    ended = 0
                except grpc.RpcError as error:
                    ended = error.code().value[0]
                assert ended == status, (form, status, ended)
"#;

fn grpc_calls_by_their_status(backend: &str) {
    let (agent, address) = agent(backend);
    let server = Server::start("python3-grpcio", |address, folder| {
        let script = folder.join("grpc.py.txt");
        fs::write(&script, GRPC).unwrap();
        let mut command = Command::new("/usr/bin/python3");
        command.arg(script).args(["serve", &address.to_string()]);
        command
    });
    let Address::Tcp(server_address) = &server.address else {
        panic!("it listens on TCP");
    };
    run(Command::new("/usr/bin/python3")
        .arg(server.file("grpc.py.txt"))
        .args(["call", &server_address.to_string()]));
    let pid = pid(server.pid());
    let calls = |status: u16| 4 * (u64::from(status) % 3 + 1);
    let all: u64 = (0..17).map(calls).sum();
    eventually(expected([("POST", "200", all)]), || {
        counted(&text(address, "/metrics"), &pid)
    });
    let metrics = text(address, "/metrics");
    for status in 0..17 {
        let label = format!("rpc_grpc_status_code=\"{status}\"");
        let count = sample(&metrics, CALLS, &[&pid, &label, "rpc_system=\"grpc\""]);
        assert_eq!(count, Some(calls(status) as f64), "status {status}");
    }
    assert_nothing_is_unknown(&metrics);
    let report = agent.report();
    let node = &report["Process"]["nodes"][format!("test;{}", server.pid())];
    let errors = node["metrics"]["grpc_errors_per_second"]["samples"].as_array();
    let errors = errors.expect("errors of gRPC").iter();
    assert!(
        errors
            .map(|it| it["value"].as_f64().unwrap())
            .any(|it| it > 0.0)
    );
}

/// A client that is made of frames.
struct FrameClient {
    stream: TcpStream,
    next: u32,
}

impl FrameClient {
    fn connect(address: &Address) -> Self {
        let Address::Tcp(address) = address else {
            panic!("it listens on TCP");
        };
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, next: 1 }
    }

    fn beginning() -> Vec<u8> {
        let mut frames = Frames::default();
        frames.bytes.extend(PREFACE);
        frames.frame(SETTINGS, 0, 0, &[]);
        frames.bytes
    }

    /// `GET /`, all of whose fields but the last are in the static table.
    fn request(&mut self) -> Vec<u8> {
        let mut head = Frames::default();
        let block = b"\x82\x84\x86\x41\x01h";
        head.frame(HEADERS, END_STREAM | END_HEADERS, self.next, block);
        self.next += 2;
        head.bytes
    }

    /// Waits for the end of the last stream.
    fn answer(&mut self) {
        loop {
            let mut head = [0; 9];
            self.stream.read_exact(&mut head).unwrap();
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            self.stream
                .read_exact(&mut vec![0; length as usize])
                .unwrap();
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            if stream == self.next - 2 && head[3] <= 1 && head[4] & END_STREAM != 0 {
                return;
            }
        }
    }

    fn ask(&mut self, count: u32) {
        for _ in 0..count {
            let request = self.request();
            self.stream.write_all(&request).unwrap();
            self.answer();
        }
    }
}

fn octets_one_by_one(backend: &str) {
    let (_agent, address) = agent(backend);
    let server = nghttpd();
    for size in [1, 2, 3, 9, 10] {
        let mut client = FrameClient::connect(&server.address);
        let mut bytes = FrameClient::beginning();
        bytes.extend(client.request());
        for part in bytes.chunks(size) {
            client.stream.write_all(part).unwrap();
            // So that the server receives each on its own.
            sleep(Duration::from_millis(2));
        }
        client.answer();
        client.ask(2);
    }
    let all = expected([("GET", "404", 15)]);
    eventually(all, || {
        counted(&text(address, "/metrics"), &pid(server.pid()))
    });
    assert_nothing_is_unknown(&text(address, "/metrics"));
}

fn a_connection_that_is_older_than_the_agent(backend: &str) {
    let server = nghttpd();
    let mut client = FrameClient::connect(&server.address);
    client.stream.write_all(&FrameClient::beginning()).unwrap();
    client.ask(5);
    let (_agent, address) = agent(backend);
    client.ask(7);
    eventually(expected([("GET", "404", 7)]), || {
        counted(&text(address, "/metrics"), &pid(server.pid()))
    });
    // A new one is known from its start.
    let mut client = FrameClient::connect(&server.address);
    client.stream.write_all(&FrameClient::beginning()).unwrap();
    client.ask(1);
    eventually(expected([("GET", "404", 8)]), || {
        counted(&text(address, "/metrics"), &pid(server.pid()))
    });
}

/// Which answers in its own words, and goes on as if nothing had been.
fn a_preface_to_a_server_of_http_1(backend: &str) {
    let (_agent, address) = agent(backend);
    let server = Homemade::start(Kind::Lasting, &unique("old"));
    for part in [1, 3, PREFACE.len()] {
        let mut client = Client::connect(&server.address);
        // The head ends before the preface does.
        for bytes in PREFACE[..18].chunks(part) {
            client.send(bytes);
            sleep(Duration::from_millis(2));
        }
        assert_eq!(client.answer().status, 200);
        assert_eq!(client.ask(get("/404").as_bytes()).status, 404);
    }
    let pid = pid(server.pid());
    let count = |name: &str, labels: &[&str]| {
        let labels = [labels, &[&*pid]].concat();
        sample(&text(address, "/metrics"), name, &labels)
    };
    eventually(Some(3.0), || count(REQUESTS, &[]));
    assert_eq!(
        count(COUNT, &["http_response_status_code=\"404\""]),
        Some(3.0)
    );
    assert_eq!(count(COUNT, &[VERSION]), None);
}
