// SPDX-License-Identifier: Apache-2.0
//! Both backends at once, each with programs and counters of its own, so that they see the same traffic.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;

use scope_http_statistics::kernel::backend::Backend;
use scope_http_statistics::kernel::choice::{self, Objects};
use scope_http_statistics::kernel::load::{Bpf, Options};
use scope_http_statistics::model::histogram::Histogram;

use crate::answers::Answers;

/// Those that find the bytes in a way of their own and that no kernel new enough refuses: what `fexit` adds is what
/// these servers do not use.
const BACKENDS: [Backend; 2] = [Backend::Sock, Backend::Syscall];

pub type Storage = [Objects; BACKENDS.len()];

pub struct Witnesses<'obj>(Vec<RefCell<Bpf<'obj>>>);

/// What one backend counted of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub requests: u64,
    pub answers: Answers,
    /// Of all answers.
    pub histogram: Histogram,
}

impl Count {
    pub fn since(&self, earlier: &Self) -> Self {
        let mut histogram = self.histogram;
        histogram.sum_ns -= earlier.histogram.sum_ns;
        for (n, before) in histogram.buckets.iter_mut().zip(earlier.histogram.buckets) {
            *n -= before;
        }
        Self {
            requests: self.requests - earlier.requests,
            answers: self.answers.since(&earlier.answers),
            histogram,
        }
    }

    /// Exactly these requests, all of them answered.
    pub fn is(&self, answers: &Answers) -> bool {
        self.requests == answers.total() && self.answers == *answers
    }
}

impl<'obj> Witnesses<'obj> {
    pub fn load(storage: &'obj mut Storage) -> Self {
        let load = |(objects, backend)| {
            let options = Options {
                backend: Some(backend),
                max_processes: 16384,
                max_connections: 65536,
            };
            let bpf = choice::load(objects, &options);
            RefCell::new(bpf.unwrap_or_else(|error| panic!("{backend}: {error:#}")))
        };
        Self(storage.iter_mut().zip(BACKENDS).map(load).collect())
    }

    /// What each backend has counted so far of these processes together.
    pub fn counts(&self, pids: &BTreeSet<u32>) -> Vec<Count> {
        let count = |bpf: &RefCell<Bpf>| count(&mut bpf.borrow_mut(), pids);
        self.0.iter().map(count).collect()
    }

    /// Programs that only ask, and yet were taken for servers: a line each.
    pub fn counted_clients(&self) -> String {
        let mut clients = String::new();
        for bpf in &self.0 {
            let mut bpf = bpf.borrow_mut();
            for process in bpf.harvest().unwrap().processes {
                if ["curl", "wrk"].contains(&&*process.comm) {
                    let requests = process.requests;
                    clients +=
                        &format!("{}, {}: {requests} requests\n", bpf.backend(), process.comm);
                }
            }
        }
        clients
    }

    /// What was missed on the whole host.
    pub fn missed(&self) -> String {
        let missed = self.0.iter().map(|bpf| {
            let mut bpf = bpf.borrow_mut();
            let missed = bpf.harvest().unwrap().missed;
            let missed: Vec<_> = missed.iter().filter(|(_, n)| *n > 0).collect();
            format!("{}: {missed:?}", bpf.backend())
        });
        missed.collect::<Vec<_>>().join("; ")
    }
}

fn count(bpf: &mut Bpf, pids: &BTreeSet<u32>) -> Count {
    let mut count = Count::default();
    let harvest = bpf.harvest().unwrap();
    let processes = harvest.processes.into_iter();
    for process in processes.filter(|process| pids.contains(&process.id.pid)) {
        count.requests += process.requests;
        for (key, histogram) in &process.series {
            let n = histogram.count();
            count.answers.add(key.method, key.status, n);
            count.histogram.sum_ns += histogram.sum_ns;
            for (sum, n) in count.histogram.buckets.iter_mut().zip(histogram.buckets) {
                *sum += n;
            }
        }
    }
    count
}

/// A process and all that descend from it.
pub fn tree(pid: u32) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    let mut open = vec![pid];
    while let Some(pid) = open.pop() {
        found.insert(pid);
        // Threads come and go, and one that has gone has no children left.
        let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter();
        for thread in threads.flatten().flatten() {
            let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            open.extend(
                children
                    .split_whitespace()
                    .map(|pid| pid.parse::<u32>().unwrap()),
            );
        }
    }
    found
}
