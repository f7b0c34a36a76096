// SPDX-License-Identifier: Apache-2.0
//! The agent's clocks are not the kernel's.

use std::fs::{self, File};
use std::io;
use std::time::Duration;

use nix::libc;
use nix::sched::{CloneFlags, setns};

use crate::followed::{Asked, Followed};
use crate::prepared;

/// Longer than the agent takes to compare what it lists with what lives.
const SWEPT: Duration = Duration::from_secs(13);

/// Its clocks of time since the start are set ahead and back: what the kernel says of processes is in other numbers then.
#[test]
fn an_agent_whose_clocks_are_others() {
    for offset in ["8640000", "-10"] {
        let offsets = format!("monotonic {offset} 0\nboottime {offset} 0\n");
        let command = prepared(move || {
            // SAFETY: it is about the children of this process alone.
            if unsafe { libc::unshare(libc::CLONE_NEWTIME) } != 0 {
                return Err(io::Error::last_os_error());
            }
            fs::write("/proc/self/timens_offsets", &offsets)?;
            let own = File::open("/proc/self/ns/time_for_children")?;
            Ok(setns(own, CloneFlags::empty())?)
        });
        let mut agent = Followed::start(command, &[]);
        let mut server = Asked::start();
        server.ask(101);
        agent.is_exact(&server);
        agent.look_for(SWEPT, &server);
        server.ask(211);
        agent.is_exact(&server);
    }
}
