// SPDX-License-Identifier: Apache-2.0
//! HTTP for all who ask: connections with limits, and the TCP listener.

mod descriptors;
pub mod negotiate;
pub mod port;
pub mod probes;
mod seats;
pub mod server;
pub mod streamed_body;
mod watched;
pub mod web;
