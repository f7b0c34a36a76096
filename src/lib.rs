// SPDX-License-Identifier: Apache-2.0
//! Per-process HTTP statistics, counted in the kernel.

pub mod api;
mod certificates;
pub mod check;
pub mod cli;
pub mod config;
pub mod confine;
pub mod footprint;
pub mod identity;
pub mod kernel;
pub mod logging;
pub mod model;
pub mod otlp;
pub mod page;
pub mod prometheus;
pub mod report;
pub mod sampler;
pub mod sampling;
pub mod scope;
pub mod serve;
mod small_file;
pub mod stderr;
pub mod supervisor;
pub mod terminal;
pub mod tls;
