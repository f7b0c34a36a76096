// SPDX-License-Identifier: Apache-2.0
//! Real servers: the count is what the clients got answered and what the server itself counted.

use std::collections::BTreeMap;

use common::collector::shared;
use common::load::{self, Tally};
use common::process::eventually;
use common::servers::{Haproxy, Nginx, PythonHttpServer, node};

use crate::agent::AGENT;

pub fn nginx_by_worker(backend: &'static str) {
    let collector = shared(AGENT, backend);
    let nginx = Nginx::start(2);
    let answers = load::parallel(&nginx.address, 24, 13).answers
        + load::keep_alive(&nginx.unix, 47).answers
        + load::one_by_one(&nginx.address, 31).answers;
    let curl = load::curl(&nginx.address, 53);
    assert_eq!(curl.answers, 53);
    eventually(answers + 53, || nginx.served().values().sum());
    let served = nginx.served();
    assert_eq!(served.len(), 2, "both workers serve: {served:?}");
    collector.wait_for_all(&served);
    let counts = collector.counts();
    for client in [curl.pid, std::process::id().into()] {
        assert!(!counts.contains_key(&client), "a client serves nothing");
    }
}

pub fn nginx_under_wrk(backend: &'static str) {
    let collector = shared(AGENT, backend);
    let nginx = Nginx::start(2);
    let wrk = load::wrk(&nginx.address, 16);
    collector.settle();
    let served = nginx.served();
    let total: u64 = served.values().sum();
    let unanswered = total - wrk.answers;
    assert!(
        unanswered <= 16,
        "at most one on its way on each connection: {unanswered}"
    );
    collector.wait_for_all(&served);
    assert!(!collector.counts().contains_key(&wrk.pid));
}

pub fn python(backend: &'static str) {
    let collector = shared(AGENT, backend);
    let server = PythonHttpServer::start();
    let answers = load::parallel(&server.0.address, 8, 17).answers
        + load::one_by_one(&server.0.address, 23).answers;
    eventually(answers, || server.served());
    collector.wait_for(server.0.pid(), 159);
}

pub fn nodejs(backend: &'static str) {
    let collector = shared(AGENT, backend);
    let server = node();
    assert_eq!(load::keep_alive(&server.address, 89).served, 89);
    let both = Tally {
        answers: 104,
        served: 193,
    };
    assert_eq!(load::parallel(&server.address, 8, 13), both);
    collector.wait_for(server.pid(), 193);
}

/// Each of the two counts its own: one request is two receives of a request.
pub fn haproxy_before_nginx(backend: &'static str) {
    let collector = shared(AGENT, backend);
    let nginx = Nginx::start(1);
    let haproxy = Haproxy::before(&nginx.address);
    let answers = load::keep_alive(&haproxy.0.address, 67).answers
        + load::one_by_one(&haproxy.0.address, 41).answers;
    eventually(answers, || haproxy.served());
    eventually(answers, || nginx.served().values().sum());
    let mut expected: BTreeMap<u64, u64> = nginx.served();
    expected.insert(haproxy.0.pid(), 108);
    collector.wait_for_all(&expected);
}
