// SPDX-License-Identifier: Apache-2.0
//! HTTP for all who ask: connections with limits, and the TCP listener.

pub mod negotiate;
pub mod port;
pub mod server;
pub mod streamed_body;
pub mod web;
