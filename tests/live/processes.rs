// SPDX-License-Identifier: Apache-2.0
//! Processes that come, go, stay and share a pid, and an agent that comes and goes.

use common::agent::folder;
use common::collector::{Collector, shared};
use common::load::{Client, get, keep_alive};
use common::reader::{Reader, Receive};
use common::servers::python_forking;
use common::trampolines;

use crate::agent::AGENT;

pub fn a_child_that_exits_is_counted(backend: &'static str) {
    let collector = shared(AGENT, backend);
    let server = python_forking();
    let mut client = Client::connect(&server.address);
    let pids: Vec<u64> = (0..7)
        .map(|_| {
            let answer = client.ask(get("/").as_bytes());
            answer.header("pid").unwrap().parse().unwrap()
        })
        .collect();
    let child = pids[0];
    assert_eq!(pids, [child; 7]);
    assert_ne!(child, server.pid());
    // Had it gone before it was read, it would be in its workload alone.
    collector.wait_for(child, 7);
    drop(client);
    collector.wait_until_gone(child);
    assert_eq!(collector.counts()[&child], 7);
    assert!(
        !collector.counts().contains_key(&server.pid()),
        "it only accepts"
    );
}

/// A pid is given out anew when the kernel is told that the one before was the last. A thread of another test may get it
/// first; then all begins again, with another pid.
pub fn a_reused_pid_is_counted_on(backend: &'static str) {
    let collector = shared(AGENT, backend);
    let reused = (0..20).any(|_| reuse_a_pid(&collector).is_some());
    assert!(reused, "other tests got every pid first");
}

fn reuse_a_pid(collector: &Collector) -> Option<()> {
    let first = Reader::tcp(Receive::Read);
    let pid = first.pid();
    assert_eq!(keep_alive(&first.address, 11).served, 11);
    // Of one that is gone before the counters are read its workload alone would tell.
    collector.wait_for(pid, 11);
    drop(first);
    let second = Reader::tcp_with_pid(Receive::Read, pid)?;
    assert_eq!(keep_alive(&second.address, 13).served, 13);
    collector.wait_for(pid, 24);
    // Long after the first was forgotten, too.
    drop(second);
    collector.wait_until_gone(pid);
    let third = Reader::tcp_with_pid(Receive::Read, pid)?;
    assert_eq!(keep_alive(&third.address, 17).served, 17);
    collector.wait_for(pid, 41);
    Some(())
}

pub fn an_idle_process_stays_listed(backend: &'static str) {
    let collector = shared(AGENT, backend);
    let reader = Reader::tcp(Receive::Read);
    keep_alive(&reader.address, 5);
    collector.wait_for(reader.pid(), 5);
    for _ in 0..3 {
        collector.settle();
        assert_eq!(collector.rate(reader.pid()), Some(0.0));
    }
    assert_eq!(keep_alive(&reader.address, 2).served, 7);
    collector.wait_for(reader.pid(), 7);
}

/// An agent receives a request for each report. It leaves out its own, and nobody else's.
pub fn the_agent_is_no_server(backend: &'static str) {
    let collector = shared(AGENT, backend);
    let another = AGENT.start(&["--backend", backend]);
    for _ in 0..11 {
        another.report();
    }
    collector.wait_for(another.pid().into(), 11);
    assert!(!collector.counts().contains_key(&collector.agent_pid()));
}

pub fn a_killed_agent_is_replaced(backend: &'static str) {
    let root = folder();
    let reader = Reader::tcp(Receive::Read);
    let mut client = Client::connect(&reader.address);
    let begun = u64::from(backend == "fexit" && trampolines::alone());
    let mut ask = |n| (0..n).for_each(|_| drop(client.ask(get("/").as_bytes())));
    // Before there is an agent: the connection is older than the first and the second.
    ask(3);
    let first = Collector::start_in(AGENT, root.path(), backend);
    ask(13);
    first.wait_for(reader.pid(), 13 - begun);
    first.kill();
    ask(5);
    let second = Collector::start_in(AGENT, root.path(), backend);
    ask(19);
    second.wait_for(reader.pid(), 19 - begun);
    assert_eq!(keep_alive(&reader.address, 1).served, 41);
}
