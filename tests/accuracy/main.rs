// SPDX-License-Identifier: Apache-2.0
//! Real servers × behaviours: the count is what the clients got and what the server itself logged, under
//! both backends, and the latency lies between what the server and what the client know of it.

mod answers;
mod apps;
mod audit;
mod behaviours;
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

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use scope_http_statistics::kernel::choice;

use audit::Books;
use sites::Site;
use table::Row;
use witness::{Storage, Witnesses};

/// Where to write the table.
const TABLE: &str = "ACCURACY_TABLE";
const KILLED: &str = "killed";

#[test]
fn every_count_and_every_latency_is_the_truth() {
    allow_many_connections();
    let files = common::agent::folder();
    make_files(files.path());
    let mut storage: Storage = [const { choice::objects() }; _];
    let witnesses = Witnesses::load(&mut storage);

    let mut rows = Vec::new();
    for start in sites::ALL {
        rows.extend(audit_site(&start(files.path()), &witnesses, files.path()));
    }
    let latencies = latency::measure(&witnesses, files.path());

    if let Ok(path) = std::env::var(TABLE) {
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

fn audit_site(site: &Site, witnesses: &Witnesses, files: &Path) -> Vec<Row> {
    let mut rows = Vec::new();
    let open = |(name, server)| (name, Books::open(server, witnesses));
    let mut all_books: Vec<_> = site
        .servers
        .iter()
        .map(|(name, server)| open((*name, server)))
        .collect();
    for (behaviour, act) in behaviours::ALL {
        if !site.has(behaviour) {
            continue;
        }
        let mut client = Some(act(site, files));
        for (server, books) in &mut all_books {
            let entry = books.close(client.take());
            rows.push(Row {
                server,
                behaviour,
                agrees: entry.agrees(),
                entry,
            });
        }
    }
    let (server, books) = &mut all_books[0];
    let entry = killed::kill(site.front(), books);
    rows.push(Row {
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
    fs::write(folder.join("upload"), request.repeat(50_000_000 / 64)).unwrap();
    fs::write(folder.join("large"), response.repeat(200_000_000 / 64)).unwrap();
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
