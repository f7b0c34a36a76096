// SPDX-License-Identifier: Apache-2.0
//! What outlives its processes: an executable in a control group.

use std::sync::Arc;

use crate::identity::cgroup::Cgroup;

/// By what a workload is known. Two control groups that say the same of theirs are one, as a service is after a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Workload {
    /// The file's name. `None` where one stands for all others, since there was no more room.
    pub executable: Option<Arc<str>>,
    pub cgroup: Cgroup,
    /// On which its first process was asked first, if that was not a unix socket.
    pub port: Option<u16>,
}

impl Workload {
    /// What people call it.
    pub fn name(&self) -> &str {
        self.executable.as_deref().unwrap_or("_OTHER")
    }
}
