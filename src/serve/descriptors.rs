// SPDX-License-Identifier: Apache-2.0
//! How many clients there are descriptors for, beside what the agent itself needs.

use std::fs;
use std::sync::OnceLock;

use rustix::process::{Resource, getrlimit};

/// What the agent opens for moments: files of `/proc`, connections to itself, the directory of its socket.
const SPARE: u64 = 12;
/// The plugin's socket and the port.
const LISTENERS: u64 = 2;

/// The most clients of one listener, of so many as there should be: found out when the first of them comes to serve.
pub fn room_for(wanted: usize) -> usize {
    static ROOM: OnceLock<usize> = OnceLock::new();
    *ROOM.get_or_init(|| {
        let limit = getrlimit(Resource::Nofile).current;
        let open = fs::read_dir("/proc/self/fd").map(Iterator::count);
        let (Some(limit), Ok(open)) = (limit, open) else {
            return wanted;
        };
        let room = share(limit, open as u64, wanted);
        if room < wanted {
            log::warn!(
                "there may be no more than {limit} open files: each listener serves {room} clients at a time (ulimit -n, LimitNOFILE=)"
            );
        }
        room
    })
}

fn share(limit: u64, open: u64, wanted: usize) -> usize {
    let share = limit.saturating_sub(open + SPARE) / LISTENERS;
    usize::try_from(share).map_or(wanted, |share| share.clamp(1, wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_share_what_the_agent_leaves() {
        assert_eq!(share(1024, 50, 64), 64);
        assert_eq!(share(64, 40, 64), 6);
        assert_eq!(share(64, 60, 64), 1);
        assert_eq!(share(u64::MAX, 60, 64), 64);
    }
}
