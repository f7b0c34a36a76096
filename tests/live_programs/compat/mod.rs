// SPDX-License-Identifier: Apache-2.0
//! A server that calls the kernel as a 32-bit program does, with other registers and structures: counted exactly by
//! `fexit`, and counted as missed by `sock`.

mod call;
mod server;

use common::trampolines;
use scope_http_statistics::kernel::backend::Backend;
use scope_http_statistics::model::reason::Reason;

use self::server::{Server, Way};
use crate::agent::AGENT;
use crate::observer::Observer;

const REQUESTS: u64 = 37;

#[test]
fn by_fexit() {
    trampolines::test(AGENT, || {
        let observer = Observer::of(Backend::Fexit);
        for way in Way::of_this_kernel() {
            let server = Server::start(way);
            observer.counts_all((&way, server.pid(), &server.address), REQUESTS);
        }
    });
}

#[test]
fn by_sock() {
    let observer = Observer::of(Backend::Sock);
    for way in Way::of_this_kernel() {
        let server = Server::start(way);
        observer.misses_all(
            (&way, server.pid(), &server.address),
            REQUESTS,
            Reason::Compat,
        );
    }
}
