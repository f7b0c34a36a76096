// SPDX-License-Identifier: Apache-2.0
//! Programs that do not speak HTTP, in bulk: letters that could go on for ever as the name of a method, and bytes that could not.
//! A TCP stream of them is written off: nothing that comes later is so much as looked at.

use std::io::{Read, Write};
use std::thread;

use super::cast::{Scene, exchange, tcp, unix};
use super::counts;

/// As bulk programs move it.
const PIECE: usize = 64 << 10;
/// More than are looked at of a stream that is text.
const PIECES: usize = 32;
const BASE64: &[u8] = b"TWFuIGlzIGRpc3Rpbmd1aXNoZWQgbm90IG9ubHkgYnkgaGlzIHJlYXNvbiBidXQg";
const HEX: &[u8] = b"DEADBEEF0123456789abcdef";
const BINARY: &[u8] = b"\x00\x00\x00\x10\x01\x08GET /key\x00\xff";

/// One for each of the connections that the strangers make afterwards.
const REQUESTS: u64 = 2;

pub fn strangers_are_written_off_and_their_neighbours_count(backend: &str) {
    counts(backend, Scene::Strangers, REQUESTS);
}

pub fn act() {
    for text in [BASE64, HEX] {
        let (mut client, mut server) = tcp();
        pour(&mut client, &mut server, text, PIECE);
        // On this one it is too late.
        exchange(&mut client, &mut server);
        let (mut client, mut server) = unix();
        pour(&mut client, &mut server, text, PIECE);
    }
    let (mut client, mut server) = unix();
    pour(&mut client, &mut server, BINARY, BINARY.len());
    let (mut client, mut server) = tcp();
    exchange(&mut client, &mut server);
    let (mut client, mut server) = unix();
    exchange(&mut client, &mut server);
}

/// Pieces of a text, each of which is received before the next and answered by a few bytes.
fn pour<S: Read + Write + Send>(client: &mut S, server: &mut S, text: &[u8], piece: usize) {
    let piece: Vec<u8> = text.iter().copied().cycle().take(piece).collect();
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..PIECES {
                client.write_all(&piece).unwrap();
                client.read_exact(&mut [0; 2]).unwrap();
            }
        });
        let mut received = vec![0; piece.len()];
        for _ in 0..PIECES {
            server.read_exact(&mut received).unwrap();
            server.write_all(&[0, 1]).unwrap();
        }
    });
}
