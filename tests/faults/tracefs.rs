// SPDX-License-Identifier: Apache-2.0
//! Files of the kernel go away.

use std::fs::{self, File};
use std::thread;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};

use crate::followed::{Asked, Followed};
use crate::prepared;

const NONE: Option<&str> = None;

/// A thread among the mounts of another process.
fn within_mounts_of<T: Send>(pid: u32, act: impl FnOnce() -> T + Send) -> T {
    let mounts = File::open(format!("/proc/{pid}/ns/mnt")).unwrap();
    thread::scope(|scope| {
        let among = scope.spawn(|| {
            unshare(CloneFlags::CLONE_FS).unwrap();
            setns(mounts, CloneFlags::CLONE_NEWNS).unwrap();
            act()
        });
        among.join().unwrap()
    })
}

fn an_agent_whose_tracefs_is_unmounted(backend: &str) {
    let command = prepared(|| {
        unshare(CloneFlags::CLONE_NEWNS)?;
        mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE)?;
        Ok(())
    });
    let mut agent = Followed::start(command, &["--backend", backend]);
    let mut server = Asked::start();
    server.ask(101);
    agent.is_exact(&server);
    let pid = agent.agent.pid();
    let mounts = format!("/proc/{pid}/mounts");
    within_mounts_of(pid, || {
        for root in ["/sys/kernel/debug/tracing", "/sys/kernel/tracing"] {
            // Each is where it is mounted, and may be so more than once.
            while umount2(root, MntFlags::MNT_DETACH).is_ok() {}
        }
    });
    let left = fs::read_to_string(mounts).unwrap();
    assert!(!left.contains(" tracefs "), "{left}");
    server.ask(211);
    agent.is_exact(&server);
}

common::by_backend!(an_agent_whose_tracefs_is_unmounted);
