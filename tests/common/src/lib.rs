// SPDX-License-Identifier: Apache-2.0
//! What several test programs share.

pub mod agent;
pub mod answering;
pub mod cgroup;
pub mod collector;
pub mod homemade;
pub mod ledger;
pub mod load;
pub mod process;
pub mod prometheus;
pub mod reader;
pub mod servers;
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
