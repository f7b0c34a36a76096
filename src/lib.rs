// SPDX-License-Identifier: Apache-2.0
//! Per-process HTTP statistics, counted in the kernel.

pub mod backend;
pub mod bpf;
pub mod cli;
pub mod negotiate;
pub mod plugin;
pub mod process;
pub mod report;
pub mod sampler;
pub mod server;
pub mod snapshot;
pub mod socket;
pub mod tracker;
pub mod web;
