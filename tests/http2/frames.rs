// SPDX-License-Identifier: Apache-2.0
//! A client that is made of frames, and what it says in unusual ones.

use std::io::{Read, Write};
use std::net::TcpStream;

use common::alone;
use common::load::Address;
use common::process::eventually;
use common::web::text;
use http1_fuzz::http2::frames::{
    CONTINUATION, END_HEADERS, END_STREAM, Frames, HEADERS, PADDED, PREFACE, PRIORITIZED, SETTINGS,
};

use super::{agent, assert_nothing_is_unknown, counted, expected, nghttpd, nginx, pid, tcp};

/// A client that is made of frames.
pub struct FrameClient {
    pub stream: TcpStream,
    next: u32,
}

impl FrameClient {
    pub fn connect(address: &Address) -> Self {
        let stream = TcpStream::connect(tcp(address)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, next: 1 }
    }

    pub fn beginning() -> Vec<u8> {
        let mut frames = Frames::default();
        frames.bytes.extend(PREFACE);
        frames.frame(SETTINGS, 0, 0, &[]);
        frames.bytes
    }

    /// `GET /`, all of whose fields but the last are in the static table.
    pub fn request(&mut self) -> Vec<u8> {
        let mut head = Frames::default();
        let block = b"\x82\x84\x86\x41\x01h";
        head.frame(HEADERS, END_STREAM | END_HEADERS, self.next, block);
        self.next += 2;
        head.bytes
    }

    /// Waits for the end of the last stream.
    pub fn answer(&mut self) {
        loop {
            let mut head = [0; 9];
            self.stream.read_exact(&mut head).unwrap();
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            self.stream
                .read_exact(&mut vec![0; length as usize])
                .unwrap();
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            if stream == self.next - 2 && head[3] <= 1 && head[4] & END_STREAM != 0 {
                return;
            }
        }
    }

    pub fn ask(&mut self, count: u32) {
        for _ in 0..count {
            let request = self.request();
            self.stream.write_all(&request).unwrap();
            self.answer();
        }
    }
}

/// Of fields that add nothing to the table, so many octets of value each.
fn fields(count: u32, length: u8) -> Vec<u8> {
    let mut block = Vec::new();
    for n in 0..count {
        let name = format!("x-{n}");
        block.extend([0, name.len() as u8]);
        block.extend(name.as_bytes());
        block.push(length);
        block.resize(block.len() + usize::from(length), b'v');
    }
    block
}

/// nghttpd takes no more than eight. One head in a padded HEADERS frame and twenty behind it, which end anywhere: in lengths, names and values.
pub fn a_block_of_twenty_continuations(backend: &str) {
    let _alone = alone();
    let (_agent, address) = agent(backend);
    let server = nginx("http2");
    let mut client = FrameClient::connect(&server.address);
    client.stream.write_all(&FrameClient::beginning()).unwrap();
    for turn in 0..7 {
        // The path comes before the method, which is not in the first frame then.
        let mut block = b"\x86\x41\x01h\x04\x64/".to_vec();
        block.resize(block.len() + 99, b'p');
        block.push(0x83);
        block.extend(fields(30, 50));
        let parts: Vec<&[u8]> = block.chunks(block.len().div_ceil(21)).collect();
        assert_eq!(parts.len(), 21);
        let mut frames = Frames::default();
        let padding = 3 * turn + 1;
        let mut first = vec![padding, 0, 0, 0, 0, 16];
        first.extend(parts[0]);
        first.resize(first.len() + usize::from(padding), 0);
        let flags = END_STREAM | PADDED | PRIORITIZED;
        frames.frame(HEADERS, flags, client.next, &first);
        for (n, part) in parts.iter().enumerate().skip(1) {
            let flags = if n == 20 { END_HEADERS } else { 0 };
            frames.frame(CONTINUATION, flags, client.next, part);
        }
        client.next += 2;
        client.stream.write_all(&frames.bytes).unwrap();
        client.answer();
        client.ask(1);
    }
    let all = expected([("POST", "404", 7), ("GET", "404", 7)]);
    eventually(all, || {
        counted(&text(address, "/metrics"), &pid(server.pid()))
    });
    assert_nothing_is_unknown(&text(address, "/metrics"));
}

/// Updates of the table's size at the beginning of blocks, and entries that go with them.
pub fn nothing_but_sizes_of_tables(backend: &str) {
    let _alone = alone();
    let (_agent, address) = agent(backend);
    let server = nghttpd();
    let mut client = FrameClient::connect(&server.address);
    client.stream.write_all(&FrameClient::beginning()).unwrap();
    // What the method is said with: as it is, with an entry of its own, and by that entry.
    let plain: &[u8] = b"\x83";
    let adds: &[u8] = b"\x42\x03PUT";
    let refers: &[u8] = b"\xbe";
    for (sizes, method) in [
        (&b"\x20"[..], plain),
        (b"\x20\x3f\x45", adds),
        (b"", refers),
        (b"\x3f\xe1\x1f", refers),
        (b"\x20\x3f\xe1\x1f", adds),
        (b"\x3f\x45", refers),
    ] {
        let block = [sizes, method, b"\x84\x86\x01\x01h"].concat();
        let mut frames = Frames::default();
        frames.frame(HEADERS, END_STREAM | END_HEADERS, client.next, &block);
        client.next += 2;
        client.stream.write_all(&frames.bytes).unwrap();
        client.answer();
    }
    let all = expected([("POST", "404", 1), ("PUT", "404", 5)]);
    eventually(all, || {
        counted(&text(address, "/metrics"), &pid(server.pid()))
    });
    assert_nothing_is_unknown(&text(address, "/metrics"));
}
