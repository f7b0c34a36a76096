// SPDX-License-Identifier: Apache-2.0
//! Libraries and processes that come and go, or are guarded.

use std::fs;
use std::thread::scope;

use common::tls::{self, Client};
use common::web;

use super::{AGENT, agent_that_knows, assert_seen, kinds, teach};

/// Who has mapped the old file goes on with it, and is counted; the new one is found as any other.
#[test]
fn a_library_that_is_upgraded_under_load() {
    let first = tls::python_with_own_library();
    let (agent, address) = web::start(AGENT, &[]);
    teach(&agent, &first);
    let old = tls::python_with_library_of(&first);
    let new = scope(|scope| {
        let load = scope.spawn(|| Client::asking(&old, &["keep:1511", "new:53"]).answers);
        tls::copy_library(&first.file(""));
        let new = tls::python_with_library_of(&first);
        teach(&agent, &new);
        assert_eq!(load.join().unwrap(), 1511 + 53);
        new
    });
    assert_seen(address, old.pid(), kinds([("GET", "200", 1511 + 53)]));
    let is_gone = |it: &String| it.contains("libssl") && it.ends_with("(deleted)");
    assert!(tls::executed(&old).iter().any(is_gone));
    assert!(!tls::executed(&new).iter().any(is_gone));
}

/// One that would end by a system call which a probe makes in its place.
#[test]
fn a_server_that_seccomp_guards_lives_on() {
    let (_agent, address) = agent_that_knows(&[], &tls::python());
    let server = tls::python_under_seccomp();
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    assert!(status.contains("Seccomp:\t2"), "{status}");
    let client = Client::asking(&server, &["new:53", "keep:101"]);
    assert_eq!(client.answers, 53 + 101);
    assert_seen(address, server.pid(), kinds([("GET", "200", 53 + 101)]));
}
