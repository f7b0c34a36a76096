// SPDX-License-Identifier: Apache-2.0
//! HTTP/2 and gRPC of real servers: the truth is what the clients were answered, and the server's own log.
//!
//! Each test is alone, since what is missed is counted of the whole host.

mod beginnings;
mod frames;
mod grpc;
mod peers;
mod servers;
mod upgrades;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::agent::{Agent, Program};
use common::by_backend;
use common::load::Address;
use common::servers::Server;
use common::web::{self, sample};

use self::beginnings::{
    a_connection_that_is_older_than_the_agent, a_preface_behind_a_proxy_header,
    a_preface_to_a_server_of_http_1, octets_one_by_one,
};
use self::frames::{a_block_of_twenty_continuations, nothing_but_sizes_of_tables};
use self::grpc::{grpc_calls_by_their_status, grpc_deadlines_and_cancels};
use self::peers::{
    a_server_that_goes_away, a_stream_that_is_held_while_others_pass, interim_responses,
    pushes_and_tunnels, streams_that_are_given_up, tables_that_change, upgrades_that_go_on,
    very_many_streams_at_once,
};
use self::servers::{every_method_and_status_of_nginx, many_streams_of_h2load};
use self::upgrades::{upgrades_by_curl, upgrades_by_nghttp, upgrades_that_are_not_granted};

const AGENT: Program = common::agent!();

by_backend!(
    many_streams_of_h2load,
    every_method_and_status_of_nginx,
    grpc_calls_by_their_status,
    grpc_deadlines_and_cancels,
    octets_one_by_one,
    a_connection_that_is_older_than_the_agent,
    a_preface_to_a_server_of_http_1,
    a_preface_behind_a_proxy_header,
    a_block_of_twenty_continuations,
    nothing_but_sizes_of_tables,
    upgrades_by_nghttp,
    upgrades_that_go_on,
    upgrades_by_curl,
    upgrades_that_are_not_granted,
    interim_responses,
    pushes_and_tunnels,
    streams_that_are_given_up,
    a_server_that_goes_away,
    a_stream_that_is_held_while_others_pass,
    very_many_streams_at_once,
    tables_that_change,
);

const REQUESTS: &str = "http_server_requests_total";
const COUNT: &str = "http_server_request_duration_seconds_count";
const CALLS: &str = "rpc_server_duration_seconds_count";
const VERSION: &str = "network_protocol_version=\"2\"";
const VERSION_1: &str = "network_protocol_version=\"1.1\"";

mod reader {
    #[test]
    #[ignore = "the entry of the servers that other tests start"]
    fn serves() {
        common::homemade::serve();
    }
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/http2")
        .join(name)
}

fn tcp(address: &Address) -> SocketAddr {
    match address {
        Address::Tcp(address) => *address,
        Address::Unix(path) => panic!("it listens on TCP, not {path:?}"),
    }
}

fn agent(backend: &str) -> (Agent, SocketAddr) {
    web::start(AGENT, &["--backend", backend, "--hostname", "test"])
}

fn pid(pid: u64) -> String {
    format!("process_pid=\"{pid}\"")
}

/// All requests of a process, and its answers by method and status.
type Counts = (u64, BTreeMap<(String, String), u64>);

/// Those of a process that speaks HTTP/2.
fn counted(metrics: &str, pid: &str) -> Counts {
    counted_as(metrics, pid, VERSION)
}

/// Of the answers those of one version.
fn counted_as(metrics: &str, pid: &str, version: &str) -> Counts {
    let label = |line: &str, name: &str| {
        let (_, rest) = line.split_once(&format!("{name}=\"")).unwrap();
        rest.split_once('"').unwrap().0.to_owned()
    };
    let lines = metrics.lines().filter(|line| {
        line.starts_with(&format!("{COUNT}{{")) && line.contains(pid) && line.contains(version)
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

fn expected<const N: usize>(kinds: [(&str, &str, u64); N]) -> Counts {
    let all = kinds.iter().map(|(.., count)| count).sum();
    let kinds =
        kinds.map(|(method, status, count)| ((method.to_owned(), status.to_owned()), count));
    (all, kinds.into())
}

fn missed(metrics: &str, reason: &str) -> u64 {
    let label = format!("reason=\"{reason}\"");
    sample(metrics, "scope_http_missed_total", &[&label]).unwrap() as u64
}

/// Whether one process alone has spoken HTTP/2 on this host. What is missed is not told by process.
fn has_one_speaker(metrics: &str) -> bool {
    let lines = metrics.lines().filter(|line| line.contains(VERSION));
    let pids = lines.map(|line| {
        line.split_once("process_pid=")
            .map(|(_, rest)| rest.split(',').next())
    });
    pids.collect::<BTreeSet<_>>().len() == 1
}

/// Nothing was missed. Of a server's own connections that shows in labels, too: that others on this host are older than the agent is
/// no fault.
fn assert_nothing_is_unknown(metrics: &str) {
    for reason in ["streams_full", "reset", "cancelled"] {
        assert_eq!(missed(metrics, reason), 0, "{reason}");
    }
    if has_one_speaker(metrics) {
        for reason in ["joined_late", "hpack_table"] {
            assert_eq!(missed(metrics, reason), 0, "{reason}");
        }
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

/// One process, which answers everything with 404 and keeps a log. `listen`: what else there is to say of its port.
fn nginx(listen: &str) -> Server {
    Server::start("nginx", |address, folder| {
        let path = folder.display();
        let conf = format!(
            "daemon off; master_process off; pid {path}/pid; error_log stderr; events {{}}
            http {{
                log_format all '$proxy_protocol_addr $request_method $status $server_protocol';
                access_log {path}/log all;
                client_body_temp_path {path}/body; proxy_temp_path {path}/proxy;
                fastcgi_temp_path {path}/fastcgi; uwsgi_temp_path {path}/uwsgi;
                scgi_temp_path {path}/scgi;
                server {{
                    listen {address} {listen};
                    location / {{ return 404; }}
                }}
            }}"
        );
        fs::write(folder.join("config"), conf).unwrap();
        let mut command = Command::new("nginx");
        command.arg("-c").arg(folder.join("config"));
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
