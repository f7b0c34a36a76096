// SPDX-License-Identifier: Apache-2.0
//! The process that looks into others. It is the agent's program once more, started before the agent gives up its rights; it is
//! asked for nothing but by the programs in the kernel, whose maps it inherits, and ends with the agent.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::{self, BufRead, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{
    Resource, Rlimit, Signal, getrlimit, set_parent_process_death_signal, setrlimit,
};
use rustix::thread::CapabilitySet;
use serde::{Deserialize, Serialize};

use crate::confine;
use crate::footprint;
use crate::identity::namespace::PidNamespace;
use crate::kernel::choice;
use crate::logging;
use crate::tls::attach::{self, Common};
use crate::tls::ring::Ring;
use crate::tls::watch::Watch;

/// The subcommand that it is.
pub const COMMAND: &str = "look-into-tls";

/// Where the kernel tells which processes to look into.
const WANTED: &str = "tls_wanted";

/// How often it is seen whether the agent is still there, which the kernel would tell as well.
const STEP: Duration = Duration::from_secs(1);

/// What it is told, in a line on its standard input.
#[derive(Debug, Serialize, Deserialize)]
struct Order {
    common: Common,
    /// Descriptors of maps, which it inherits.
    maps: BTreeMap<String, RawFd>,
}

/// A running one. It ends when this is dropped.
pub struct Helper {
    child: Child,
    input: Option<ChildStdin>,
}

/// Which maps of the programs at sockets it needs.
pub fn needs(map: &str) -> bool {
    attach::SHARED.contains(&map) || map == attach::VISIBLE || map == WANTED
}

/// Why nothing can be seen into here, if that is known beforehand, and what to do about it.
pub fn obstacle() -> Option<&'static str> {
    let held = confine::held().unwrap_or(CapabilitySet::empty());
    if PidNamespace::here() == PidNamespace::Own {
        return Some("let the agent into the host's pid namespace (--pid=host, hostPID: true)");
    }
    (!held.contains(CapabilitySet::SYS_PTRACE))
        .then_some("grant CAP_SYS_PTRACE, without which nobody may look at what others have mapped")
}

impl Helper {
    /// To be called before rights are given up, by a thread that lives as long as it should.
    pub fn start(common: Common, maps: &[(String, BorrowedFd<'_>)]) -> Result<Self> {
        if let Some(obstacle) = obstacle() {
            bail!(obstacle);
        }
        let numbers: Vec<_> = maps.iter().map(|(_, map)| map.as_raw_fd()).collect();
        let inherit = move || {
            for number in &numbers {
                // SAFETY: it is open in who has forked, and nothing is closed in between.
                let map = unsafe { BorrowedFd::borrow_raw(*number) };
                fcntl_setfd(map, FdFlags::empty())?;
            }
            set_parent_process_death_signal(Some(Signal::KILL))?;
            Ok(())
        };
        let mut command = Command::new("/proc/self/exe");
        // By which it is known among processes.
        if let Some(name) = env::args_os().next() {
            command.arg0(name);
        }
        command
            .arg(COMMAND)
            .args(logging::flags())
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::null());
        // SAFETY: between fork and exec, system calls that touch no memory but the numbers.
        unsafe { command.pre_exec(inherit) };
        let mut child = command.spawn().context("it cannot be started")?;
        let order = Order {
            common,
            maps: maps
                .iter()
                .map(|(name, map)| (name.clone(), map.as_raw_fd()))
                .collect(),
        };
        let line = serde_json::to_string(&order)? + "\n";
        let mut input = child.stdin.take().context("it has no input")?;
        input.write_all(line.as_bytes()).context("it has ended")?;
        Ok(Self {
            child,
            input: Some(input),
        })
    }
}

impl Helper {
    /// Whether it has ended by itself.
    pub fn has_ended(&self) -> bool {
        self.input
            .as_ref()
            .is_some_and(|input| is_ready(input, PollFlags::empty()))
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        drop(self.input.take());
        // All of these fail only where it has already ended. One that waits for a file system that does not answer is left to itself.
        let _ = self.child.kill();
        let start = Instant::now();
        while let Ok(None) = self.child.try_wait()
            && start.elapsed() < STEP
        {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// What it does.
pub fn run() -> Result<()> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    let order: Order = serde_json::from_str(&line).context("it is for the agent to start")?;
    // SAFETY: who has started this process has left them open for it, and nothing else has used them yet.
    let own = |number| unsafe { OwnedFd::from_raw_fd(number) };
    let mut maps: BTreeMap<_, _> = order
        .maps
        .into_iter()
        .map(|(name, it)| (name, own(it)))
        .collect();
    for map in maps.values() {
        fcntl_setfd(map, FdFlags::CLOEXEC)?;
    }
    let wanted = maps
        .remove(WANTED)
        .context("there is nothing to wait for")?;
    offer_to_be_killed_first();
    allow_many_descriptors();
    choice::log_what_libbpf_says();
    let mut ring = Ring::of(wanted).context("the kernel cannot tell what to look into")?;
    // Most hosts' processes never serve TLS.
    footprint::let_go_of_program();
    confine::looking_into_tls();
    let mut watch = Watch::new(order.common, maps, Instant::now());
    while !is_orphan() {
        for process in ring.wait(STEP)? {
            watch.look(process, Instant::now())?;
        }
        watch.sweep(Instant::now());
    }
    Ok(())
}

/// Whether who holds the other end of the standard input has gone.
fn is_orphan() -> bool {
    is_ready(io::stdin(), PollFlags::IN)
}

/// Whether a pipe has one of these, or no other end any more.
fn is_ready(pipe: impl AsFd, flags: PollFlags) -> bool {
    let mut polled = [PollFd::new(&pipe, flags)];
    poll(&mut polled, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
}

/// As many as may be: each library takes some, before Linux 6.6 two for each spot.
fn allow_many_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        log::debug!("TLS: there may be no more descriptors than before: {error}");
    }
}

/// Where memory is short, the agent goes on counting without this process rather than the other way round.
fn offer_to_be_killed_first() {
    if let Err(error) = fs::write("/proc/self/oom_score_adj", "1000") {
        log::debug!(
            "TLS: where memory is short, the agent may be killed before this process: {error}"
        );
    }
}
