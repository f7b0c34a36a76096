// SPDX-License-Identifier: Apache-2.0
//! Both backends at once, each with programs and counters of its own, so that they see the same traffic.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;
use std::time::Instant;

use scope_http_statistics::kernel::backend::Backend;
use scope_http_statistics::kernel::choice::{self, Objects};
use scope_http_statistics::kernel::load::{Bpf, Options};
use scope_http_statistics::model::counters::ProcessId;
use scope_http_statistics::model::histogram::Histogram;
use scope_http_statistics::model::increment::Totals;
use scope_http_statistics::model::reason::Missed;
use scope_http_statistics::model::workload::Workload;

use crate::answers::{Answers, Version};
use crate::clients;

/// Those that find the bytes in a way of their own and that no kernel new enough refuses: what `fexit` adds is what
/// these servers do not use.
const BACKENDS: [Backend; 2] = [Backend::Sock, Backend::Syscall];

pub type Storage = [Objects; BACKENDS.len()];

pub struct Witnesses<'obj>(Vec<RefCell<Witness<'obj>>>);

/// A backend, and what it has counted so far.
struct Witness<'obj> {
    bpf: Bpf<'obj>,
    processes: BTreeMap<ProcessId, (Arc<Workload>, Totals)>,
    missed: Missed,
}

impl Witness<'_> {
    fn look(&mut self) {
        let harvest = self.bpf.harvest().unwrap();
        self.missed = harvest.missed;
        for growth in harvest.processes {
            let process = self.processes.entry(growth.id);
            let (_, totals) = process.or_insert_with(|| (growth.workload, Totals::default()));
            totals.add(&growth.increment, Instant::now());
        }
    }
}

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
        let mut histogram = self.histogram.clone();
        histogram.sum_ns -= earlier.histogram.sum_ns;
        for (bucket, before) in earlier.histogram.filled() {
            histogram.remove(bucket, before);
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
                max_workloads: 1024,
                max_connections: 65536,
                max_h2_connections: 8192,
                max_tls_connections: None,
            };
            let bpf = choice::load(objects, &options);
            RefCell::new(Witness {
                bpf: bpf.unwrap_or_else(|error| panic!("{backend}: {error:#}")),
                processes: BTreeMap::new(),
                missed: Missed::default(),
            })
        };
        Self(storage.iter_mut().zip(BACKENDS).map(load).collect())
    }

    /// What each backend has counted so far of these processes together.
    pub fn counts(&self, pids: &BTreeSet<u32>) -> Vec<Count> {
        let count = |witness: &RefCell<Witness>| count(&mut witness.borrow_mut(), pids);
        self.0.iter().map(count).collect()
    }

    /// Programs that only ask, and yet were taken for servers: a line each.
    pub fn counted_clients(&self) -> String {
        let mut clients = String::new();
        for witness in &self.0 {
            let mut witness = witness.borrow_mut();
            witness.look();
            for (process, (workload, totals)) in &witness.processes {
                let (name, requests) = (workload.name(), totals.requests);
                if clients::was_started(process) || ["curl", "wrk"].contains(&name) {
                    let backend = witness.bpf.backend();
                    clients += &format!("{backend}, {name}: {requests} requests\n");
                }
            }
        }
        clients
    }

    /// What was missed on the whole host.
    pub fn missed(&self) -> String {
        let missed = self.0.iter().map(|witness| {
            let mut witness = witness.borrow_mut();
            witness.look();
            let missed = witness.missed.iter().filter(|(_, n)| *n > 0);
            let missed: Vec<_> = missed.collect();
            format!("{}: {missed:?}", witness.bpf.backend())
        });
        missed.collect::<Vec<_>>().join("; ")
    }
}

fn count(witness: &mut Witness, pids: &BTreeSet<u32>) -> Count {
    witness.look();
    let mut count = Count::default();
    let processes = witness.processes.iter();
    for (_, (_, totals)) in processes.filter(|(id, _)| pids.contains(&id.pid)) {
        count.requests += totals.requests;
        for series in &totals.series {
            let (key, n) = (&series.key, series.durations.count());
            let version = Version::of(key.version.name());
            count
                .answers
                .add_of(version, key.method.name(), key.status, n);
            count.histogram += &series.durations;
        }
        for calls in &totals.calls {
            count
                .answers
                .add_calls(calls.status, calls.durations.count());
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
