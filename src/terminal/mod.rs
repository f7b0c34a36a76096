// SPDX-License-Identifier: Apache-2.0
//! The terminal: what the subcommands print and draw of an agent.

pub mod address;
pub mod asked;
pub mod client;
mod detail;
mod draw;
pub mod manual;
pub mod own;
mod rows;
mod screen;
pub mod table;
pub mod top;
mod trails;
