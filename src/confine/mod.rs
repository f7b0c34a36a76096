// SPDX-License-Identifier: Apache-2.0
//! What the agent gives up once it has started, for good, and what it keeps: see `docs/security.md`. Rights belong to threads. Each
//! thread gives up its own here, and hands what is left on to those that it starts; the filter of system calls is for all of them.

mod calls;
mod capabilities;
mod files;

use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::thread::CapabilitySet;

use files::Tcp;

pub use capabilities::held;
pub use files::{Destination, Landlock, version as landlock_version};

/// The first port that needs no capability.
const UNPRIVILEGED: u16 = 1024;

const READABLE: usize = 8;

/// For the thread that waits for signals.
pub fn waiting() {
    let outcome = keep(CapabilitySet::empty(), || {
        files::restrict(None, &[], Tcp::Nothing)
    });
    told("the thread that waits for signals", outcome);
}

/// For the thread that reads the counters.
pub fn sampling(at_events: bool) {
    let outcome = kept_by_sampling(at_events)
        .and_then(|kept| keep(kept, || files::restrict(None, &[], Tcp::TalkToItself)));
    told("the thread that reads the counters", outcome);
}

/// For the thread that counts connections, which has what the one that starts it has kept: it uses no map at real-time priority.
pub fn counting() -> io::Result<()> {
    let for_maps = CapabilitySet::BPF | CapabilitySet::SYS_ADMIN;
    capabilities::lower_to(for_maps & capabilities::held()?)
}

/// The capabilities that the thread which reads the counters would keep.
pub fn names_kept_by_sampling(at_events: bool) -> Result<Vec<String>> {
    kept_by_sampling(at_events).map(capabilities::names)
}

fn kept_by_sampling(at_events: bool) -> Result<CapabilitySet> {
    let held = capabilities::held().context("the capabilities cannot be read")?;
    let duties = capabilities::Duties::here(at_events).context("its duties are not known")?;
    Ok(duties.kept(held))
}

/// For the thread that serves, which has still to get hold of this port, if any, to read what is in these folders, and to connect
/// to a destination.
pub fn serving(
    plugins_root: &Path,
    port: Option<u16>,
    readable: &[PathBuf],
    outside: Option<Destination>,
) {
    let privileged = port.is_some_and(|port| (1..UNPRIVILEGED).contains(&port));
    let needed = if privileged {
        CapabilitySet::NET_BIND_SERVICE
    } else {
        CapabilitySet::empty()
    };
    let outcome = capabilities::held()
        .context("the capabilities cannot be read")
        .and_then(|held| {
            keep(needed & held, || {
                let tcp = Tcp::Serve {
                    listen: port,
                    outside,
                };
                files::restrict(Some(plugins_root), readable, tcp)
            })
        });
    told("the thread that serves", outcome);
}

/// For the same, when it has the port.
pub fn listening() -> io::Result<()> {
    capabilities::lower_to(CapabilitySet::empty())
}

/// For a thread that only shows what another one reads, in the terminal.
pub fn showing() {
    let outcome = keep(CapabilitySet::empty(), || Ok(Landlock::Unused));
    told("the thread that shows", outcome);
}

/// For all threads, when each has given up its own.
pub fn calling(outside: Option<Destination>) {
    match calls::restrict(outside.is_some_and(|it| it.by_name)) {
        Ok(()) => log::debug!("no new privileges, and no system calls but those that are needed"),
        Err(error) => log::warn!("all system calls remain: {error:#}"),
    }
}

/// For the process that looks into others: what that takes, and none of the rest. Landlock would keep it from all processes.
pub fn looking_into_tls() {
    let outcome = capabilities::held()
        .context("the capabilities cannot be read")
        .and_then(|held| {
            keep(capabilities::TO_LOOK_INTO_TLS & held, || {
                Ok(Landlock::Unused)
            })
        });
    told("the process that looks into TLS", outcome);
    if let Err(error) = calls::restrict_to_attach() {
        log::warn!("all system calls remain to the process that looks into TLS: {error:#}");
    }
}

/// What a thread has kept.
struct Kept {
    capabilities: CapabilitySet,
    given_up: CapabilitySet,
    landlock: Landlock,
}

fn keep(kept: CapabilitySet, restrict_files: impl FnOnce() -> Result<Landlock>) -> Result<Kept> {
    let held = capabilities::held().context("the capabilities cannot be read")?;
    capabilities::keep_only(kept).context("its capabilities cannot be given up")?;
    Ok(Kept {
        capabilities: kept,
        given_up: held.difference(kept),
        landlock: restrict_files()?,
    })
}

fn told(thread: &str, outcome: Result<Kept>) {
    match outcome {
        Ok(kept) => {
            log::debug!(
                "{thread} keeps {}, and gives up {}; {}",
                words(kept.capabilities),
                words(kept.given_up),
                kept.landlock,
            );
        }
        Err(error) => log::warn!("{thread} keeps more rights than it needs: {error:#}"),
    }
}

/// Capabilities by their names, unless those are too many to read.
fn words(set: CapabilitySet) -> String {
    match capabilities::names(set) {
        names if names.is_empty() => "no capability".to_owned(),
        names if names.len() > READABLE => format!("{} capabilities", names.len()),
        names => names.join(", "),
    }
}
