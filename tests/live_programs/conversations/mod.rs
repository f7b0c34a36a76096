// SPDX-License-Identifier: Apache-2.0
//! The random conversations that the framing is fuzzed with, live: whatever a server process says and
//! hears, by whatever system calls, cut at whatever bytes, counts in the kernel what the oracle reads.

mod calls;
mod client;
mod server;

use std::collections::BTreeMap;
use std::ops::Range;

use common::trampolines;
use http1_fuzz::account::Account;
use http1_fuzz::corpus::transcript;
use http1_fuzz::trial;
use scope_http_statistics::kernel::backend::Backend;
use scope_http_statistics::model::reason::Reason;
use scope_http_statistics::model::snapshot::Snapshot;

use self::server::{Family, Server, kind};
use crate::agent::AGENT;
use crate::observer::Observer;

/// For each backend and family, if the environment names no other number: an emulated machine is slow.
fn conversations() -> u64 {
    std::env::var("CONVERSATIONS_EACH").map_or(300, |number| number.parse().unwrap())
}

/// Requests, and answers by method, version and status.
#[derive(Clone, Debug, Default, PartialEq)]
struct Counts {
    requests: u64,
    answers: BTreeMap<(String, String, u16), u64>,
}

impl Counts {
    fn of_account(account: &Account) -> Self {
        let mut counts = Self {
            requests: account.requests.len() as u64,
            ..Self::default()
        };
        for response in &account.responses {
            let version = format!("1.{}", response.request.version % 10);
            let series = (
                response.request.method.to_string(),
                version,
                response.status,
            );
            *counts.answers.entry(series).or_default() += 1;
        }
        counts
    }

    fn of_process(counted: &Snapshot, pid: u32) -> Self {
        let mut counts = Self::default();
        for process in counted.processes.iter().filter(|p| p.id.pid == pid) {
            counts.requests += process.totals.requests;
            for series in &process.totals.series {
                let (key, count) = (&series.key, series.durations.count());
                let kind = (
                    key.method.name().to_owned(),
                    key.version.name().to_owned(),
                    key.status,
                );
                *counts.answers.entry(kind).or_default() += count;
            }
        }
        counts
    }

    /// What has been added since.
    fn since(&self, before: &Self) -> Self {
        let answers = self.answers.iter().filter_map(|(series, count)| {
            let before = before.answers.get(series).unwrap_or(&0);
            (count > before).then(|| (series.clone(), count - before))
        });
        Self {
            requests: self.requests - before.requests,
            answers: answers.collect(),
        }
    }
}

/// So many that one server does not show more kinds of answers than are told apart.
const FEW: usize = 8;

/// Plays all conversations, and compares after each.
fn count(observer: &Observer, family: Family) {
    let seeds = trial::seeds(0..conversations()).unwrap();
    let before = observer.harvest();
    let mut unmatched = 0;
    for first in seeds.clone().step_by(FEW) {
        let some = first..seeds.end.min(first + FEW as u64);
        unmatched += count_some(observer, family, some);
    }
    // Other processes of the host may add to it, but not take away.
    let after = observer.harvest();
    assert!(after.missed[Reason::Unmatched] - before.missed[Reason::Unmatched] >= unmatched);
}

/// Plays some with one server. Returns how many answers belong to no request.
fn count_some(observer: &Observer, family: Family, seeds: Range<u64>) -> u64 {
    let mut server = Server::start(family, &seeds);
    let mut total = Counts::default();
    let mut unmatched = 0;
    for seed in seeds {
        let (conversation, account) = kind(seed).conversation(seed);
        client::play(server.connect(), &conversation);
        server.wait_for(seed);
        let harvest = observer.harvest();
        let now = Counts::of_process(&harvest, server.pid());
        let counted = now.since(&total);
        let expected = Counts::of_account(&account);
        assert!(
            counted == expected,
            "{:?} conversation over {family:?}, again with SEED={seed}\n\n{}expected\n{expected:#?}\n\
             counted\n{counted:#?}",
            kind(seed),
            transcript(&conversation)
        );
        total = now;
        unmatched += account.unmatched.len() as u64;
    }
    unmatched
}

fn all_families(backend: Backend) {
    let observer = Observer::of(backend);
    for family in [Family::Inet, Family::Inet6, Family::Unix] {
        count(&observer, family);
    }
}

#[test]
fn by_sock() {
    all_families(Backend::Sock);
}

#[test]
fn by_syscall() {
    all_families(Backend::Syscall);
}

#[test]
fn by_fexit() {
    trampolines::test(AGENT, || all_families(Backend::Fexit));
}
