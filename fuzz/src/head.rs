// SPDX-License-Identifier: Apache-2.0
//! Heads that are nearly usual: as all programs write them, but for a few bytes. For the line between
//! what is taken at once and what is left to the state machine.

use fastrand::Rng;

use crate::conversation::{any_request, final_response};
use crate::message::{Manner, choose};
use crate::transfer::{Conversation, Direction};

/// Bytes on which decisions hang.
const DECISIVE: [u8; 24] = [
    0, b'\t', b'\n', 0x0d, 0x1a, 0x1f, b' ', b'!', b',', b'-', b'/', b'0', b'5', b'9', b':', b';',
    b'H', b'_', b'c', 0x7f, 0x80, 0x8a, 0xa0, 0xff,
];

/// One receive and one send, each with more bytes behind the head, so that it shows where it ended.
pub fn random(seed: u64) -> Conversation {
    let rng = &mut Rng::with_seed(seed);
    let method = choose(rng, &["GET", "HEAD", "POST", "OPTIONS", "CONNECT"]);
    let mut received = any_request(rng, Manner::Wild, method);
    let mut sent = final_response(rng, Manner::Wild, method);
    if rng.bool() {
        spoil(rng, &mut received.bytes[..received.head]);
    } else {
        spoil(rng, &mut sent.bytes[..sent.head]);
    }
    received.bytes.extend_from_slice(b"PUT / HTTP/1.0\r\n\r\n");
    sent.bytes.extend_from_slice(b"HTTP/1.1 299 \r\n\r\n");
    let mut conversation = Conversation::default();
    conversation.push(Direction::Receive, &received.bytes, true);
    conversation.push(Direction::Send, &sent.bytes, true);
    conversation
}

fn spoil(rng: &mut Rng, head: &mut [u8]) {
    for _ in 0..rng.u8(1..4) {
        let at = rng.usize(..head.len());
        head[at] = match rng.u8(..4) {
            0 => head[at] ^ 0x20,
            1 => rng.u8(..),
            _ => choose(rng, &DECISIVE),
        };
    }
}
