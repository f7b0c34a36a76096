// SPDX-License-Identifier: Apache-2.0
//! Unary gRPC calls, byte for byte what real clients and servers say (but for the numbers of their streams): grpc-go, and grpc-core as
//! of Python, whose first call is the cold one.

use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::{Result, ensure};
use http1_fuzz::http2::frames::{
    ACK, DATA, END_HEADERS, END_STREAM, Frames, HEADERS, PING, PREFACE, SETTINGS, WINDOW_UPDATE,
};
use serde::{Deserialize, Serialize};

use crate::messages::Exchange;
use crate::table::{Floors, least};
use crate::variant::Variant;
use crate::workload::Kind;

/// Whose calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Caller {
    Go,
    Core,
    /// Every call as grpc-core's first: each field in full.
    Cold,
}

impl Caller {
    pub const ALL: [Self; 3] = [Self::Go, Self::Core, Self::Cold];

    pub fn label(self) -> &'static str {
        match self {
            Self::Go => "grpc-go, warm",
            Self::Core => "grpc-core, warm",
            Self::Cold => "grpc-core, cold",
        }
    }

    /// What it may cost, in units of what empty programs do.
    fn goal(self) -> f64 {
        match self {
            Self::Go | Self::Core => 3.0,
            Self::Cold => 4.0,
        }
    }
}

/// A conversation: one call after the other.
pub struct Calls {
    /// How the connection begins. A call is in it, so that the next ones are warm.
    pub greeting: Exchange,
    call: Exchange,
    /// Where the numbers of its streams lie.
    requests: Vec<Range<usize>>,
    responses: Vec<Range<usize>>,
    stream: u32,
}

impl Calls {
    pub fn of(caller: Caller) -> Result<Self> {
        let (greeting, call) = match caller {
            Caller::Go => (go_first(), go()),
            Caller::Core => (core_first()?, core()),
            Caller::Cold => (core_first()?, core_cold()?),
        };
        Ok(Self {
            requests: streams(&call.request),
            responses: streams(&call.response),
            greeting,
            call,
            stream: 1,
        })
    }

    /// The next call.
    pub fn next(&mut self) -> &Exchange {
        self.stream += 2;
        let stream = self.stream.to_be_bytes();
        for place in &self.requests {
            self.call.request[place.clone()].copy_from_slice(&stream);
        }
        for place in &self.responses {
            self.call.response[place.clone()].copy_from_slice(&stream);
        }
        &self.call
    }
}

/// Of all frames but those of the connection.
fn streams(frames: &[u8]) -> Vec<Range<usize>> {
    let mut places = Vec::new();
    let mut at = 0;
    while let Some(&[a, b, c, _, _, s0, s1, s2, s3]) = frames.get(at..at + 9) {
        if [s0, s1, s2, s3] != [0; 4] {
            places.push(at + 5..at + 9);
        }
        at += 9 + u32::from_be_bytes([0, a, b, c]) as usize;
    }
    places
}

const ASKED: &[u8] = b"\0\0\0\0\x01\0";
const ANSWERED: &[u8] = b"\0\0\0\0\x06answer";
const GO_PING: &[u8] = b"\x02\x04\x10\x10\x09\x0e\x07\x07";
const BOTH: u8 = END_STREAM | END_HEADERS;

/// Frames as (kind, flags, stream, payload).
fn frames(begin: &[u8], all: &[(u8, u8, u32, &[u8])]) -> Vec<u8> {
    let mut frames = Frames::default();
    frames.bytes.extend(begin);
    for (kind, flags, stream, payload) in all {
        frames.frame(*kind, *flags, *stream, payload);
    }
    frames.bytes
}

fn go_first() -> Exchange {
    let head = b"\x83\x86\x45\x91\x61\x25\x42\x57\xbc\x3a\x28\x43\x16\xd4\x3b\x3d\x45\x6d\x43\xb3\xd7\x41\x8b\x08\x9d\x5c\x0b\x81\x70\xdc\x0b\xef\x04\x5f\
        \x5f\x8b\x1d\x75\xd0\x62\x0d\x26\x3d\x4c\x4d\x65\x64\x7a\x8b\x9a\xca\xc8\xb4\xc7\x60\x2b\xb2\xca\xec\xff\x40\x02\x74\x65\x86\x4d\x83\x35\x05\xb1\x1f";
    Exchange {
        request: frames(
            PREFACE,
            &[
                (SETTINGS, 0, 0, b""),
                (SETTINGS, ACK, 0, b""),
                (HEADERS, END_HEADERS, 1, head),
                (DATA, END_STREAM, 1, ASKED),
            ],
        ),
        response: frames(
            b"",
            &[
                (SETTINGS, 0, 0, b"\0\x05\0\0\x40\0"),
                (SETTINGS, ACK, 0, b""),
                (WINDOW_UPDATE, 0, 0, b"\0\0\0\x06"),
                (PING, 0, 0, GO_PING),
                (HEADERS, END_HEADERS, 1, b"\x88\x5f\x8b\x1d\x75\xd0\x62\x0d\x26\x3d\x4c\x4d\x65\x64"),
                (DATA, 0, 1, ANSWERED),
                (
                    HEADERS,
                    BOTH,
                    1,
                    b"\x40\x88\x9a\xca\xc8\xb2\x12\x34\xda\x8f\x01\x30\x40\x89\x9a\xca\xc8\xb5\x25\x42\x07\x31\x7f\0",
                ),
            ],
        ),
    }
}

