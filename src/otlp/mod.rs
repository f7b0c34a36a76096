// SPDX-License-Identifier: Apache-2.0
//! Pushes what the metrics are to a collector by OTLP (<https://opentelemetry.io/docs/specs/otlp/>).
//!
//! Nothing waits in a queue: what is pushed is made from the latest snapshot when it is time for that, so that a collector that was
//! away gets everything with the next push.

mod attributes;
pub mod client;
mod messages;
mod outcome;
mod points;
mod progress;
pub mod push;
pub mod settings;
