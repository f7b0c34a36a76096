// SPDX-License-Identifier: Apache-2.0
//! Which capabilities a thread keeps, and how it gives up all others, with its groups.

use std::fs;
use std::io;
use std::ptr;

use libbpf_rs::libbpf_sys::bpf_map_lookup_elem;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs, set_thread_groups,
};

/// The limit that lets a thread have real-time priority without a capability.
const LEAST_PRIORITY: u64 = 1;

/// To load and attach programs, in the way that this kernel wants it; to read what others have mapped, and the files that these are,
/// whoever owns them.
pub const TO_LOOK_INTO_TLS: CapabilitySet = CapabilitySet::BPF
    .union(CapabilitySet::PERFMON)
    .union(CapabilitySet::SYS_ADMIN)
    .union(CapabilitySet::SYS_PTRACE)
    .union(CapabilitySet::CHECKPOINT_RESTORE)
    .union(CapabilitySet::DAC_READ_SEARCH);

/// What the thread that reads the counters has to do later on.
#[derive(Clone, Copy, Debug)]
pub struct Duties {
    /// The kernel asks for a capability at each use of a map.
    pub maps_are_guarded: bool,
    /// Maps are read at real-time priority, and no limit allows that.
    pub needs_priority: bool,
}

impl Duties {
    /// On this host. `at_events`: programs are at events, which suffer where a reader of maps is preempted.
    pub fn here(at_events: bool) -> io::Result<Self> {
        Ok(Self {
            maps_are_guarded: maps_are_guarded()?,
            needs_priority: at_events && !priority_is_allowed(),
        })
    }

    /// What of `held` these duties need.
    pub fn kept(self, held: CapabilitySet) -> CapabilitySet {
        let mut needed = CapabilitySet::empty();
        if self.maps_are_guarded {
            // As it was before there were finer ones.
            needed |= if held.contains(CapabilitySet::BPF) {
                CapabilitySet::BPF
            } else {
                CapabilitySet::SYS_ADMIN
            };
        }
        if self.needs_priority {
            needed |= CapabilitySet::SYS_NICE;
        }
        needed & held
    }
}

/// Whether the use of a map that is open needs a capability: it does before Linux 5.19, where `kernel.unprivileged_bpf_disabled`
/// is set. That may be set at any time, so that where it is not the answer is yes.
fn maps_are_guarded() -> io::Result<bool> {
    let disabled = fs::read_to_string("/proc/sys/kernel/unprivileged_bpf_disabled");
    if !disabled.is_ok_and(|disabled| ["1", "2"].contains(&disabled.trim())) {
        return Ok(true);
    }
    let held = capabilities(None)?;
    let powerless = CapabilitySets {
        effective: CapabilitySet::empty(),
        ..held
    };
    set_capabilities(None, powerless)?;
    // SAFETY: there is no map of that number, so that nothing is read or written.
    let returned = unsafe { bpf_map_lookup_elem(-1, ptr::null(), ptr::null_mut()) };
    set_capabilities(None, held)?;
    Ok(returned != -libc::EBADF)
}

/// Whether real-time priority needs no capability, which is made so where this process may.
fn priority_is_allowed() -> bool {
    let limit = getrlimit(Resource::Rtprio);
    let raised = Rlimit {
        current: Some(LEAST_PRIORITY),
        maximum: limit.maximum.map(|most| most.max(LEAST_PRIORITY)),
    };
    limit.current.is_none_or(|most| most >= LEAST_PRIORITY)
        || setrlimit(Resource::Rtprio, raised).is_ok()
}

/// The names of capabilities, as they are written.
pub fn names(set: CapabilitySet) -> Vec<String> {
    let names = set.iter_names();
    names.map(|(name, _)| format!("CAP_{name}")).collect()
}

/// What the calling thread has.
pub fn held() -> io::Result<CapabilitySet> {
    Ok(capabilities(None)?.permitted)
}

/// The calling thread, and those that it starts from then on, keep these capabilities of those that they have, and no
/// supplementary group, for good.
pub fn keep_only(kept: CapabilitySet) -> io::Result<()> {
    set_no_new_privs(true)?;
    let held = capabilities(None)?.effective;
    if held.contains(CapabilitySet::SETGID) {
        set_thread_groups(&[])?;
    }
    if held.contains(CapabilitySet::SETPCAP) {
        for (_, capability) in CapabilitySet::all().iter_names() {
            // One that this kernel does not know is none that it grants.
            let _ = remove_capability_from_bounding_set(capability);
        }
    }
    clear_ambient_capability_set()?;
    lower_to(kept)
}

/// The calling thread keeps these capabilities.
pub fn lower_to(kept: CapabilitySet) -> io::Result<()> {
    let sets = CapabilitySets {
        effective: kept,
        permitted: kept,
        inheritable: CapabilitySet::empty(),
    };
    Ok(set_capabilities(None, sets)?)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    const FREE: Duties = Duties {
        maps_are_guarded: false,
        needs_priority: false,
    };

    #[test]
    fn nothing_is_kept_that_no_duty_needs() {
        let all = CapabilitySet::all();
        assert_eq!(FREE.kept(all), CapabilitySet::empty());
        let guarded = Duties {
            maps_are_guarded: true,
            ..FREE
        };
        let recommended = CapabilitySet::BPF | CapabilitySet::PERFMON;
        assert_eq!(FREE.kept(recommended), CapabilitySet::empty());
        assert_eq!(guarded.kept(recommended), CapabilitySet::BPF);
        let old = CapabilitySet::SYS_ADMIN;
        assert_eq!(guarded.kept(old), old);
        let prior = Duties {
            needs_priority: true,
            ..FREE
        };
        assert!(prior.kept(all).contains(CapabilitySet::SYS_NICE));
        assert_eq!(prior.kept(recommended), CapabilitySet::empty());
    }

    #[test]
    fn what_is_given_up_is_gone_from_this_thread_and_from_no_other() {
        let before = held().unwrap();
        let kept = CapabilitySet::SYS_NICE & before;
        let given_up = move || {
            keep_only(kept).unwrap();
            let left = capabilities(None).unwrap();
            assert_eq!((left.permitted, left.effective), (kept, kept));
            assert!(
                set_capabilities(
                    None,
                    CapabilitySets {
                        permitted: CapabilitySet::all(),
                        ..left
                    }
                )
                .is_err()
            );
            // What it starts has no more.
            thread::spawn(|| held().unwrap()).join().unwrap()
        };
        assert_eq!(thread::spawn(given_up).join().unwrap(), kept);
        assert_eq!(held().unwrap(), before);
    }

    #[test]
    fn to_find_out_takes_nothing() {
        let before = capabilities(None).unwrap();
        maps_are_guarded().unwrap();
        assert_eq!(capabilities(None).unwrap().effective, before.effective);
    }
}
