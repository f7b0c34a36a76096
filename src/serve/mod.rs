// SPDX-License-Identifier: Apache-2.0
//! HTTP for all who ask: connections with limits, and the TCP listener.

pub mod access;
mod descriptors;
mod guarded;
pub mod negotiate;
pub mod port;
pub mod probes;
mod seats;
mod secured;
pub mod server;
pub mod streamed_body;
mod users;
mod watched;
pub mod web;
mod web_config;
