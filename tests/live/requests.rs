// SPDX-License-Identifier: Apache-2.0
//! What is a request, and what only looks like one.

use common::collector::shared;
use common::load::{Client, get, keep_alive};
use common::reader::{Reader, Receive};
use common::servers::{redis, redis_gets};

use crate::agent::AGENT;

pub fn any_method_target_and_version(backend: &'static str) {
    let collector = shared(AGENT, backend);
    let reader = Reader::tcp(Receive::Read);
    let methods = [
        "GET",
        "HEAD",
        "POST",
        "PUT",
        "DELETE",
        "PATCH",
        "OPTIONS",
        "TRACE",
        "CONNECT",
        "PROPFIND",
        "PURGE",
        "x-Own!token",
        "M",
    ];
    let mut lines: Vec<String> = Vec::new();
    for version in ["HTTP/1.0", "HTTP/1.1"] {
        lines.extend(methods.map(|method| format!("{method} /path?query=1 {version}")));
        lines.push(format!("GET http://example.org/path {version}"));
        lines.push(format!("CONNECT example.org:443 {version}"));
        lines.push(format!("OPTIONS * {version}"));
        lines.push(format!("GET /{} {version}", "long/".repeat(20)));
    }
    for line in &lines {
        let request = format!("{line}\r\nHost: example.org\r\n\r\n");
        Client::connect(&reader.address).ask(request.as_bytes());
    }
    // So that the number is prime.
    let served = keep_alive(&reader.address, 3).served;
    assert_eq!((lines.len(), served), (34, 37));
    collector.wait_for(reader.pid(), 37);
}

/// Between requests, so that the socket is known to be one that may carry them.
pub fn other_protocols_are_none(backend: &'static str) {
    let collector = shared(AGENT, backend);
    let reader = Reader::tcp(Receive::Read);
    let others = [
        "OPTIONS rtsp://example.org/media.mp4 RTSP/1.0\r\nCSeq: 1\r\n\r\n",
        "POST\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET session/key\r\n",
        "GET / HTTP/2.0\r\n\r\n",
        "INVITE sip:a@example.org SIP/2.0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "EHLO example.org\r\n",
        "\0\u{1}\u{2} binary\r\n",
    ];
    for other in others {
        // Alone on its connection, too.
        for requests in [0, 1] {
            let mut client = Client::connect(&reader.address);
            for _ in 0..requests {
                client.ask(get("/").as_bytes());
            }
            client.send(other.as_bytes());
            let answer = client.line();
            assert!(answer == "+OK\r\n", "{other:?}: {answer}");
        }
    }
    let served = keep_alive(&reader.address, 8).served;
    assert_eq!(served, 17);
    collector.wait_for(reader.pid(), 17);
}

pub fn redis_commands_are_none(backend: &'static str) {
    let collector = shared(AGENT, backend);
    let redis = redis();
    let mut client = Client::connect(&redis.address);
    for _ in 0..50 {
        client.send(b"GET session/key\r\n");
        assert_eq!(client.line(), "$-1\r\n");
        let mut another = Client::connect(&redis.address);
        another.send(b"GET /session/key\r\n");
        assert_eq!(another.line(), "$-1\r\n");
    }
    client.send(b"GET HTTP/1.1\r\n");
    assert_eq!(client.line(), "$-1\r\n");
    assert_eq!(redis_gets(&mut client), 101);
    collector.settle();
    assert!(!collector.counts().contains_key(&redis.pid()));
}

pub fn only_stream_sockets_carry_requests(backend: &'static str) {
    let collector = shared(AGENT, backend);
    let reader = Reader::tcp(Receive::Elsewhere);
    assert_eq!(keep_alive(&reader.address, 29).served, 29);
    collector.wait_for(reader.pid(), 29);
}
