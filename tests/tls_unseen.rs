// SPDX-License-Identifier: Apache-2.0
//! TLS that is not seen into: the truth is how many connections the clients have made, and the server's own log.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::sleep;
use std::time::Duration;

use common::agent::{Agent, Program};
use common::load::get;
use common::process::eventually;
use common::servers::Server;
use common::tls::{self, Client};
use common::web::{self, sample, text};
use common::{alone, by_backend};
use scope_http_statistics::page::view::View;

const AGENT: Program = common::agent!();

by_backend!(
    connections_of_nginx_by_worker,
    connections_of_scripts,
    hellos_in_every_cut,
    what_is_no_hello,
);

const UNSEEN: &str = "scope_http_tls_unseen_connections_total";
const REQUESTS: &str = "http_server_requests_total";

fn agent(backend: &str) -> (Agent, SocketAddr) {
    web::start(AGENT, &["--backend", backend, "--tls", "off"])
}

fn of(metrics: &str, name: &str, pid: u64) -> u64 {
    let pid = format!("process_pid=\"{pid}\"");
    sample(metrics, name, &[&pid]).unwrap_or(0.0) as u64
}

/// The connections of each worker, as the access log of nginx has them.
fn served(nginx: &Server) -> BTreeMap<u64, u64> {
    let log = fs::read_to_string(nginx.file("access.log")).unwrap();
    let mut connections: BTreeMap<u64, BTreeSet<&str>> = BTreeMap::new();
    for line in log.lines() {
        let mut words = line.split(' ');
        let (worker, connection) = (words.next().unwrap(), words.next().unwrap());
        let of_worker = connections.entry(worker.parse().unwrap()).or_default();
        of_worker.insert(connection);
    }
    let count = |(worker, connections): (u64, BTreeSet<_>)| (worker, connections.len() as u64);
    connections.into_iter().map(count).collect()
}

fn connections_of_nginx_by_worker(backend: &str) {
    let (_agent, address) = agent(backend);
    let server = tls::nginx(3);
    let client = Client::asking(&server, &["new:53", "keep:101", "pipe:17"]);
    assert_eq!(client.answers, 53 + 101 + 7 * 17);
    let truth = served(&server);
    assert_eq!(truth.values().sum::<u64>(), 53 + 2);
    for (worker, connections) in truth {
        eventually(connections, || {
            of(&text(address, "/metrics"), UNSEEN, worker)
        });
    }
    // The client has the same library, and its first receive is a hello of the server.
    let metrics = text(address, "/metrics");
    assert_eq!(of(&metrics, UNSEEN, client.pid()), 0);
}

fn connections_of_scripts(backend: &str) {
    let (_agent, address) = agent(backend);
    for server in [tls::python(), tls::node()] {
        let client = Client::asking(&server, &["new:29", "keep:13", "post:7"]);
        assert_eq!(client.answers, 29 + 13 + 7);
        eventually(31, || of(&text(address, "/metrics"), UNSEEN, server.pid()));
        assert_eq!(of(&text(address, "/metrics"), REQUESTS, server.pid()), 0);
    }
}

/// What a client sends to a server that this process is, received in two parts, cut at an offset.
fn send_cut(server: &TcpListener, bytes: &[u8], at: usize) {
    let mut client = TcpStream::connect(server.local_addr().unwrap()).unwrap();
    let (mut end, _) = server.accept().unwrap();
    for part in [&bytes[..at], &bytes[at..]] {
        client.write_all(part).unwrap();
        end.read_exact(&mut vec![0; part.len()]).unwrap();
    }
}

/// A `ClientHello` as far as anybody looks.
fn hello(version: u8, length: u16) -> Vec<u8> {
    let mut hello = vec![22, 3, version];
    hello.extend(length.to_be_bytes());
    hello.extend([1, 0, 1, 252, 3, 3]);
    hello.resize(5 + usize::from(length).max(6), 7);
    hello
}

