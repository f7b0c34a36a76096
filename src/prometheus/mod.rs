// SPDX-License-Identifier: Apache-2.0
//! Prometheus: the metrics, and for how long each series is there.

pub(crate) mod family;
mod label_text;
pub mod metrics;
pub mod protobuf;
pub mod rows;
pub mod scrapers;
pub mod series_lifetime;
mod status;
pub mod text;
