// SPDX-License-Identifier: Apache-2.0
//! Per-process HTTP statistics, counted in the kernel.

pub mod answers;
pub mod backend;
pub mod bpf;
pub mod cgroup;
pub mod cli;
pub mod costs;
pub mod curve;
pub mod exposition;
pub mod metrics;
pub mod negotiate;
pub mod plugin;
pub mod process;
pub mod quantile;
pub mod report;
pub mod sampler;
pub mod server;
pub mod snapshot;
pub mod socket;
pub mod stream;
pub mod template;
pub mod tracker;
pub mod web;
