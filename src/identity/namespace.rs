// SPDX-License-Identifier: Apache-2.0
//! Whose pids the agent sees. Those that it shows are always the kernel's own, which are the host's.

use std::fs;
use std::path::Path;

use serde::Serialize;

/// The first pid namespace, as its link is called. The number is part of the kernel's interface (`linux/nsfs.h`).
pub const FIRST_PID_NAMESPACE: &str = "pid:[4026531836]";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PidNamespace {
    Host,
    Own,
    Unknown,
}

impl PidNamespace {
    /// That of this process.
    pub fn here() -> Self {
        match fs::read_link("/proc/self/ns/pid") {
            Ok(namespace) if namespace == Path::new(FIRST_PID_NAMESPACE) => Self::Host,
            Ok(_) => Self::Own,
            Err(_) => Self::Unknown,
        }
    }
}
