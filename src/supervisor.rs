// SPDX-License-Identifier: Apache-2.0
//! Tells whoever has started the agent how it is, by the protocol of systemd
//! (<https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html>): started means counting.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval};

use crate::sampler::Snapshots;
use crate::serve::probes::Condition;

const VARIABLE: &str = "NOTIFY_SOCKET";
/// How often it is looked whether there is something else to say.
const INTERVAL: Duration = Duration::from_secs(5);

/// The one who wants to know, if there is one.
#[derive(Clone, Debug)]
pub struct Supervisor(Option<Arc<UnixDatagram>>);

impl Supervisor {
    /// Connects while the agent may still do so: one in an abstract address would be out of reach later.
    pub fn of_this_process() -> Self {
        let Some(name) = std::env::var_os(VARIABLE) else {
            return Self(None);
        };
        let socket = connect(&name)
            .inspect_err(|error| log::warn!("{VARIABLE} is {name:?}, and nobody there: {error}"));
        Self(socket.ok().map(Arc::new))
    }

    /// One or more lines, such as `READY=1`. Whoever does not take them at once does not get them.
    pub fn tell(&self, lines: &str) {
        if let Some(socket) = &self.0
            && let Err(error) = socket.send(lines.as_bytes())
        {
            log::debug!("{VARIABLE} takes nothing: {error}");
        }
    }

    /// Requests are counted from now on. What changes later is told in a task of its own.
    pub fn ready(&self, snapshots: Snapshots) {
        if self.0.is_none() {
            return;
        }
        let mut said = status(&snapshots);
        self.tell(&format!("READY=1\n{said}"));
        let supervisor = self.clone();
        tokio::spawn(async move {
            let mut interval = interval(INTERVAL);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            // Until whoever counts has gone.
            while snapshots.has_changed().is_ok() {
                interval.tick().await;
                let status = status(&snapshots);
                if status != said {
                    supervisor.tell(&status);
                    said = status;
                }
            }
        });
    }
}

fn status(snapshots: &Snapshots) -> String {
    let snapshot = snapshots.borrow();
    let condition = Condition::of(&snapshot, Instant::now());
    format!("STATUS={}", condition.words(&snapshot))
}

fn connect(name: &OsStr) -> io::Result<UnixDatagram> {
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_told_at_a_path_and_at_an_abstract_address() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let abstract_name = format!("http-stat-test-{}", std::process::id());
        let listeners = [
            UnixDatagram::bind(&path).unwrap(),
            UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&abstract_name).unwrap())
                .unwrap(),
        ];
        let names = [path.into_os_string(), format!("@{abstract_name}").into()];
        for (listener, name) in listeners.iter().zip(names) {
            let supervisor = Supervisor(Some(Arc::new(connect(&name).unwrap())));
            supervisor.tell("STOPPING=1");
            let mut buffer = [0; 64];
            let length = listener.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], b"STOPPING=1");
            // More than it takes, of which nothing waits.
            for _ in 0..10_000 {
                supervisor.tell("STATUS=busy");
            }
        }
    }
}
