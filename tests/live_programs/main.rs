// SPDX-License-Identifier: Apache-2.0
//! The agent's programs and counters without the agent, on servers of the tests' own. One program, so that a backend is loaded
//! once for all tests of it.

mod agent;
#[cfg(target_arch = "x86_64")]
mod compat;
mod conversations;
mod io_uring;
mod observer;
mod scenes;
mod soiled;
