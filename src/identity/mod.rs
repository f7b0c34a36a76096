// SPDX-License-Identifier: Apache-2.0
//! What a process is called, and where it runs.

pub mod cgroup;
pub mod command_line;
pub mod life;
pub mod namespace;
