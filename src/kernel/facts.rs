// SPDX-License-Identifier: Apache-2.0
//! What the running kernel offers, and the pure rules that follow from it. The trial load follows in
//! [`crate::kernel::choice`].

use anyhow::{Context, Result};
use libbpf_rs::btf::Btf;
use libbpf_rs::btf::types::{Func, Typedef};

use crate::kernel::backend::Backend;
use crate::kernel::preemption;
use crate::kernel::privilege::Privilege;
use crate::kernel::tracefs::Tracefs;

/// Events that stand for all of their kind.
const SOCK_EVENT: &str = "sock/sock_recv_length";
pub const SYSCALL_EVENT: &str = "syscalls/sys_exit_read";

/// The running kernel's types and functions, and what follows from them.
pub struct Kernel {
    btf: Btf<'static>,
    pub facts: Facts,
}

impl Kernel {
    pub fn running(privilege: &Privilege) -> Result<Self> {
        let btf = Btf::from_vmlinux().context(
            "the kernel has no BTF (/sys/kernel/btf/vmlinux): it has to be built with CONFIG_DEBUG_INFO_BTF=y",
        )?;
        let facts = Facts::of(&btf, privilege);
        Ok(Self { btf, facts })
    }

    /// What a backend needs to be mounted is, if it can be.
    pub fn prepare_for(&mut self, backend: Backend) {
        if backend == Backend::Syscall {
            self.facts.syscall_events = Tracefs::mounted(SYSCALL_EVENT);
        }
    }

    pub fn has_function(&self, name: &str) -> bool {
        has_function(&self.btf, name)
    }
}

pub fn has_function(btf: &Btf<'_>, name: &str) -> bool {
    btf.type_by_name::<Func<'_>>(name).is_some()
}

/// What a kernel offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The tracepoints `sock_recv_length` and `sock_send_length` exist.
    pub sock_tracepoints: bool,
    /// Sockets have a way to send that passes them (before Linux 6.5).
    pub sends_pages: bool,
    /// Open-coded iterators (Linux 6.4 and later): how programs loop that have state in socket storage.
    pub iterators: bool,
    /// The kernel may preempt a task while it is in the kernel. `None`: that is not to be found out.
    pub preempts: Option<bool>,
    /// Also while it is in a program at a tracepoint (Linux 7.0 and later).
    pub preempts_tracepoints: bool,
    /// Also while it is in one at the event of a system call's tracepoint (Linux 7.2 and later).
    pub preempts_syscall_events: bool,
    /// The events of the tracepoints of sockets and of system calls, as tracefs shows them.
    pub sock_events: Tracefs,
    pub syscall_events: Tracefs,
}

impl Facts {
    fn of(btf: &Btf<'_>, privilege: &Privilege) -> Self {
        let has_tracepoint = |name: &str| {
            btf.type_by_name::<Typedef<'_>>(&format!("btf_trace_{name}"))
                .is_some()
        };
        let sock_tracepoints =
            has_tracepoint("sock_recv_length") && has_tracepoint("sock_send_length");
        let preempts = preemption::of_tasks();
        let has_preemptible_events = has_function(btf, "trace_call_bpf_faultable");
        let preempts_tracepoints = sock_tracepoints
            && preempts != Some(false)
            && preemption::in_tracepoints(btf).unwrap_or_else(|error| {
                log::debug!("whether programs are preempted cannot be seen: {error:#}");
                has_preemptible_events
            });
        Self {
            sock_tracepoints,
            sends_pages: has_function(btf, "inet_sendpage"),
            iterators: has_function(btf, "bpf_iter_num_new"),
            preempts,
            preempts_tracepoints,
            preempts_syscall_events: preempts != Some(false) && has_preemptible_events,
            sock_events: if privilege.tracepoints_restricted {
                Tracefs::Denied
            } else if preempts_tracepoints {
                Tracefs::mounted(SOCK_EVENT)
            } else {
                Tracefs::of(SOCK_EVENT)
            },
            syscall_events: Tracefs::of(SYSCALL_EVENT),
        }
    }

    /// Whether programs at the events of tracepoints take the place of those at the tracepoints themselves: the kernel does
    /// not preempt them.
    pub fn takes_events(&self) -> bool {
        self.preempts_tracepoints && self.sock_events == Tracefs::Readable
    }

