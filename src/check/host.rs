// SPDX-License-Identifier: Apache-2.0
//! What of a host an agent depends on. Nothing here fails: what cannot be found out is left open.

use std::fs;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use serde::Serialize;

use crate::cli::Cli;
use crate::confine;
use crate::identity::namespace::PidNamespace;
use crate::kernel::facts::SYSCALL_EVENT;
use crate::kernel::privilege::Privilege;
use crate::kernel::tracefs::Tracefs;
use crate::scope::socket::Endpoint;
use crate::serve::web::Listen;
use crate::tls::helper;

#[derive(Debug, Serialize)]
pub struct Host {
    pub kernel: String,
    pub btf: bool,
    pub capabilities: Capabilities,
    /// As the kernel numbers it: 0 is none, 1 strict, 2 a filter.
    pub seccomp: Option<u8>,
    /// Its version; `None` where the kernel has none.
    pub landlock: Option<i32>,
    /// `None` where the kernel knows no lockdown.
    pub lockdown: Option<String>,
    pub perf_event_paranoid: Option<i32>,
    pub tracefs: Tracing,
    pub pid_namespace: PidNamespace,
    /// Why it is not seen into.
    pub tls_obstacle: Option<&'static str>,
    pub port: Port,
    pub plugins_root: PluginsRoot,
}

#[derive(Debug, Serialize)]
pub struct Capabilities {
    /// Without which nothing can be loaded.
    pub missing: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tracing {
    Readable,
    Denied,
    Absent,
    /// By the agent, for itself alone.
    Mounted,
}

#[derive(Debug, Serialize)]
pub struct Port {
    /// `None`: nobody wants to listen.
    pub address: Option<String>,
    pub state: PortState,
    /// Why it cannot be had.
    pub obstacle: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PortState {
    Free,
    InUse,
    Unwanted,
    Refused,
}

#[derive(Debug, Serialize)]
pub struct PluginsRoot {
    pub path: PathBuf,
    /// Why the socket cannot be made there.
    pub obstacle: Option<String>,
    /// An agent is serving its socket there.
    pub agent_runs: bool,
}

impl Host {
    /// Before anything is tried.
    pub fn look(cli: &Cli) -> Self {
        let system = rustix::system::uname();
        let release = system.release().to_string_lossy();
        let machine = system.machine().to_string_lossy();
        let missing = Privilege::of_this_process().map_or_else(|_| Vec::new(), |it| it.wanting());
        Self {
            kernel: format!("{release} {machine}"),
            btf: fs::File::open("/sys/kernel/btf/vmlinux").is_ok(),
            capabilities: Capabilities { missing },
            seccomp: read("/proc/self/status").and_then(|status| seccomp(&status)),
            landlock: confine::landlock_version(),
            lockdown: read("/sys/kernel/security/lockdown").and_then(|text| chosen(&text)),
            perf_event_paranoid: read("/proc/sys/kernel/perf_event_paranoid")
                .and_then(|level| level.trim().parse().ok()),
            tracefs: match Tracefs::of(SYSCALL_EVENT) {
                Tracefs::Readable => Tracing::Readable,
                Tracefs::Denied => Tracing::Denied,
                Tracefs::Absent => Tracing::Absent,
            },
            pid_namespace: PidNamespace::here(),
            tls_obstacle: helper::obstacle(),
            port: port(cli.listen),
            plugins_root: plugins_root(&cli.plugins_root),
        }
    }

    /// After all was tried: some of it may have changed what there is.
    pub fn look_again(&mut self) {
        if self.tracefs == Tracing::Absent && Tracefs::of(SYSCALL_EVENT) == Tracefs::Readable {
            self.tracefs = Tracing::Mounted;
        }
    }
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok()
}

fn seccomp(status: &str) -> Option<u8> {
    let mode = status
        .lines()
        .find_map(|line| line.strip_prefix("Seccomp:"));
    mode?.trim().parse().ok()
}

/// The one of several words that stands in brackets.
fn chosen(text: &str) -> Option<String> {
    let (_, rest) = text.split_once('[')?;
    Some(rest.split_once(']')?.0.to_owned())
}

fn port(listen: Listen) -> Port {
    let Listen::On(address) = listen else {
        return Port {
            address: None,
            state: PortState::Unwanted,
            obstacle: None,
        };
    };
    let error = TcpListener::bind(address).err();
    Port {
        address: Some(address.to_string()),
        state: match &error {
            None => PortState::Free,
            Some(error) if error.kind() == ErrorKind::AddrInUse => PortState::InUse,
            Some(_) => PortState::Refused,
        },
        obstacle: error.map(|error| error.to_string()),
    }
}

fn plugins_root(root: &Path) -> PluginsRoot {
    let endpoint = Endpoint::below(root);
    let agent_runs = endpoint
        .as_ref()
        .is_ok_and(|endpoint| UnixStream::connect(endpoint.path()).is_ok());
    let refused = endpoint.and_then(|endpoint| endpoint.check()).err();
    let obstacle = refused
        .map(|error| format!("{error:#}"))
        .or_else(|| cannot_be_written(root));
    PluginsRoot {
        path: root.to_owned(),
        obstacle,
        agent_runs,
    }
}

/// Why a directory cannot be written, or made where there is none.
fn cannot_be_written(root: &Path) -> Option<String> {
    let there = root.ancestors().find(|path| path.exists())?;
    if !there.is_dir() {
        return Some(format!("{} is not a directory", there.display()));
    }
    let error = access(there, Access::WRITE_OK | Access::EXEC_OK).err()?;
    Some(format!("{} cannot be written: {error}", there.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_kernel_writes() {
        assert_eq!(
            seccomp("Name:\tx\nSeccomp:\t2\nSeccomp_filters:\t1\n"),
            Some(2)
        );
        assert_eq!(seccomp("Name:\tx\n"), None);
        assert_eq!(
            chosen("none [integrity] confidentiality\n").as_deref(),
            Some("integrity")
        );
        assert_eq!(chosen(""), None);
    }

    #[test]
    fn a_port_is_free_or_in_use() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        assert_eq!(port(Listen::On(address)).state, PortState::InUse);
        drop(taken);
        assert_eq!(port(Listen::On(address)).state, PortState::Free);
        assert_eq!(port(Listen::None).state, PortState::Unwanted);
    }

    #[test]
    fn a_root_that_is_still_to_be_made_is_no_obstacle() {
        let folder = tempfile::tempdir_in("/tmp").unwrap();
        assert_eq!(plugins_root(&folder.path().join("a/b")).obstacle, None);
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let found = plugins_root(&file.join("a"));
        assert!(
            found
                .obstacle
                .is_some_and(|it| it.contains("not a directory"))
        );
        assert!(!found.agent_runs);
        let long = plugins_root(Path::new(&format!("/tmp/{}", "r".repeat(100))));
        assert!(long.obstacle.is_some_and(|it| it.contains("shorter")));
    }
}
