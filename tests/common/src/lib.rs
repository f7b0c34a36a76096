// SPDX-License-Identifier: Apache-2.0
//! What several test programs share.

use std::sync::{Mutex, MutexGuard, PoisonError};

pub mod agent;
pub mod answering;
pub mod built;
pub mod cgroup;
pub mod collector;
pub mod homemade;
pub mod ledger;
pub mod load;
pub mod process;
pub mod prometheus;
pub mod reader;
pub mod servers;
pub mod tls;
pub mod trampolines;
pub mod verifier;
pub mod web;

/// Makes a test of each function for each backend, named after it.
#[macro_export]
macro_rules! by_backend {
    ($($test:ident),* $(,)?) => {
        mod sock {
            $(#[test] fn $test() { super::$test("sock"); })*
        }
        mod syscall {
            $(#[test] fn $test() { super::$test("syscall"); })*
        }
        mod fexit {
            $(#[test] fn $test() {
                $crate::trampolines::test($crate::agent!(), || super::$test("fexit"));
            })*
        }
    };
}

/// Keeps a test apart from the others of its program that ask for it: where one counts what is missed on the whole host, keeps the
/// machine busy, or waits in a receive that must not be cut off. Before Linux 6.5 `fexit` does not see the end of one that was waited
/// for when another agent came or went.
pub fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}
