// SPDX-License-Identifier: Apache-2.0
//! Per-process HTTP statistics, counted in the kernel.

pub mod backend;
pub mod snapshot;
