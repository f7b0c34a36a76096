// SPDX-License-Identifier: Apache-2.0
//! Weave Scope: a reporter plugin behind a socket. The report itself is [`crate::report`].

mod bound;
pub mod place;
pub mod plugin;
pub mod probe;
pub mod reports;
pub mod socket;
pub mod template;
pub mod values;
