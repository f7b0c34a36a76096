// SPDX-License-Identifier: Apache-2.0
//! A server on `io_uring`, whose transfers no system call holds: counted exactly by `fexit`, and counted as missed by
//! `sock`.

#[path = "../common/mod.rs"]
mod common;
mod server;

use common::load::keep_alive;
use common::process::eventually;
use scope_http_statistics::backend::Backend;
use scope_http_statistics::bpf::{Bpf, Options};
use scope_http_statistics::choice::{self, Objects};
use scope_http_statistics::snapshot::{Harvest, Histogram};

use server::{Server, Way};

const REQUESTS: u64 = 53;

fn load(objects: &mut Objects, backend: Backend) -> Bpf<'_> {
    let options = Options {
        backend: Some(backend),
        max_processes: 4096,
        max_connections: 65536,
    };
    choice::load(objects, &options).unwrap()
}

/// Requests and answers of a process.
fn counts(harvest: &Harvest, pid: u64) -> (u64, u64) {
    let process = harvest
        .processes
        .iter()
        .find(|p| u64::from(p.id.pid) == pid);
    process.map_or((0, 0), |process| {
        let answers = process.series.values().map(Histogram::count).sum();
        (process.requests, answers)
    })
}

fn missed(harvest: &Harvest) -> u64 {
    let of_io_uring = harvest.missed.iter().find(|(name, _)| *name == "io_uring");
    of_io_uring.unwrap().1
}

/// Has a server answer requests, and waits until as many of both are counted: what was missed meanwhile.
fn serve(bpf: &Bpf<'_>, way: Way, expected: (u64, u64)) -> u64 {
    let server = Server::start(way);
    let before = missed(&bpf.harvest().unwrap());
    let tally = keep_alive(&server.address, REQUESTS);
    assert_eq!(
        (tally.answers, tally.served),
        (REQUESTS, REQUESTS),
        "{way:?}"
    );
    println!("{way:?}");
    // The client has an answer before its sender is back from sending.
    eventually(expected, || counts(&bpf.harvest().unwrap(), server.pid()));
    missed(&bpf.harvest().unwrap()) - before
}

#[test]
fn by_fexit() {
    common::trampolines::test(|| {
        let mut objects = choice::objects();
        let bpf = load(&mut objects, Backend::Fexit);
        for way in Way::of_this_kernel() {
            if way == Way::Worker && server::workers_are_kernel_threads() {
                let missed = serve(&bpf, way, (0, 0));
                assert!(missed >= REQUESTS, "{way:?}: {missed}");
            } else {
                assert_eq!(serve(&bpf, way, (REQUESTS, REQUESTS)), 0, "{way:?}");
            }
        }
    });
}

/// Other processes of the host may add to what is missed, but not take away.
#[test]
fn by_sock() {
    let mut objects = choice::objects();
    let bpf = load(&mut objects, Backend::Sock);
    for way in Way::of_this_kernel() {
        let missed = serve(&bpf, way, (0, 0));
        assert!(missed >= REQUESTS, "{way:?}: {missed}");
    }
}
