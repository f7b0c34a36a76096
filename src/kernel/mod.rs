// SPDX-License-Identifier: Apache-2.0
//! The BPF programs: what this kernel offers, which of them it gets, and what they have counted.

pub mod backend;
pub mod choice;
mod connections;
pub mod facts;
pub mod harvest;
pub mod load;
mod maps;
pub mod preemption;
pub mod privilege;
pub mod program_stats;
pub mod programs;
pub mod proof;
pub mod real_time;
pub mod skeleton;
mod table;
pub mod tracefs;
