// SPDX-License-Identifier: Apache-2.0
//! What there is to know as JSON, for programs: see `docs/api.md`.

pub mod document;
mod query;
pub mod routes;
mod text;

/// Of the form of the document: another one where a field goes or means something else. New fields may come at any time.
pub const VERSION: u32 = 1;
