// SPDX-License-Identifier: Apache-2.0
//! The agent's programs and counters without the agent: loaded by the test itself.

use std::fmt::Debug;

use scope_http_statistics::backend::Backend;
use scope_http_statistics::bpf::{Bpf, Options};
use scope_http_statistics::choice::{self, Objects};
use scope_http_statistics::snapshot::{Harvest, Histogram};

use super::load::{Address, keep_alive};
use super::process::eventually;

pub fn load(objects: &mut Objects, backend: Backend) -> Bpf<'_> {
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

fn missed(harvest: &Harvest, reason: &str) -> u64 {
    let of_reason = harvest.missed.iter().find(|(name, _)| *name == reason);
    of_reason.unwrap().1
}

/// Has a server answer as many requests, and waits until requests and answers are counted as expected: what was missed
/// meanwhile for a reason.
pub fn serve(
    bpf: &Bpf<'_>,
    (what, pid, address): (impl Debug, u64, &Address),
    requests: u64,
    expected: (u64, u64),
    reason: &str,
) -> u64 {
    let before = missed(&bpf.harvest().unwrap(), reason);
    let tally = keep_alive(address, requests);
    let served = (tally.answers, tally.served);
    assert_eq!(served, (requests, requests), "{what:?}");
    println!("{what:?}");
    // The client has an answer before its sender is back from sending.
    eventually(expected, || counts(&bpf.harvest().unwrap(), pid));
    missed(&bpf.harvest().unwrap(), reason) - before
}
