// SPDX-License-Identifier: Apache-2.0
//! Proof of the HTTP/1 framing that runs in the kernel.
//!
//! The very same `src/bpf/protocol/http1/`, compiled for the host, follows random conversations that are cut at
//! random bytes, and must count what an independent reading of the uncut byte streams counts.

pub mod account;
pub mod cases;
pub mod conversation;
pub mod corpus;
pub mod cut;
pub mod head;
pub mod http1;
pub mod http2;
pub mod joined;
pub mod message;
pub mod oracle;
pub mod other_protocol;
pub mod pipelined;
pub mod script;
pub mod transfer;
pub mod trial;
