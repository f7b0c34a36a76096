// SPDX-License-Identifier: Apache-2.0
//! The BPF programs: what this kernel offers, which of them it gets, and what they have counted.

/// A module with what libbpf generates of an object of `src/bpf/`: its programs, maps and constants.
macro_rules! skeleton {
    ($visibility:vis $module:ident, $object:literal) => {
        #[allow(
            clippy::all,
            clippy::pedantic,
            clippy::unwrap_used,
            clippy::undocumented_unsafe_blocks
        )]
        $visibility mod $module {
            include!(concat!(env!("OUT_DIR"), "/", $object, ".skel.rs"));
        }
    };
}

pub mod backend;
pub mod choice;
mod connections;
mod decode;
pub mod facts;
mod forget;
mod free;
mod growth;
pub mod harvest;
pub mod load;
mod mapped;
mod maps;
mod mirror;
mod places;
pub mod preemption;
pub mod privilege;
pub mod program_stats;
pub mod programs;
pub mod proof;
pub mod real_time;
mod shares;
mod spans;
mod table;
pub mod tracefs;

// The object that counts, with the types of `src/bpf/http.h`.
skeleton!(pub skeleton, "http");

// The one that sees into TLS.
skeleton!(pub tls_skeleton, "tls");
