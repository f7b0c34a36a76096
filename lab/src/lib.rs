// SPDX-License-Identifier: Apache-2.0
//! A lab of kernels: the project's own tests on each of the kernels that hosts run, booted in an emulated machine.
//!
//! The host's side fetches kernels ([`apt`]), packs what a machine runs ([`initramfs`]) and boots it ([`machine`]). Inside,
//! the program `init` is all there is beside the agent and the tests ([`guest`]). It tells what happens as [`record`]s, which
//! [`outcome`] gathers, [`verdict`] judges and [`compatibility`] and [`verifier`] write down.

pub mod apt;
pub mod arch;
pub mod asked;
pub mod compatibility;
pub mod executables;
pub mod guest;
pub mod initramfs;
pub mod kernels;
pub mod libtest;
pub mod machine;
pub mod outcome;
pub mod record;
pub mod selection;
pub mod verdict;
pub mod verifier;
