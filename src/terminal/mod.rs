// SPDX-License-Identifier: Apache-2.0
//! The terminal: what the subcommands print and draw of a running agent.

pub mod asked;
pub mod client;
pub mod table;
pub mod top;
