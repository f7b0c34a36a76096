// SPDX-License-Identifier: Apache-2.0
//! What a process is called, and where it runs.

use crate::identity::cgroup::Cgroup;
use crate::model::counters::ProcessCounters;
use crate::model::snapshot::Identity;

/// From what the kernel had to say of the process: nothing else is asked, so that one that is long gone has its name, and one
/// in another pid namespace has not somebody else's.
pub fn identify(counters: &ProcessCounters) -> Identity {
    let name = match &*counters.executable {
        "" => &counters.comm,
        executable => executable,
    };
    Identity {
        name: name.into(),
        cgroup: Cgroup::of(counters.cgroup.split('/')),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::model::counters::ProcessId;

    use super::*;

    fn named(executable: &str, cgroup: &str) -> Identity {
        identify(&ProcessCounters {
            id: ProcessId {
                pid: 1,
                start_time: 1,
            },
            comm: "MainThread".to_owned(),
            executable: executable.to_owned(),
            cgroup: cgroup.to_owned(),
            requests: 1,
            series: BTreeMap::new(),
            exited: false,
        })
    }

    #[test]
    fn a_process_is_called_by_its_executable() {
        assert_eq!(&*named("node", "").name, "node");
        // As a file may be called, which the kernel does not say of deleted ones.
        assert_eq!(&*named("node (deleted)", "").name, "node (deleted)");
    }

    #[test]
    fn one_without_an_executable_has_the_kernels_name() {
        assert_eq!(&*named("", "").name, "MainThread");
    }

    #[test]
    fn the_path_of_its_control_group_is_read_from_within() {
        let inside = named("nginx", "nginx.service/system.slice").cgroup;
        assert_eq!(inside.systemd_unit.as_deref(), Some("nginx.service"));
        assert_eq!(named("nginx", "").cgroup, Cgroup::default());
    }
}
