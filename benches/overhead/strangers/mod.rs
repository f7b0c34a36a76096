// SPDX-License-Identifier: Apache-2.0
//! What is no HTTP, and what it pays for being looked at: small exchanges and bulk, over TCP and unix sockets.

mod table;
pub mod talk;

use crate::strangers::talk::{Socket, Talk};
use crate::variant::Variant;
use crate::workload::Kind;

pub use table::print;

pub fn kinds() -> Vec<Kind> {
    Talk::ALL
        .into_iter()
        .flat_map(|talk| Socket::ALL.map(|socket| Kind::Stranger(talk, socket)))
        .collect()
}

/// The agent, and the programs that do nothing where its own are.
pub fn variants() -> Vec<Variant> {
    let mut variants = Variant::all();
    variants.retain(|variant| !matches!(variant, Variant::Bpftrace | Variant::Tracepoints));
    variants
}
