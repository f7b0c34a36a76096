// SPDX-License-Identifier: Apache-2.0
//! What is known of the processes, and how it changes from one second to the next. Pure: no file, no clock, no kernel.

pub mod answers;
pub mod buckets;
pub mod counters;
mod dates;
pub mod histogram;
pub mod increment;
mod pace;
mod processes;
pub mod quantile;
pub mod reason;
pub mod selection;
pub mod series_key;
pub mod snapshot;
pub mod sweep;
pub mod tick;
pub mod tracked;
pub mod tracker;
pub mod window;
pub mod workload;
mod workloads;
