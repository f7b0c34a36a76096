// SPDX-License-Identifier: Apache-2.0
//! Whatever system call a server receives by, each request counts once.

use common::collector::shared;
use common::load::{self, Client, get, keep_alive};
use common::reader::{MESSAGE, Reader, Receive};

use crate::agent::AGENT;

/// Keep-alive, and a new connection for each: a receive is not always the first of its socket.
pub fn every_call_counts(backend: &'static str) {
    let collector = shared(AGENT, backend);
    let calls = [
        Receive::Read,
        Receive::Recvfrom,
        Receive::Readv,
        Receive::ReadvCut,
        Receive::ReadvSmall,
        Receive::Recvmsg,
        Receive::RecvmsgCut,
        Receive::Recvmmsg,
        Receive::Peek,
    ];
    let readers = calls.map(|call| (call, Reader::tcp(call)));
    for (call, reader) in &readers {
        assert_eq!(keep_alive(&reader.address, 90).served, 90, "{call:?}");
        assert_eq!(
            load::one_by_one(&reader.address, 11).served,
            101,
            "{call:?}"
        );
    }
    collector.settle();
    let counts = readers
        .each_ref()
        .map(|(call, reader)| (*call, collector.count(reader.pid())));
    assert_eq!(counts, calls.map(|call| (call, 101)));
}

pub fn two_messages_of_one_call_count_both(backend: &'static str) {
    let collector = shared(AGENT, backend);
    let reader = Reader::tcp(Receive::Recvmmsg);
    let mut client = Client::connect(&reader.address);
    let padding = MESSAGE - get("/").len();
    let request = get(&format!("/{}", "x".repeat(padding)));
    assert_eq!(request.len(), MESSAGE);
    for pair in 1..=53 {
        client.send(request.repeat(2).as_bytes());
        client.answer();
        assert_eq!(
            client.answer().header("served"),
            Some(&*(2 * pair).to_string())
        );
    }
    collector.wait_for(reader.pid(), 106);
}

pub fn a_second_family_of_addresses(backend: &'static str) {
    let collector = shared(AGENT, backend);
    let unix = [Receive::Read, Receive::Recvmsg].map(Reader::unix);
    let readers = [Reader::tcp6(Receive::Read), Reader::tcp6(Receive::Recvmsg)];
    let readers = readers.iter().chain(&unix);
    for reader in readers.clone() {
        assert_eq!(keep_alive(&reader.address, 97).served, 97);
    }
    collector.wait_for_all(&readers.map(|reader| (reader.pid(), 97)).collect());
}

pub fn threads_count_into_their_process(backend: &'static str) {
    let collector = shared(AGENT, backend);
    let reader = Reader::tcp(Receive::Read);
    let tally = load::parallel(&reader.address, 16, 61);
    assert_eq!((tally.answers, tally.served), (976, 976));
    collector.wait_for(reader.pid(), 976);
}
