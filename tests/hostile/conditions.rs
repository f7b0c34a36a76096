// SPDX-License-Identifier: Apache-2.0
//! The agent's program under conditions that take something away from it. They are set up by system calls between fork
//! and exec, since the kernels that these tests also run on have no commands.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use common::cgroup::ControlGroup;
use nix::libc;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::{Gid, Uid, setgid, setuid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, configure_capability_in_ambient_set,
    remove_capability_from_bounding_set, set_capabilities, set_keep_capabilities,
};
use seccompiler::{
    SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter,
};

use crate::agent::AGENT;

const NOBODY: u32 = 65534;
const NONE: Option<&str> = None;

/// The agent after `prepare`, which may make system calls but must not allocate.
fn prepared(
    mut command: Command,
    prepare: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
) -> Command {
    // SAFETY: each closure below only makes system calls with what was allocated before the fork.
    unsafe { command.pre_exec(prepare) };
    command
}

/// Empty file systems hide what lies below those of the directories that exist.
pub fn without(directories: &[&'static str]) -> Command {
    let exists = |directory: &&str| Path::new(directory).exists();
    let hidden: Vec<_> = directories.iter().copied().filter(exists).collect();
    prepared(AGENT.command(), move || {
        unshare(CloneFlags::CLONE_NEWNS)?;
        mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE)?;
        for directory in &hidden {
            mount(NONE, *directory, Some("tmpfs"), MsFlags::empty(), NONE)?;
        }
        Ok(())
    })
}

/// Root without a network: not even the host can be talked to.
pub fn without_network() -> Command {
    prepared(AGENT.command(), || {
        unshare(CloneFlags::CLONE_NEWNET)?;
        Ok(())
    })
}

/// As [`without`], for root with these capabilities and no others.
pub fn without_and_with(directories: &[&'static str], kept: CapabilitySet) -> Command {
    prepared(without(directories), move || Ok(drop_others(kept)?))
}

/// Root with these capabilities and no others.
pub fn with_capabilities(kept: CapabilitySet) -> Command {
    prepared(AGENT.command(), move || Ok(drop_others(kept)?))
}

fn drop_others(kept: CapabilitySet) -> rustix::io::Result<()> {
    CapabilitySet::all()
        .difference(kept)
        .iter_names()
        .try_for_each(|(_, other)| remove_capability_from_bounding_set(other))
}

/// A user with these capabilities, to whom no file belongs.
pub fn nobody_with(kept: CapabilitySet) -> Command {
    // The folder of the program may be closed to other users; an open file is not.
    let program = File::open(AGENT.path()).unwrap();
    let mut nobody = Command::new(format!("/proc/self/fd/{}", program.as_raw_fd()));
    for (name, value) in AGENT.command().get_envs() {
        match value {
            Some(value) => nobody.env(name, value),
            None => nobody.env_remove(name),
        };
    }
    nobody.current_dir("/");
    prepared(nobody, move || {
        let _until_exec = &program;
        set_keep_capabilities(true)?;
        setgid(Gid::from_raw(NOBODY))?;
        setuid(Uid::from_raw(NOBODY))?;
        // What this host lacks cannot be kept.
        let kept = kept.intersection(capabilities(None)?.permitted);
        let sets = CapabilitySets {
            effective: kept,
            permitted: kept,
            inheritable: kept,
        };
        set_capabilities(None, sets)?;
        kept.iter_names()
            .try_for_each(|(_, one)| configure_capability_in_ambient_set(one, true))?;
        Ok(())
    })
}

/// Root of a user namespace.
pub fn in_user_namespace() -> Command {
    prepared(AGENT.command(), || {
        unshare(CloneFlags::CLONE_NEWUSER)?;
        fs::write("/proc/self/uid_map", "0 0 1")
    })
}

/// Root for whom a seccomp filter denies bpf(2).
pub fn without_bpf_call() -> Command {
    denied(&[(libc::SYS_bpf, None)], libc::EPERM)
}

/// Root for whom a seccomp filter denies what a program restricts itself by.
pub fn without_self_restriction() -> Command {
    let calls = [libc::SYS_seccomp, libc::SYS_landlock_create_ruleset];
    denied(&calls.map(|call| (call, None)), libc::EPERM)
}

/// Root whose programs cannot be attached by `BPF_LINK_CREATE`, as if the kernel did not know how to. There is another way for all
/// but iterators.
pub fn without_links() -> Command {
    const BPF_LINK_CREATE: u64 = 28;
    let is_it = SeccompCondition::new(
        0,
        SeccompCmpArgLen::Dword,
        SeccompCmpOp::Eq,
        BPF_LINK_CREATE,
    );
    let rule = SeccompRule::new(vec![is_it.unwrap()]).unwrap();
    denied(&[(libc::SYS_bpf, Some(rule))], libc::EINVAL)
}

/// Root for whom a seccomp filter denies these system calls, where their rule says so.
fn denied(calls: &[(libc::c_long, Option<SeccompRule>)], errno: i32) -> Command {
    let rules = calls.iter().cloned();
    let filter = SeccompFilter::new(
        rules
            .map(|(call, rule)| (call, Vec::from_iter(rule)))
            .collect(),
        SeccompAction::Allow,
        SeccompAction::Errno(errno as u32),
        std::env::consts::ARCH.try_into().unwrap(),
    );
    let program: seccompiler::BpfProgram = filter.unwrap().try_into().unwrap();
    prepared(AGENT.command(), move || {
        apply_filter(&program).map_err(|_| io::Error::last_os_error())
    })
}

/// Root without the capability to lift the limit of locked memory.
pub fn with_locked_memory(bytes: u64) -> Command {
    prepared(AGENT.command(), move || {
        setrlimit(Resource::RLIMIT_MEMLOCK, bytes, bytes)?;
        let lifted_by = CapabilitySet::SYS_RESOURCE;
        Ok(drop_others(CapabilitySet::all().difference(lifted_by))?)
    })
}

/// Root in a control group.
pub fn within(group: &ControlGroup) -> Command {
    let members = File::options().write(true).open(group.members()).unwrap();
    prepared(AGENT.command(), move || (&members).write_all(b"0"))
}
