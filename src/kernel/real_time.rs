// SPDX-License-Identifier: Apache-2.0
//! Not to be preempted for a moment. While the kernel reads a map for a thread, it skips the programs at events on that CPU,
//! and if the thread were preempted just then, it would skip them in all threads that run there until the reader goes on.

use std::io;

use libc::{
    SCHED_FIFO, c_int, sched_getparam, sched_getscheduler, sched_param, sched_setscheduler,
};

/// The calling thread.
const SELF: libc::pid_t = 0;

/// The least real-time priority: before all threads without one, after all others.
static LEAST: sched_param = sched_param { sched_priority: 1 };

/// The calling thread has real-time priority until this is dropped.
pub struct RealTimePriority {
    policy: c_int,
    parameters: sched_param,
}

impl RealTimePriority {
    /// Needs `CAP_SYS_NICE`, or a limit of real-time priorities (`ulimit -r`) of at least 1.
    pub fn take() -> io::Result<Self> {
        let mut parameters = sched_param { sched_priority: 0 };
        // SAFETY: it has no arguments but a number.
        let policy = succeeded(unsafe { sched_getscheduler(SELF) })?;
        // SAFETY: the kernel writes one such structure, which outlives the call.
        succeeded(unsafe { sched_getparam(SELF, &raw mut parameters) })?;
        // SAFETY: the kernel reads one such structure, which outlives the call.
        succeeded(unsafe { sched_setscheduler(SELF, SCHED_FIFO, &raw const LEAST) })?;
        Ok(Self { policy, parameters })
    }
}

impl Drop for RealTimePriority {
    fn drop(&mut self) {
        // SAFETY: the kernel reads one such structure, which outlives the call.
        let returned = unsafe { sched_setscheduler(SELF, self.policy, &raw const self.parameters) };
        if let Err(error) = succeeded(returned) {
            log::warn!("the sampling thread stays at real-time priority: {error}");
        }
    }
}

fn succeeded(returned: c_int) -> io::Result<c_int> {
    if returned < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(returned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> c_int {
        // SAFETY: as above.
        succeeded(unsafe { sched_getscheduler(SELF) }).unwrap()
    }

    #[test]
    fn lasts_until_it_is_dropped() {
        let before = policy();
        let priority = RealTimePriority::take().expect("the tests run as root");
        assert_eq!((before, policy()), (libc::SCHED_OTHER, SCHED_FIFO));
        drop(priority);
        assert_eq!(policy(), before);
    }
}
