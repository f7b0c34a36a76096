// SPDX-License-Identifier: Apache-2.0
//! A server on `io_uring`, whose transfers no system call holds: counted exactly by `fexit`, and counted as missed by
//! `sock`.

mod server;

use scope_http_statistics::backend::Backend;

use self::server::{Server, Way};
use crate::common::trampolines;
use crate::observer::Observer;

const REQUESTS: u64 = 53;

/// What was missed of a server's transfers.
fn serve(observer: &Observer, way: Way, expected: (u64, u64)) -> u64 {
    let server = Server::start(way);
    let served = (way, server.pid(), &server.address);
    observer.serve(served, REQUESTS, expected, "io_uring")
}

#[test]
fn by_fexit() {
    trampolines::test(|| {
        let observer = Observer::of(Backend::Fexit);
        for way in Way::of_this_kernel() {
            if way == Way::Worker && server::workers_are_kernel_threads() {
                let missed = serve(&observer, way, (0, 0));
                assert!(missed >= REQUESTS, "{way:?}: {missed}");
            } else {
                assert_eq!(serve(&observer, way, (REQUESTS, REQUESTS)), 0, "{way:?}");
            }
        }
    });
}

/// Other processes of the host may add to what is missed, but not take away.
#[test]
fn by_sock() {
    let observer = Observer::of(Backend::Sock);
    for way in Way::of_this_kernel() {
        let missed = serve(&observer, way, (0, 0));
        assert!(missed >= REQUESTS, "{way:?}: {missed}");
    }
}
