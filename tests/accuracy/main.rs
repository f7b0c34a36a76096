// SPDX-License-Identifier: Apache-2.0
//! Real servers × behaviours: the count is what the clients got and what the server itself logged, under
//! both backends, and the latency lies between what the server and what the client know of it.

mod answers;
mod apps;
mod audit;
mod behaviours;
mod clients;
mod grpc;
mod http2;
mod killed;
mod latency;
mod raw;
mod servers;
mod sites;
mod table;
mod witness;
mod wrk;

use std::fs;
use std::path::Path;

use http1_fuzz::http2::frames::{END_HEADERS, END_STREAM, Frames, HEADERS};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use scope_http_statistics::kernel::choice;

use audit::Books;
use sites::{Site, Talk};
use table::Row;
use witness::{Storage, Witnesses};

/// Where to write the table, of everything. Without it, less of HTTP/2 and gRPC is asked.
const TABLE: &str = "ACCURACY_TABLE";
const KILLED: &str = "killed";

#[test]
fn every_count_and_every_latency_is_the_truth() {
    allow_many_connections();
    let files = common::agent::folder();
    make_files(files.path());
    let mut storage: Storage = [const { choice::objects() }; _];
    let witnesses = Witnesses::load(&mut storage);

    let table = std::env::var(TABLE).ok();
    let audit = |sites: &[fn(&Path) -> Site]| -> Vec<Row> {
        let sites = sites.iter().map(|start| start(files.path()));
        sites
            .flat_map(|site| audit_site(&site, table.is_none(), &witnesses, files.path()))
            .collect()
    };
    let mut rows = audit(&sites::ALL);
    rows.extend(audit(&http2::SITES));
    rows.extend(audit(&grpc::SITES));
    let latencies = latency::measure(&witnesses, files.path());

    if let Some(path) = table {
        fs::write(path, table::markdown(&rows, &latencies)).unwrap();
    }
    let wrong = rows.iter().filter(|row| !row.agrees);
    let wrong = wrong.map(|row| format!("{}, {}: {}\n", row.server, row.behaviour, row.detail()));
    let mut wrong: String = wrong.collect();
    for latency in latencies.iter().filter(|latency| !latency.agrees()) {
        let (least, most) = (latency.least, latency.most);
        wrong += &format!(
            "{}: {least:?} <= {:?} <= {most:?}\n",
            latency.what, latency.counted
        );
    }
    wrong += &witnesses.counted_clients();
    assert!(wrong.is_empty(), "\n{wrong}missed: {}", witnesses.missed());
}

fn audit_site(site: &Site, quick: bool, witnesses: &Witnesses, files: &Path) -> Vec<Row> {
    let mut rows = Vec::new();
    let open = |(name, server)| (name, Books::open(server, witnesses));
    let mut all_books: Vec<_> = site
        .servers
        .iter()
        .map(|(name, server)| open((*name, server)))
        .collect();
    for (behaviour, act) in site.behaviours(quick) {
        let mut client = Some(act(site, files));
        for (server, books) in &mut all_books {
            let entry = books.close(client.take());
            rows.push(Row {
                talk: site.talk,
                server,
                behaviour,
                agrees: entry.agrees(),
                entry,
            });
        }
    }
    // With HTTP/2 there is no saying how many requests are on their way.
    if site.talk != Talk::Http1 {
        return rows;
    }
    let (server, books) = &mut all_books[0];
    let entry = killed::kill(site.front(), books);
    rows.push(Row {
        talk: site.talk,
        server,
        behaviour: KILLED,
        agrees: killed::agrees(&entry),
        entry,
    });
    rows
}

/// Bodies made of messages of 64 bytes, so that many a receive begins with one.
fn make_files(folder: &Path) {
    let request = b"GET /body HTTP/1.1\r\nHost: test\r\nPadding: 0123456789abcdef012\r\n\r\n";
    let response = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nPadding: 0123456789abcde\r\n\r\n";
    fs::write(folder.join("text.txt"), request.repeat(1000)).unwrap();
    fs::write(folder.join("frames"), frames()).unwrap();
    fs::write(folder.join("upload"), request.repeat(50_000_000 / 64)).unwrap();
    fs::write(folder.join("large"), response.repeat(200_000_000 / 64)).unwrap();
}

/// Heads of requests and of answers, whole frames of HTTP/2.
fn frames() -> Vec<u8> {
    let mut frames = Frames::default();
    for stream in (1..1000).step_by(2) {
        let both = END_STREAM | END_HEADERS;
        frames.frame(HEADERS, both, stream, b"\x82\x84\x86\x41\x01h");
        frames.frame(HEADERS, both, stream, b"\x88");
    }
    frames.bytes
}

/// The programs of `tests/peers`, which other tests start.
#[test]
#[ignore = "an entry"]
fn peers_entry() {
    peers::run();
}

/// For this process and the servers it starts.
fn allow_many_connections() {
    let limit = getrlimit(Resource::Nofile);
    let wanted = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, wanted).unwrap();
}