fn go() -> Exchange {
    Exchange {
        request: frames(
            b"",
            &[
                (PING, ACK, 0, GO_PING),
                (WINDOW_UPDATE, 0, 0, b"\0\0\0\x0b"),
                (PING, 0, 0, GO_PING),
                (HEADERS, END_HEADERS, 3, b"\x83\x86\xc2\xc1\xc0\xbf\xbe"),
                (DATA, END_STREAM, 3, ASKED),
            ],
        ),
        response: frames(
            b"",
            &[
                (PING, ACK, 0, GO_PING),
                (WINDOW_UPDATE, 0, 0, b"\0\0\0\x06"),
                (PING, 0, 0, GO_PING),
                (HEADERS, END_HEADERS, 3, b"\x88\xc0"),
                (DATA, 0, 3, ANSWERED),
                (HEADERS, BOTH, 3, b"\xbf\xbe"),
            ],
        ),
    }
}

/// The head of grpc-core's first call. It sends no Huffman code, and names every field once.
fn core_head() -> Result<Vec<u8>> {
    let fields = [
        (
            ":path",
            "/shop.catalogue.v1.CatalogueService/ListItemsOfCategoriesByPa",
        ),
        (":authority", "127.0.0.1:50051"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("grpc-accept-encoding", "identity, deflate, gzip"),
        (
            "user-agent",
            "grpc-python/1.51.1 grpc-c/29.0.0 (linux; chttp2)",
        ),
    ];
    let mut block = Vec::new();
    for (name, value) in fields {
        if name == "content-type" {
            // `:method: POST` and `:scheme: http`.
            block.extend([0x83, 0x86]);
        }
        block.extend([0x40, name.len() as u8]);
        block.extend(name.as_bytes());
        block.push(value.len() as u8);
        block.extend(value.as_bytes());
    }
    // What the goal is set for.
    ensure!(block.len() == 250, "{} octets", block.len());
    Ok(block)
}

const CORE_ANSWER: &[u8] = b"\x88\x40\x0ccontent-type\x10application/grpc\x40\x14grpc-accept-encoding\x17identity, deflate, gzip";
const CORE_TRAILERS: &[u8] = b"\x40\x0bgrpc-status\x010";

fn core_first() -> Result<Exchange> {
    let Exchange { request, response } = core_call(1, &core_head()?, CORE_ANSWER, CORE_TRAILERS);
    let settings =
        b"\0\x02\0\0\0\0\0\x03\0\0\0\0\0\x04\0\x3f\xff\xff\0\x05\0\x3f\xff\xff\0\x06\0\0\x20\0\xfe\x03\0\0\0\x01";
    let window: &[u8] = b"\0\x3f\0\0";
    let begin = |preface: &[u8], settings: &[u8]| {
        let all = [
            (SETTINGS, 0, 0, settings),
            (WINDOW_UPDATE, 0, 0, window),
            (SETTINGS, ACK, 0, b""),
        ];
        frames(preface, &all)
    };
    Ok(Exchange {
        request: [begin(PREFACE, settings), request].concat(),
        response: [begin(b"", &settings[12..]), response].concat(),
    })
}

fn core() -> Exchange {
    core_call(
        3,
        b"\xc3\xc2\x83\x86\xc1\xc0\xbf\xbe",
        b"\x88\xc0\xbf",
        b"\xbe",
    )
}

fn core_cold() -> Result<Exchange> {
    Ok(core_call(3, &core_head()?, CORE_ANSWER, CORE_TRAILERS))
}

fn core_call(stream: u32, head: &[u8], answer: &[u8], trailers: &[u8]) -> Exchange {
    Exchange {
        request: frames(
            b"",
            &[
                (HEADERS, END_HEADERS, stream, head),
                (WINDOW_UPDATE, 0, stream, b"\0\0\0\x05"),
                (DATA, END_STREAM, stream, ASKED),
                (WINDOW_UPDATE, 0, 0, b"\0\0\0\x0b"),
            ],
        ),
        response: frames(
            b"",
            &[
                (HEADERS, END_HEADERS, stream, answer),
                (DATA, 0, stream, ANSWERED),
                (HEADERS, BOTH, stream, trailers),
                (WINDOW_UPDATE, 0, 0, b"\0\0\0\x06"),
            ],
        ),
    }
}

pub fn kinds() -> Vec<Kind> {
    Caller::ALL.map(Kind::Call).to_vec()
}

/// The agent, the programs that do nothing where its own are, and those that look for heads alone.
pub fn variants() -> Vec<Variant> {
    let mut variants = Variant::all();
    variants.retain(|variant| !matches!(variant, Variant::Bpftrace | Variant::Tracepoints));
    variants.push(Variant::Heads);
    variants
}

pub fn print(floors: &Floors, placements: usize) {
    println!(
        "\ngRPC calls, both ends of each: ns added, floor of {placements} placements. In brackets in units of what empty programs\n\
         cost (to reach: warm at most 3, cold at most 4). What misses that is marked with !.\n"
    );
    let by_kind: BTreeMap<_, _> = floors.iter().map(|(key, it)| (*key, least(it))).collect();
    for caller in Caller::ALL {
        let floor = |variant| by_kind.get(&(Kind::Call(caller), variant)).copied();
        let Some(none) = floor(Variant::None) else {
            continue;
        };
        println!("{:<24}{:<14}{none:>8.0}", caller.label(), "none: takes");
        for variant in variants().into_iter().skip(1) {
            let Some(added) = floor(variant).map(|it| it - none) else {
                continue;
            };
            let empty = variant.empty().and_then(floor).map(|it| it - none);
            let units = empty.map_or_else(String::new, |empty| {
                let units = added / empty;
                let mark = if units > caller.goal() { "!" } else { "" };
                format!("({units:.1}){mark}")
            });
            println!("{:<24}{:<14}{added:>+8.0} {units}", "", variant.label());
        }
    }
}
