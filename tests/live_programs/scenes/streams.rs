// SPDX-License-Identifier: Apache-2.0
//! HTTP/2 by hand: more streams at the same time than a connection has slots for, in every way of cutting, with and without a
//! server that speaks first, behind a PROXY header, on TCP and unix sockets.

use std::io::{Read, Write};

use http1_fuzz::http2::frames::{END_HEADERS, END_STREAM, Frames, HEADERS, PREFACE, SETTINGS};

use super::cast::{Scene, exchange, tcp, unix};
use super::counts;

const ENDS: u8 = END_HEADERS | END_STREAM;
/// `GET http://h/`, of the static table but for the last.
const GET: &[u8] = b"\x82\x84\x86\x41\x01h";
const OK: &[u8] = b"\x88";

/// More than the slots of a connection and of its second block.
const STREAMS: u32 = 211;
const PROXY: [&[u8]; 2] = [
    b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc0\0\x02\x02\xdc\x04\x01\xbb",
];
const SIZES: [usize; 4] = [1, 7, 100, 1 << 14];

pub fn streams_count_in_every_cut(backend: &str) {
    // One more by HTTP/1, and each of TCP once more with a server that speaks first, and behind each PROXY header.
    let requests = SIZES.len() as u32 * STREAMS * 5 + 1;
    counts(backend, Scene::Streams, requests.into());
}

pub fn act() {
    for size in SIZES {
        let (mut client, mut server) = tcp();
        converse(&mut client, &mut server, size, b"", false);
        let (mut client, mut server) = tcp();
        converse(&mut client, &mut server, size, b"", true);
        for header in PROXY {
            let (mut client, mut server) = tcp();
            converse(&mut client, &mut server, size, header, false);
        }
        let (mut client, mut server) = unix();
        converse(&mut client, &mut server, size, b"", false);
    }
    let (mut client, mut server) = tcp();
    exchange(&mut client, &mut server);
}

/// All requests, and then all answers, the last one first.
fn converse<S: Read + Write>(
    client: &mut S,
    server: &mut S,
    size: usize,
    header: &[u8],
    speaks_first: bool,
) {
    let mut settings = Frames::default();
    settings.frame(SETTINGS, 0, 0, &[]);
    let settings = settings.bytes;
    if speaks_first {
        pass(server, client, &settings, size.max(settings.len()));
    }
    let streams = (0..STREAMS).map(|n| 2 * n + 1);
    let mut requests = Frames::default();
    requests.bytes.extend(header);
    requests.bytes.extend(PREFACE);
    requests.bytes.extend(&settings);
    for stream in streams.clone() {
        requests.frame(HEADERS, ENDS, stream, GET);
    }
    pass(client, server, &requests.bytes, size);
    let mut answers = Frames::default();
    if !speaks_first {
        answers.bytes.extend(&settings);
    }
    for stream in streams.rev() {
        answers.frame(HEADERS, ENDS, stream, OK);
    }
    pass(server, client, &answers.bytes, size);
}

fn pass<S: Read + Write>(from: &mut S, to: &mut S, bytes: &[u8], size: usize) {
    for part in bytes.chunks(size) {
        from.write_all(part).unwrap();
        to.read_exact(&mut vec![0; part.len()]).unwrap();
    }
}
