// SPDX-License-Identifier: Apache-2.0
//! Connections of HTTP/2 that a person can read and write: the cases in `corpus/http2/`.
//!
//! In the form of [`crate::cases`]. `transfers joined` is seen from the middle on, `transfers upgraded` after a GET of HTTP/1,
//! and `as cut` behind either says that the result depends on the cuts.
//!
//! A line is `PREFACE`, `RAW` with bytes, or a frame: its type, its stream, its flags in hexadecimal, its payload. Bytes
//! are two hexadecimal digits each, or a text in quotes without blanks; `00*500` are 500 of them.
//!
//! In `counts`, `1 GET 200` is the response of a stream, `1 grpc 0` the end of a call, and what is not known a `?`.

use anyhow::{Context, Result, bail};

use crate::cases::{self, Written};
use crate::http2::frames::{Frames, PREFACE};
use crate::http2::shim::{Connection, Count, From, GRPC_OTHER, GRPC_UNKNOWN};
use crate::transfer::Conversation;

pub struct Case {
    pub name: String,
    pub conversation: Conversation,
    pub from: From,
    pub as_cut: bool,
    pub expected: Vec<String>,
}

const TYPES: [&str; 10] = [
    "DATA",
    "HEADERS",
    "PRIORITY",
    "RST_STREAM",
    "SETTINGS",
    "PUSH_PROMISE",
    "PING",
    "GOAWAY",
    "WINDOW_UPDATE",
    "CONTINUATION",
];

pub fn parse(text: &str) -> Result<Vec<Case>> {
    cases::read(text)?.iter().map(case).collect()
}

fn case(written: &Written<'_>) -> Result<Case> {
    let name = written.name.to_owned();
    let (kind, as_cut) = match written.kind.strip_suffix(" as cut") {
        Some(kind) => (kind, true),
        None => (written.kind, false),
    };
    let from = match kind {
        "transfers" => From::Preface,
        "transfers joined" => From::Middle,
        "transfers upgraded" => From::Upgrade,
        _ => bail!("{name}: no block is called `{kind}`"),
    };
    let mut expected: Vec<_> = written.counts.iter().map(|it| (*it).to_owned()).collect();
    expected.sort();
    Ok(Case {
        conversation: written.conversation(push)?,
        name,
        from,
        as_cut,
        expected,
    })
}

/// Appends what a line stands for.
fn push(line: &str, transfer: &mut Vec<u8>) -> Result<()> {
    let mut words = line.split_whitespace();
    let kind = words.next().context("an empty line")?;
    match kind {
        "PREFACE" => transfer.extend(PREFACE),
        "RAW" => transfer.extend(bytes(words)?),
        _ => {
            let number = TYPES.iter().position(|it| *it == kind);
            let kind = number.map_or_else(|| kind.parse(), |number| Ok(number as u8))?;
            let stream = words.next().context("no stream")?.parse()?;
            let flags = u8::from_str_radix(words.next().context("no flags")?, 16)?;
            let mut frames = Frames::default();
            frames.frame(kind, flags, stream, &bytes(words)?);
            transfer.extend(frames.bytes);
        }
    }
    Ok(())
}

fn bytes<'a>(words: impl Iterator<Item = &'a str>) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for word in words {
        if let Some(text) = word.strip_prefix('"').and_then(|it| it.strip_suffix('"')) {
            bytes.extend_from_slice(text.as_bytes());
        } else if let Some((byte, count)) = word.split_once('*') {
            let byte = u8::from_str_radix(byte, 16)?;
            bytes.resize(bytes.len() + count.parse::<usize>()?, byte);
        } else {
            bytes.push(u8::from_str_radix(word, 16).with_context(|| word.to_owned())?);
        }
    }
    Ok(bytes)
}

fn text(count: &Count) -> String {
    let or_unknown = |it: Option<String>| it.unwrap_or_else(|| "?".into());
    match *count {
        Count::Requests(n) => format!("requests {n}"),
        Count::Response(stream, method, status, _) => {
            let status = or_unknown((status != 0).then(|| status.to_string()));
            let method = or_unknown(method.map(|it| it.to_string()));
            format!("{stream} {method} {status}")
        }
        Count::Call(stream, GRPC_OTHER, _) => format!("{stream} grpc other"),
        Count::Call(stream, GRPC_UNKNOWN, _) => format!("{stream} grpc ?"),
        Count::Call(stream, status, _) => format!("{stream} grpc {status}"),
        Count::Abandoned(stream, method, _) => {
            let method = or_unknown(method.map(|it| it.to_string()));
            format!("{stream} {method} abandoned")
        }
        Count::Refused(stream, method, _) => {
            let method = or_unknown(method.map(|it| it.to_string()));
            format!("{stream} {method} refused")
        }
        Count::Unmatched(stream) => format!("{stream} unmatched"),
        Count::JoinedLate(stream) => format!("{stream} joined late"),
        Count::TableAged(stream) => format!("{stream} table aged"),
    }
}

/// What is counted of a conversation, in the words of the corpus.
pub fn count(conversation: &Conversation, from: From) -> Vec<String> {
    let mut connection = Connection::new(from);
    for transfer in &conversation.transfers {
        let bytes = conversation.bytes(transfer);
        if transfer.readable {
            connection.transfer(transfer.direction, bytes);
        } else {
            connection.hidden(transfer.direction, bytes.len());
        }
    }
    let mut requests = 0;
    let mut counts = Vec::new();
    for count in connection.counts() {
        match count {
            Count::Requests(n) => requests += n,
            other => counts.push(text(&other)),
        }
    }
    if requests > 0 {
        counts.push(text(&Count::Requests(requests)));
    }
    if connection.losses() > 0 {
        counts.push(format!("lost {}", connection.losses()));
    }
    counts.sort();
    counts
}
