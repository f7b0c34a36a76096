// SPDX-License-Identifier: Apache-2.0
//! A server that calls the kernel as a 32-bit program does, with other registers and structures: counted exactly by
//! `fexit`, and counted as missed by `sock`.
#![cfg(target_arch = "x86_64")]

mod call;
#[path = "../common/mod.rs"]
mod common;
mod server;

use common::inside;
use scope_http_statistics::backend::Backend;
use scope_http_statistics::bpf::Bpf;
use scope_http_statistics::choice;

use server::{Server, Way};

const REQUESTS: u64 = 37;

/// What was missed of a server's transfers.
fn serve(bpf: &Bpf<'_>, way: Way, expected: (u64, u64)) -> u64 {
    let server = Server::start(way);
    let served = (way, server.pid(), &server.address);
    inside::serve(bpf, served, REQUESTS, expected, "compat")
}

#[test]
fn by_fexit() {
    common::trampolines::test(|| {
        let mut objects = choice::objects();
        let bpf = inside::load(&mut objects, Backend::Fexit);
        for way in Way::of_this_kernel() {
            assert_eq!(serve(&bpf, way, (REQUESTS, REQUESTS)), 0, "{way:?}");
        }
    });
}

/// Other processes of the host may add to what is missed, but not take away.
#[test]
fn by_sock() {
    let mut objects = choice::objects();
    let bpf = inside::load(&mut objects, Backend::Sock);
    for way in Way::of_this_kernel() {
        let missed = serve(&bpf, way, (0, 0));
        assert!(missed >= REQUESTS, "{way:?}: {missed}");
    }
}
