// SPDX-License-Identifier: Apache-2.0
//! Connections that are not HTTP/2, or not a server's end of it. Nothing counts on them.

use fastrand::Rng;

use crate::http2::calls::Calls;
use crate::message::choose;
use crate::transfer::{Conversation, Direction};

/// What the server receives, and what it answers: frames of a protocol.
type Messages = fn(&mut Rng) -> (Vec<u8>, Vec<u8>);

const PROTOCOLS: [Messages; 9] = [
    tls, redis, kafka, zookeeper, thrift, yamux, mysql, http1, lengths,
];

fn octets(rng: &mut Rng, most: usize) -> Vec<u8> {
    let length = rng.usize(..=most);
    std::iter::repeat_with(|| rng.u8(..)).take(length).collect()
}

fn tls(rng: &mut Rng) -> (Vec<u8>, Vec<u8>) {
    let mut record = || {
        let payload = octets(rng, 300);
        let kind = choose(rng, &[20, 21, 22, 23]);
        let mut record = vec![kind, 3, 3];
        record.extend((payload.len() as u16).to_be_bytes());
        record.extend(payload);
        record
    };
    (record(), record())
}

fn redis(rng: &mut Rng) -> (Vec<u8>, Vec<u8>) {
    let key = rng.u32(..);
    let request = format!("*2\r\n$3\r\nGET\r\n$10\r\n{key:010}\r\n");
    (request.into(), b"$5\r\nvalue\r\n".into())
}

/// A length of four octets, then the payload.
fn prefixed(payload: &[u8]) -> Vec<u8> {
    let mut message = (payload.len() as u32).to_be_bytes().to_vec();
    message.extend(payload);
    message
}

fn kafka(rng: &mut Rng) -> (Vec<u8>, Vec<u8>) {
    let correlation = rng.u32(..1000).to_be_bytes();
    let mut request = vec![0, rng.u8(..60), 0, rng.u8(..12)];
    request.extend(correlation);
    request.extend([0, 4]);
    request.extend(b"test");
    request.extend(octets(rng, 60));
    let mut response = correlation.to_vec();
    response.extend(octets(rng, 60));
    (prefixed(&request), prefixed(&response))
}

fn zookeeper(rng: &mut Rng) -> (Vec<u8>, Vec<u8>) {
    let xid = rng.u32(..1000).to_be_bytes();
    let kind = choose(rng, &[1u32, 2, 3, 4, 5, 8, 11, 12]).to_be_bytes();
    let mut request = [xid, kind].concat();
    request.extend(prefixed(b"/a/path"));
    request.push(0);
    let mut response = xid.to_vec();
    response.extend(rng.u64(..100_000).to_be_bytes());
    response.extend([0; 4]);
    response.extend(octets(rng, 60));
    (prefixed(&request), prefixed(&response))
}

fn thrift(rng: &mut Rng) -> (Vec<u8>, Vec<u8>) {
    let mut message = |kind| {
        let mut message = vec![0x80, 1, 0, kind];
        message.extend(prefixed(b"ping"));
        message.extend(rng.u32(..1000).to_be_bytes());
        message.extend(octets(rng, 40));
        message.push(0);
        prefixed(&message)
    };
    (message(1), message(2))
}

fn yamux(rng: &mut Rng) -> (Vec<u8>, Vec<u8>) {
    let mut frame = || {
        let kind = rng.u8(..4);
        let mut frame = vec![0, kind, 0, choose(rng, &[0, 0, 0, 1, 2, 4, 8])];
        frame.extend(rng.u32(..8).to_be_bytes());
        let payload = if kind == 0 {
            octets(rng, 40)
        } else {
            Vec::new()
        };
        frame.extend((payload.len() as u32).to_be_bytes());
        frame.extend(payload);
        frame
    };
    (frame(), frame())
}

fn mysql(rng: &mut Rng) -> (Vec<u8>, Vec<u8>) {
    let mut packet = |number| {
        let payload = octets(rng, 100);
        let mut packet = (payload.len() as u32).to_le_bytes()[..3].to_vec();
        packet.push(number);
        packet.extend(payload);
        packet
    };
    (packet(0), packet(1))
}

fn http1(rng: &mut Rng) -> (Vec<u8>, Vec<u8>) {
    let body = octets(rng, 100);
    let length = body.len();
    let mut request = format!("POST / HTTP/1.1\r\nContent-Length: {length}\r\n\r\n").into_bytes();
    request.extend(body);
    (request, b"HTTP/1.1 204 No Content\r\n\r\n".into())
}

/// The right length in three octets, and nothing else right.
fn lengths(rng: &mut Rng) -> (Vec<u8>, Vec<u8>) {
    let mut message = || {
        let payload = octets(rng, 60);
        let length = payload.len().saturating_sub(6) as u32;
        let mut message = length.to_be_bytes()[1..].to_vec();
        message.extend(payload);
        message
    };
    (message(), message())
}

/// A connection of one of the protocols, or of none.
pub fn random(rng: &mut Rng) -> Conversation {
    let mut conversation = Conversation::default();
    let protocol = rng.usize(..PROTOCOLS.len() + 1);
    for _ in 0..rng.u8(1..20) {
        let (received, sent) = match PROTOCOLS.get(protocol) {
            Some(messages) => messages(rng),
            None => (octets(rng, 60), octets(rng, 60)),
        };
        conversation.push(Direction::Receive, &received, true);
        conversation.push(Direction::Send, &sent, true);
    }
    match rng.u8(..3) {
        0 => conversation.joined_up(),
        1 => conversation.in_pieces(rng.usize(1..20)),
        _ => conversation,
    }
}

/// A client's end: it receives what a server sends.
pub fn client(calls: &Calls) -> Conversation {
    let mut conversation = Conversation::default();
    for (direction, range) in &calls.transfers {
        match direction {
            Direction::Receive => {
                conversation.push(Direction::Send, &calls.received[range.clone()], true);
            }
            Direction::Send => {
                conversation.push(Direction::Receive, &calls.sent[range.clone()], true);
            }
        }
    }
    conversation
}
