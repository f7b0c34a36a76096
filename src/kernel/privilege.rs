// SPDX-License-Identifier: Apache-2.0
//! What this system lets the agent do: told before the first try as far as it is known then, and otherwise
//! as the cause of a failed one. Nothing is ruled out that the kernel might allow: it alone decides.

use std::fs;
use std::path::Path;

use anyhow::{Context, Error, Result, bail};
use libbpf_rs::btf::{Btf, types::Struct};
use libbpf_rs::libbpf_sys::bpf_map_create_opts;
use libbpf_rs::{Error as BpfError, ErrorKind, MapHandle, MapType};
use rustix::process::{Resource, getrlimit};
use rustix::thread::{CapabilitySet, capabilities};

/// Inode number of the first user namespace, which is the same on every kernel.
const FIRST_USER_NAMESPACE: &str = "user:[4026531837]";

/// Without these nothing can be loaded.
const NEEDED: CapabilitySet = CapabilitySet::BPF.union(CapabilitySet::PERFMON);

/// What may forbid the agent its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Privilege {
    wanting: CapabilitySet,
    locked_down: bool,
    in_user_namespace: bool,
    bpf_denied: bool,
    locked_memory_limited: bool,
    /// Some distributions' kernels know a third level of `kernel.perf_event_paranoid`, which `CAP_PERFMON` does not pass.
    pub tracepoints_restricted: bool,
}

/// What the kernel was asked to do when it refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Load,
    Attach,
}

impl Privilege {
    pub fn of_this_process() -> Result<Self> {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let capabilities = capabilities(None)
            .context("the capabilities cannot be read")?
            .effective;
        let paranoid = read("/proc/sys/kernel/perf_event_paranoid");
        Ok(Self {
            wanting: wanting(capabilities),
            locked_down: read("/sys/kernel/security/lockdown").contains("[confidentiality]"),
            in_user_namespace: fs::read_link("/proc/self/ns/user")
                .is_ok_and(|namespace| namespace != Path::new(FIRST_USER_NAMESPACE)),
            bpf_denied: bpf_denied(),
            locked_memory_limited: locked_memory_limited(capabilities),
            tracepoints_restricted: !capabilities.contains(CapabilitySet::SYS_ADMIN)
                && paranoid.trim().parse().is_ok_and(|level: i32| level > 2),
        })
    }

    /// Fails where it is known beforehand that nothing can be loaded.
    pub fn check(&self) -> Result<()> {
        if !self.wanting.is_empty() {
            bail!(
                "not enough privilege: run as root, or grant {}",
                self.wanting().join(" and ")
            );
        }
        // Its tracefs is empty, too, which is not what has to be mended.
        if self.locked_down {
            bail!(
                "the kernel is locked down for confidentiality and lets no program read it: \
                boot with lockdown=integrity or less"
            );
        }
        Ok(())
    }

    /// The capabilities without which nothing can be loaded, as far as they are not there.
    pub fn wanting(&self) -> Vec<String> {
        let names = self.wanting.iter_names();
        names.map(|(name, _)| format!("CAP_{name}")).collect()
    }

    /// Why the kernel refused a step, and what to do about it. `None`: nothing known here explains the error.
    pub fn cause(&self, step: Step, error: &Error) -> Option<&'static str> {
        let cause = match (error.downcast_ref::<BpfError>()?.kind(), step) {
            (ErrorKind::OutOfMemory, _) => {
                "not enough memory for the maps: raise the memory limit of the control group, \
                or lower --max-processes and --max-connections"
            }
            (ErrorKind::PermissionDenied, _) if self.in_user_namespace => {
                "capabilities of a user namespace do not count: run in the host's user namespace"
            }
            // Before the next one: where all of a user's maps share a limit, not even the smallest may fit.
            (ErrorKind::PermissionDenied, Step::Load) if self.locked_memory_limited => {
                "maps are locked memory on this kernel, and that is limited: \
                grant CAP_SYS_RESOURCE, or raise the limit (ulimit -l, LimitMEMLOCK=)"
            }
            (ErrorKind::PermissionDenied, Step::Load) if self.bpf_denied => {
                "bpf(2) is denied in spite of the capabilities: \
                let the seccomp filter or the security module allow bpf and perf_event_open"
            }
            (ErrorKind::PermissionDenied, Step::Attach) if self.tracepoints_restricted => {
                "kernel.perf_event_paranoid is over 2, for which this kernel wants CAP_SYS_ADMIN: \
                grant it, or set kernel.perf_event_paranoid to 2"
            }
            _ => return None,
        };
        Some(cause)
    }
}

