// SPDX-License-Identifier: Apache-2.0
//! Where the kernel shows its tracepoints, and what to do where nobody has mounted that.

use std::io;
use std::path::Path;

use rustix::fs::{FileType, stat};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::thread::{UnshareFlags, unshare_unsafe};

/// Where libbpf looks, in that order.
const ROOTS: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// What tracefs shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tracefs {
    Readable,
    Denied,
    Absent,
}

impl Tracefs {
    /// Of the event of a tracepoint.
    pub fn of(event: &str) -> Self {
        let found = ROOTS.map(|root| {
            Path::new(root)
                .join("events")
                .join(event)
                .join("id")
                .try_exists()
        });
        if found.iter().any(|exists| matches!(exists, Ok(true))) {
            Self::Readable
        } else if found.iter().any(Result::is_err) {
            Self::Denied
        } else {
            Self::Absent
        }
    }

    /// The same, but where it is merely not mounted it is, for the calling thread and those that it starts.
    pub fn mounted(event: &str) -> Self {
        let found = Self::of(event);
        if found != Self::Absent || is_mounted() {
            return found;
        }
        match mount_for_this_thread() {
            Ok(()) => {
                let [root, _] = ROOTS;
                log::info!("mounted tracefs at {root}, for the agent alone");
                Self::of(event)
            }
            Err(error) => {
                log::debug!("tracefs cannot be mounted: {error}");
                found
            }
        }
    }
}

/// Whether tracefs is there, and only shows no such event.
fn is_mounted() -> bool {
    ROOTS
        .iter()
        .any(|root| Path::new(root).join("available_tracers").exists())
}

/// In a mount namespace of its own, to which what is mounted on the host still comes, but from which nothing goes there.
fn mount_for_this_thread() -> io::Result<()> {
    let [root, _] = ROOTS;
    // Before anything is changed.
    if FileType::from_raw_mode(stat(root)?.st_mode) != FileType::Directory {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    // SAFETY: descriptors stay shared.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS)? };
    let all = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    mount_change("/", all)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    Ok(mount("tracefs", root, "tracefs", flags, None)?)
}
