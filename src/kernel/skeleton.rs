// SPDX-License-Identifier: Apache-2.0
//! What libbpf generates of the object that counts: its programs, maps and constants, and the types of `src/bpf/http.h`.

#![allow(
    clippy::all,
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::undocumented_unsafe_blocks
)]

include!(concat!(env!("OUT_DIR"), "/http.skel.rs"));