fn wanting(capabilities: CapabilitySet) -> CapabilitySet {
    if capabilities.contains(CapabilitySet::SYS_ADMIN) {
        return CapabilitySet::empty();
    }
    NEEDED.difference(capabilities)
}

/// Whether not even the smallest map can be had.
fn bpf_denied() -> bool {
    let options = bpf_map_create_opts {
        sz: size_of::<bpf_map_create_opts>() as u64,
        ..Default::default()
    };
    MapHandle::create(MapType::Array, None::<&str>, 4, 4, 1, &options)
        .is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
}

/// Whether a map counts as locked memory, as it did before Linux 5.11, and how much there may be of that is limited.
fn locked_memory_limited(capabilities: CapabilitySet) -> bool {
    // With the capability the limit is lifted before the first map is made.
    !capabilities.contains(CapabilitySet::SYS_RESOURCE)
        && getrlimit(Resource::Memlock).maximum.is_some()
        && Btf::from_vmlinux()
            .is_ok_and(|btf| btf.type_by_name::<Struct<'_>>("bpf_map_memory").is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Privilege = Privilege {
        wanting: CapabilitySet::empty(),
        locked_down: false,
        in_user_namespace: false,
        bpf_denied: false,
        locked_memory_limited: false,
        tracepoints_restricted: false,
    };

    const EPERM: i32 = 1;
    const ENOMEM: i32 = 12;
    const EINVAL: i32 = 22;

    fn cause(privilege: Privilege, step: Step, code: i32) -> Option<&'static str> {
        let error = Error::from(BpfError::from_raw_os_error(code));
        privilege.cause(step, &error.context("the kernel refuses the programs"))
    }

    #[test]
    fn only_what_is_wanting_is_named() {
        for (capabilities, grant) in [
            (CapabilitySet::BPF, "or grant CAP_PERFMON"),
            (CapabilitySet::PERFMON, "or grant CAP_BPF"),
            (CapabilitySet::empty(), "or grant CAP_PERFMON and CAP_BPF"),
        ] {
            let wanting = wanting(capabilities);
            let error = Privilege { wanting, ..ALL }.check().unwrap_err();
            assert!(error.to_string().ends_with(grant), "{error}");
        }
        assert!(ALL.check().is_ok());
        assert!(wanting(NEEDED).is_empty());
        assert!(wanting(CapabilitySet::SYS_ADMIN).is_empty());
    }

    #[test]
    fn a_lockdown_is_told_before_the_first_try() {
        let locked_down = Privilege {
            locked_down: true,
            ..ALL
        };
        let error = locked_down.check().unwrap_err().to_string();
        assert!(error.contains("lockdown=integrity"), "{error}");
    }

    #[test]
    fn each_restriction_explains_its_own_error() {
        let in_user_namespace = Privilege {
            in_user_namespace: true,
            ..ALL
        };
        let bpf_denied = Privilege {
            bpf_denied: true,
            ..ALL
        };
        let locked_memory_limited = Privilege {
            locked_memory_limited: true,
            ..ALL
        };
        let tracepoints_restricted = Privilege {
            tracepoints_restricted: true,
            ..ALL
        };
        for (privilege, step, code, says) in [
            (ALL, Step::Load, ENOMEM, "--max-processes"),
            (in_user_namespace, Step::Load, EPERM, "user namespace"),
            (bpf_denied, Step::Load, EPERM, "seccomp"),
            (locked_memory_limited, Step::Load, EPERM, "LimitMEMLOCK"),
            (tracepoints_restricted, Step::Attach, EPERM, "paranoid to 2"),
        ] {
            let cause = cause(privilege, step, code);
            assert!(cause.is_some_and(|cause| cause.contains(says)), "{cause:?}");
        }
    }

    #[test]
    fn and_no_other() {
        let all = Privilege {
            in_user_namespace: true,
            bpf_denied: true,
            locked_memory_limited: true,
            tracepoints_restricted: true,
            ..ALL
        };
        for step in [Step::Load, Step::Attach] {
            assert_eq!(cause(all, step, EINVAL), None);
            assert_eq!(cause(ALL, step, EPERM), None);
        }
    }
}
