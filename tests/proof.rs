// SPDX-License-Identifier: Apache-2.0
//! A backend that counts proves it, and one that does not is found out: the programs of a backend, loaded by the test program
//! itself, some of which are then taken away.

use std::sync::{Mutex, PoisonError};

use common::agent::Program;
use common::trampolines;
use scope_http_statistics::kernel::backend::Backend;
use scope_http_statistics::kernel::choice;
use scope_http_statistics::kernel::load::{Bpf, Options};
use scope_http_statistics::kernel::proof::IN_A_HURRY;

const AGENT: Program = common::agent!();

/// One at a time: what a thread of this process says to itself counts in all programs that it has loaded.
fn with_backend(backend: Backend, test: impl FnOnce(Bpf<'_>)) {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let options = Options {
        backend: Some(backend),
        max_processes: 4096,
        max_workloads: 1024,
        max_connections: 65536,
        max_h2_connections: 8192,
        max_tls_connections: None,
    };
    let mut objects = choice::objects();
    // It proves itself before it is chosen.
    test(choice::load(&mut objects, &options).unwrap());
}

/// What the proof says once these programs are gone. On a busy host time may run out before a conversation gets its turn, but
/// not each time.
fn failure_without(backend: Backend, programs: &'static [&str]) -> String {
    let mut failure = String::new();
    with_backend(backend, |mut bpf| {
        bpf.detach_those(|name| programs.contains(&name));
        let error = (0..50).find_map(|_| bpf.prove(IN_A_HURRY).err());
        failure = error.expect("the proof fails").to_string();
        only_others_show(&mut bpf);
    });
    failure
}

fn only_others_show(bpf: &mut Bpf<'_>) {
    let harvest = bpf.harvest().unwrap();
    let own = std::process::id();
    assert!(
        harvest
            .processes
            .iter()
            .all(|process| process.id.pid != own)
    );
    // A harvest has what has grown, which is no more than what there is.
    assert!(harvest.kernel.maps[0].entries >= harvest.processes.len());
}

fn a_failing_one_is_noticed_and_so_is_its_recovery(backend: Backend) {
    with_backend(backend, |mut bpf| {
        let counts = |bpf: &mut Bpf<'_>| {
            bpf.prove_again();
            bpf.harvest().unwrap().kernel.counts
        };
        assert!(bpf.harvest().unwrap().kernel.counts);
        assert!(counts(&mut bpf));
        bpf.detach();
        assert!(!counts(&mut bpf));
        only_others_show(&mut bpf);
        bpf.attach().unwrap();
        assert!(counts(&mut bpf));
        only_others_show(&mut bpf);
    });
}

#[test]
fn sock_is_found_out() {
    assert_eq!(
        failure_without(Backend::Sock, &["http_sock_recv", "http_sock_recv_event"]),
        "read/write over tcp: sent 2 requests (GET 1.1 200, HEAD 1.0 404), counted 0 requests (no answer)"
    );
    assert_eq!(
        failure_without(Backend::Sock, &["http_sock_send", "http_sock_send_event"]),
        "read/write over tcp: sent 2 requests (GET 1.1 200, HEAD 1.0 404), counted 2 requests (no answer)"
    );
    a_failing_one_is_noticed_and_so_is_its_recovery(Backend::Sock);
}

#[test]
fn syscall_is_found_out_call_by_call() {
    assert_eq!(
        failure_without(Backend::Syscall, &["http_exit_recvmmsg"]),
        "recvmmsg/sendmmsg over a unix socket: sent 2 requests (GET 1.1 200, HEAD 1.0 404), counted 0 requests (no answer)"
    );
    assert_eq!(
        failure_without(Backend::Syscall, &["http_exit_sendmmsg"]),
        "recvmmsg/sendmmsg over a unix socket: sent 2 requests (GET 1.1 200, HEAD 1.0 404), counted 2 requests (no answer)"
    );
    a_failing_one_is_noticed_and_so_is_its_recovery(Backend::Syscall);
}

#[test]
fn fexit_is_found_out() {
    trampolines::test(AGENT, || {
        a_failing_one_is_noticed_and_so_is_its_recovery(Backend::Fexit);
    });
}
