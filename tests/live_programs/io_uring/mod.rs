// SPDX-License-Identifier: Apache-2.0
//! A server on `io_uring`, whose transfers no system call holds: counted exactly by `fexit`, and counted as missed by `sock`.

mod server;

use common::trampolines;
use scope_http_statistics::kernel::backend::Backend;
use scope_http_statistics::model::reason::Reason;

use self::server::{Server, Way};
use crate::agent::AGENT;
use crate::observer::{Observer, Served};

const REQUESTS: u64 = 53;

#[test]
fn by_fexit() {
    trampolines::test(AGENT, || {
        let observer = Observer::of(Backend::Fexit);
        for way in Way::of_this_kernel() {
            let server = Server::start(way);
            let served: Served<'_> = (&way, server.pid(), &server.address);
            if way == Way::Worker && server::workers_are_kernel_threads() {
                observer.misses_all(served, REQUESTS, Reason::IoUring);
            } else {
                observer.counts_all(served, REQUESTS);
            }
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
            Reason::IoUring,
        );
    }
}
