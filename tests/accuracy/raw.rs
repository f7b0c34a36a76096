// SPDX-License-Identifier: Apache-2.0
//! What no common client does: pipelines of unlike requests, tunnels, a thousand connections at a time.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::LazyLock;
use std::thread;

use common::load::{Client, get};

use crate::answers::Answers;
use crate::sites::Site;

/// In one write each. GET, POST with a body, DELETE.
pub fn pipelines(site: &Site, _: &Path) -> Answers {
    let kinds = [
        ("GET", "\r\n"),
        ("POST", "Content-Length: 18\r\n\r\nGET / HTTP/1.1\r\n\r\n"),
        ("OPTIONS", "\r\n"),
    ];
    let mut answers = Answers::default();
    let mut client = Client::connect(site.address());
    for _ in 0..5 {
        let pipeline: Vec<_> = kinds.iter().cycle().take(64).collect();
        let text: String = (pipeline.iter())
            .map(|(method, rest)| format!("{method} / HTTP/1.1\r\nHost: test\r\n{rest}"))
            .collect();
        client.send(text.as_bytes());
        for (method, _) in pipeline {
            answers.add(method, client.answer().status, 1);
        }
    }
    answers
}

pub fn thousand_connections(site: &Site, _: &Path) -> Answers {
    let mut answers = Answers::default();
    let mut clients: Vec<_> = (0..1000).map(|_| Client::connect(site.address())).collect();
    for _ in 0..2 {
        for client in &mut clients {
            client.send(get("/").as_bytes());
        }
        for client in &mut clients {
            answers.add("GET", client.answer().status, 1);
        }
    }
    answers
}

pub fn websocket(site: &Site, _: &Path) -> Answers {
    let upgrade = "GET /socket HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    tunnels(site, "GET", upgrade, 101)
}

/// Where proxies make their tunnels to: it sends back what it gets.
static ECHO: LazyLock<SocketAddr> = LazyLock::new(|| {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || std::io::copy(&mut &stream, &mut &stream));
        }
    });
    address
});

pub fn connect(site: &Site, _: &Path) -> Answers {
    let target = *ECHO;
    let connect = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n");
    tunnels(site, "CONNECT", &connect, 200)
}

/// A request on the connection, then a tunnel with requests in it, which are none.
fn tunnels(site: &Site, method: &str, open: &str, status: u16) -> Answers {
    let mut answers = Answers::default();
    for _ in 0..7 {
        let mut client = Client::connect(site.address());
        answers.add("GET", client.ask(get("/").as_bytes()).status, 1);
        client.send(open.as_bytes());
        let line = client.line();
        assert!(line.contains(&format!(" {status} ")), "{line}");
        while client.line() != "\r\n" {}
        answers.add(method, status, 1);
        for _ in 0..11 {
            let inside = get("/inside");
            client.send(inside.as_bytes());
            assert_eq!(client.take(inside.len()), inside.as_bytes());
        }
    }
    answers
}
