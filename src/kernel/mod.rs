// SPDX-License-Identifier: Apache-2.0
//! The BPF programs: what this kernel offers, which of them it gets, and what they have counted.

pub mod backend;
pub mod choice;
mod connections;
mod decode;
pub mod facts;
mod forget;
pub mod harvest;
pub mod load;
mod mapped;
mod maps;
mod mirror;
pub mod preemption;
pub mod privilege;
pub mod program_stats;
pub mod programs;
pub mod proof;
pub mod real_time;
mod shares;
pub mod skeleton;
mod spans;
mod table;
pub mod tracefs;
