// SPDX-License-Identifier: Apache-2.0
//! What a row of the page is of: a process, or all that have something in common.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::str::FromStr;

use crate::identity::cgroup::Cgroup;
use crate::model::workload::Workload;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    Process,
    Workload,
    Container,
    Unit,
}

impl By {
    pub const ALL: [Self; 4] = [Self::Process, Self::Workload, Self::Container, Self::Unit];

    pub fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Workload => "workload",
            Self::Container => "container",
            Self::Unit => "unit",
        }
    }

    /// What a workload has in common with those that it shares a row with.
    pub fn common(self, workload: &Workload) -> Workload {
        let Cgroup {
            container_id,
            k8s_pod_uid,
            systemd_unit,
        } = workload.cgroup.clone();
        let cgroup = match self {
            Self::Process | Self::Workload => return workload.clone(),
            Self::Container => Cgroup {
                container_id,
                k8s_pod_uid,
                systemd_unit: None,
            },
            // A container may have units of its own.
            Self::Unit => Cgroup {
                container_id,
                k8s_pod_uid: None,
                systemd_unit,
            },
        };
        Workload {
            cgroup,
            ..Workload::default()
        }
    }
}

impl FromStr for By {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|it| it.name() == text).ok_or(())
    }
}

/// By what a row of several processes is known in the page's address: short, and of no letters but those that need no escape there. It
/// is the same after a restart of the agent.
pub fn id_of(common: &Workload) -> String {
    let mut hasher = DefaultHasher::new();
    let Workload {
        executable,
        cgroup,
        port,
    } = common;
    (executable, port).hash(&mut hasher);
    (
        &cgroup.container_id,
        &cgroup.k8s_pod_uid,
        &cgroup.systemd_unit,
    )
        .hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn those_have_a_row_together_that_have_the_same_in_common() {
        let workload = |executable: &str, container: Option<&str>, unit: Option<&str>| Workload {
            executable: Some(executable.into()),
            cgroup: Cgroup {
                container_id: container.map(Into::into),
                k8s_pod_uid: None,
                systemd_unit: unit.map(Into::into),
            },
            port: Some(80),
        };
        let all = [
            workload("a", None, Some("a.service")),
            workload("b", None, Some("a.service")),
            workload("a", Some("1"), Some("a.service")),
            workload("b", Some("1"), None),
            workload("c", None, None),
        ];
        let rows = |by: By| {
            let ids = all.iter().map(|it| id_of(&by.common(it)));
            ids.collect::<BTreeSet<_>>().len()
        };
        assert_eq!(By::ALL.map(rows), [5, 5, 2, 4]);
        for by in By::ALL {
            assert_eq!(by.name().parse(), Ok(by));
        }
        assert_eq!("pod".parse::<By>(), Err(()));
    }
}