    /// What the kernel skips that the backends could have seen, if anything: it is counted as missed.
    pub fn shortcoming(&self) -> Option<&'static str> {
        (self.preempts_tracepoints && !self.takes_events()).then_some(
            "the kernel preempts programs at tracepoints, and then skips them in other tasks, which is counted \
            (recursion): for exact counts let the agent use their events (tracefs at /sys/kernel/tracing, and \
            CAP_SYS_ADMIN where kernel.perf_event_paranoid is over 2)",
        )
    }

    /// Whether the state of a connection lies in its socket's storage, and not in a hash. Programs at events may not use it.
    pub fn keeps_state_in_storage(&self, backend: Backend) -> bool {
        match backend {
            Backend::Sock | Backend::Fexit => self.iterators && !self.takes_events(),
            Backend::Syscall => false,
        }
    }

    /// Whether `fexit` only takes notes for the programs of `sock`, and leaves the work to them.
    pub fn takes_notes(&self, backend: Backend) -> bool {
        backend == Backend::Fexit && self.sock_tracepoints && !self.sends_pages
    }

    /// Why a backend cannot work here, if that is known without trying.
    pub fn obstacle(&self, backend: Backend) -> Option<&'static str> {
        match backend {
            Backend::Sock if !self.sock_tracepoints => {
                Some("the kernel has no tracepoint sock_recv_length (Linux 6.3 and later)")
            }
            Backend::Sock if !self.iterators => {
                Some("the kernel has no open-coded iterators (Linux 6.4 and later)")
            }
            Backend::Syscall => match self.syscall_events {
                Tracefs::Readable if self.preempts_syscall_events => Some(
                    "the kernel preempts programs at system calls, and then skips them in other tasks (Linux 7.2 and later)",
                ),
                Tracefs::Readable => None,
                Tracefs::Denied => Some(
                    "tracefs (/sys/kernel/tracing) cannot be read: run as root, or grant CAP_DAC_READ_SEARCH",
                ),
                Tracefs::Absent => Some(
                    "no system call tracepoints in tracefs: mount -t tracefs tracefs /sys/kernel/tracing",
                ),
            },
            // Taking notes, it does not need to know.
            Backend::Fexit if !self.takes_notes(backend) => match self.preempts {
                Some(false) => None,
                Some(true) => Some(
                    "the kernel preempts tasks and then skips such programs: boot with preempt=voluntary (before Linux 6.5)",
                ),
                None => Some(
                    "whether the kernel preempts tasks cannot be told: mount -t debugfs debugfs /sys/kernel/debug",
                ),
            },
            Backend::Sock | Backend::Fexit => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Facts = Facts {
        sock_tracepoints: true,
        sends_pages: false,
        iterators: true,
        preempts: Some(true),
        preempts_tracepoints: false,
        preempts_syscall_events: false,
        sock_events: Tracefs::Readable,
        syscall_events: Tracefs::Readable,
    };

    #[test]
    fn nothing_stands_in_the_way_of_a_complete_kernel() {
        assert!(Backend::ALL.iter().all(|b| ALL.obstacle(*b).is_none()));
    }

    #[test]
    fn each_missing_fact_rules_out_what_needs_it() {
        let old = Facts {
            sock_tracepoints: false,
            ..ALL
        };
        assert!(
            old.obstacle(Backend::Sock)
                .is_some_and(|o| o.contains("6.3"))
        );
        assert_eq!(old.obstacle(Backend::Syscall), None);

        let older = Facts {
            sends_pages: true,
            ..ALL
        };
        for (preempts, hint) in [(Some(true), "preempt=voluntary"), (None, "debugfs")] {
            let obstacle = Facts { preempts, ..older }.obstacle(Backend::Fexit);
            assert!(obstacle.is_some_and(|o| o.contains(hint)));
        }
        let quiet = Facts {
            preempts: Some(false),
            ..older
        };
        assert_eq!(quiet.obstacle(Backend::Fexit), None);

        let no_tracefs = Facts {
            syscall_events: Tracefs::Absent,
            ..ALL
        };
        assert_eq!(no_tracefs.obstacle(Backend::Sock), None);
        assert!(
            no_tracefs
                .obstacle(Backend::Syscall)
                .is_some_and(|o| o.contains("mount"))
        );
    }

    #[test]
    fn programs_that_are_preempted_give_way_to_events() {
        assert!(!ALL.takes_events() && ALL.keeps_state_in_storage(Backend::Sock));
        let preempting = Facts {
            preempts_tracepoints: true,
            preempts_syscall_events: true,
            ..ALL
        };
        assert!(preempting.takes_events() && preempting.shortcoming().is_none());
        assert_eq!(preempting.obstacle(Backend::Sock), None);
        assert_eq!(preempting.obstacle(Backend::Fexit), None);
        assert!(preempting.obstacle(Backend::Syscall).is_some());
        for backend in Backend::ALL {
            assert!(!preempting.keeps_state_in_storage(backend));
        }
        // What the kernel skips is counted.
        let without_events = Facts {
            sock_events: Tracefs::Denied,
            ..preempting
        };
        assert!(!without_events.takes_events() && without_events.shortcoming().is_some());
        assert!(without_events.keeps_state_in_storage(Backend::Sock));
    }
}
