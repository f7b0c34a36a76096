// SPDX-License-Identifier: Apache-2.0
//! How connections begin, and that they may have begun before.

use std::fs;
use std::io::Write;
use std::thread::sleep;
use std::time::Duration;

use common::alone;
use common::homemade::{Homemade, Kind, unique};
use common::load::{Client, get};
use common::process::eventually;
use common::web::{sample, text};
use http1_fuzz::http2::frames::PREFACE;

use super::frames::FrameClient;
use super::{
    COUNT, REQUESTS, VERSION, agent, assert_nothing_is_unknown, counted, expected, nghttpd, nginx,
    pid,
};

pub fn octets_one_by_one(backend: &str) {
    let _alone = alone();
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

pub fn a_connection_that_is_older_than_the_agent(backend: &str) {
    let _alone = alone();
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
pub fn a_preface_to_a_server_of_http_1(backend: &str) {
    let _alone = alone();
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

/// Of both versions, in the same receive and in one of its own. nginx takes no header that is cut.
pub fn a_preface_behind_a_proxy_header(backend: &str) {
    const VERSION_1: &[u8] = b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n";
    const VERSION_2: &[u8] =
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc0\0\x02\x02\xdc\x04\x01\xbb";
    let _alone = alone();
    let (_agent, address) = agent(backend);
    let nginx = nginx("http2 proxy_protocol");
    let mut asked = 0;
    let mut open = Vec::new();
    for header in [VERSION_1, VERSION_2] {
        let whole = header.len() + PREFACE.len();
        for cut in [whole, header.len(), header.len() + 3, whole - 1] {
            let mut client = FrameClient::connect(&nginx.address);
            let mut bytes = [header, &FrameClient::beginning()].concat();
            bytes.extend(client.request());
            let (first, rest) = bytes.split_at(cut);
            client.stream.write_all(first).unwrap();
            // So that the server receives both on their own.
            sleep(Duration::from_millis(20));
            client.stream.write_all(rest).unwrap();
            client.answer();
            client.ask(2);
            asked += 3;
            open.push(client);
        }
    }
    let log = || fs::read_to_string(nginx.file("log")).unwrap();
    eventually(asked, || log().lines().count() as u64);
    assert!(
        log()
            .lines()
            .all(|line| line == "192.0.2.1 GET 404 HTTP/2.0")
    );
    eventually(expected([("GET", "404", asked)]), || {
        counted(&text(address, "/metrics"), &pid(nginx.pid()))
    });
    assert_nothing_is_unknown(&text(address, "/metrics"));
    // All are still there. Others on this host may be followed, too.
    eventually(true, || {
        let metrics = text(address, "/metrics");
        let count = |name| sample(&metrics, name, &[]);
        let http2 = count("scope_http_h2_connections");
        http2 >= Some(open.len() as f64) && http2 <= count("scope_http_connections")
    });
}
