// SPDX-License-Identifier: Apache-2.0
//! HTTP/2: the kernel's `src/bpf/protocol/http2/` against two decoders of HPACK and a model of streams.

pub mod block;
pub mod calls;
pub mod corpus;
pub mod encoder;
pub mod frames;
pub mod huffman;
pub mod nghttp2;
pub mod oracle;
pub mod shim;
pub mod stranger;
pub mod trial;