/// Of this very process, once nothing more comes.
fn unseen_here(address: SocketAddr, expected: u64) {
    let pid = std::process::id().into();
    eventually(expected, || of(&text(address, "/metrics"), UNSEEN, pid));
    // More than a harvest later it is the same.
    sleep(Duration::from_millis(2200));
    assert_eq!(of(&text(address, "/metrics"), UNSEEN, pid), expected);
}

fn hellos_in_every_cut(backend: &str) {
    let _alone = alone();
    let (_agent, address) = agent(backend);
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let hellos = [hello(1, 512), hello(0, 61), hello(3, 1789)];
    for at in 1..=43 {
        for hello in &hellos {
            send_cut(&server, hello, at);
        }
    }
    unseen_here(address, 3 * 43);
}

fn what_is_no_hello(backend: &str) {
    let _alone = alone();
    let (_agent, address) = agent(backend);
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut of_a_server = hello(3, 90);
    of_a_server[5] = 2;
    let mut of_data = hello(3, 90);
    of_data[0] = 23;
    let others = [
        of_a_server,
        of_data,
        hello(5, 512),
        hello(1, 0),
        hello(1, (16 << 10) + 1),
        b"\x16\x02\x01\x00\x61\x01-----".to_vec(),
        b"\x80\x2e\x01\x03\x01------".to_vec(),
        b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(),
    ];
    for other in &others {
        // Cut behind all that is looked at.
        send_cut(&server, other, 8);
    }
    // One that speaks before it has received anything, and goes on in TLS, is no server of HTTPS.
    let mut client = TcpStream::connect(server.local_addr().unwrap()).unwrap();
    let (mut end, _) = server.accept().unwrap();
    end.write_all(b"220 ready\r\n").unwrap();
    client.read_exact(&mut [0; 11]).unwrap();
    client.write_all(&hello(1, 512)).unwrap();
    end.read_exact(&mut [0; 517]).unwrap();
    // And one that is known to be of HTTP, where no hello belongs.
    let mut client = TcpStream::connect(server.local_addr().unwrap()).unwrap();
    let (mut end, _) = server.accept().unwrap();
    let request = get("/");
    for part in [request.as_bytes(), &hello(1, 512)] {
        client.write_all(part).unwrap();
        end.read_exact(&mut vec![0; part.len()]).unwrap();
    }
    send_cut(&server, &hello(1, 512), 5);
    unseen_here(address, 1);
}

#[test]
fn what_cannot_be_seen_shows_by_workload_and_to_people() {
    let (agent, address) = web::start_by_workload(AGENT, &["--tls", "off"]);
    let server = tls::python_named("tls-shown");
    let client = Client::asking(&server, &["new:37"]);
    assert_eq!(client.answers, 37);
    let port = format!("server_port=\"{}\"", tls::tcp(&server).port());
    let labels = ["process_executable_name=\"tls-shown\"", &port];
    let shown = || sample(&text(address, "/metrics"), UNSEEN, &labels);
    eventually(Some(37.0), shown);
    let view: View = serde_json::from_slice(&agent.get("/view").body).unwrap();
    let process = view
        .processes
        .iter()
        .find(|it| u64::from(it.pid) == server.pid());
    assert_eq!(process.map(|it| it.tls_unseen), Some(37));
    assert!(view.missed["tls_unseen"] >= 37);
}

/// One that ends before it was read leaves its count to its workload.
#[test]
fn a_process_for_each_connection_leaves_its_count_behind() {
    let (_agent, address) = web::start_by_workload(AGENT, &["--tls", "off"]);
    let server = tls::python_forking("tls-unseen");
    let client = Client::asking(&server, &["new:47"]);
    assert_eq!(client.answers, 47);
    let name = "process_executable_name=\"tls-unseen\"";
    let shown = || sample(&text(address, "/metrics"), UNSEEN, &[name]);
    eventually(Some(47.0), shown);
}
