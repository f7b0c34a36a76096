// SPDX-License-Identifier: Apache-2.0
//! Frames, and how they are cut into transfers.

use std::ops::Range;

use fastrand::Rng;

use crate::message::choose;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const PADDED: u8 = 8;
pub const PRIORITIZED: u8 = 0x20;

/// The bytes of one direction.
#[derive(Clone, Debug, Default)]
pub struct Frames {
    pub bytes: Vec<u8>,
    /// Of them what says nothing: the octets of DATA frames behind their heads.
    pub data: Vec<Range<usize>>,
}

impl Frames {
    pub fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.bytes
            .extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
        self.bytes.extend_from_slice(&[kind, flags]);
        self.bytes.extend_from_slice(&stream.to_be_bytes());
        self.bytes.extend_from_slice(payload);
    }

    pub fn settings(&mut self) {
        self.frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]);
    }

    pub fn data(&mut self, rng: &mut Rng, stream: u32, length: usize, end: bool) {
        let mut payload: Vec<u8> = std::iter::repeat_with(|| rng.u8(..)).take(length).collect();
        let mut flags = if end { END_STREAM } else { 0 };
        if rng.u8(..4) == 0 {
            flags |= PADDED;
            let pad = rng.u8(..);
            payload.insert(0, pad);
            payload.resize(payload.len() + usize::from(pad), 0);
        }
        self.frame(DATA, flags, stream, &payload);
        let end = self.bytes.len();
        self.data.push(end - payload.len()..end);
    }

    /// A block, in as many frames as it happens to take. `promised` makes it that of a request that the server invents.
    pub fn block(
        &mut self,
        rng: &mut Rng,
        stream: u32,
        block: &[u8],
        end: bool,
        promised: Option<u32>,
    ) {
        let mut rest = block;
        let mut first = true;
        loop {
            let most = choose(rng, &[0, 1, 2, 3, 10, 100, 16_000, 16_000, 16_000, 16_000]);
            let (fragment, after) = rest.split_at(rest.len().min(rng.usize(..=most)));
            rest = after;
            let mut flags = if rest.is_empty() { END_HEADERS } else { 0 };
            let mut payload = Vec::new();
            if first {
                let pad = (rng.u8(..4) == 0).then(|| rng.u8(..));
                if let Some(pad) = pad {
                    flags |= PADDED;
                    payload.push(pad);
                }
                if let Some(promised) = promised {
                    payload.extend(promised.to_be_bytes());
                } else {
                    if end {
                        flags |= END_STREAM;
                    }
                    if rng.u8(..4) == 0 {
                        flags |= PRIORITIZED;
                        payload.extend([0, 0, 0, 0, 16]);
                    }
                }
                payload.extend(fragment);
                payload.resize(payload.len() + usize::from(pad.unwrap_or(0)), 0);
                let kind = if promised.is_some() {
                    PUSH_PROMISE
                } else {
                    HEADERS
                };
                self.frame(kind, flags, stream, &payload);
            } else {
                self.frame(CONTINUATION, flags, stream, fragment);
            }
            first = false;
            if flags & END_HEADERS != 0 {
                return;
            }
        }
    }

    /// Frames that change nothing. `usual`: none but those that everybody sends.
    pub fn noise(&mut self, rng: &mut Rng, stream: u32, usual: bool) {
        match rng.u8(..if usual { 4 } else { 6 }) {
            0 => self.frame(WINDOW_UPDATE, 0, stream, &[0, 0, 1, 0]),
            1 => self.frame(PING, rng.u8(..2), 0, b"abcdefgh"),
            2 => self.frame(SETTINGS, ACK, 0, &[]),
            3 => self.frame(PRIORITY, 0, stream.max(1), &[0, 0, 0, 0, 16]),
            4 => {
                let payload = [0x82; 40];
                let kind = rng.u8(10..);
                let length = rng.usize(..40);
                self.frame(kind, rng.u8(..), rng.u32(..100), &payload[..length]);
            }
            _ => self.frame(SETTINGS, 0, 0, &[0, 1, 0, 0, 16, 0, 0, 4, 0, 1, 0, 0]),
        }
    }
}

/// Cuts bytes into transfers, as some program might: ranges of them.
pub fn cut(rng: &mut Rng, length: usize) -> Vec<Range<usize>> {
    let largest = choose(rng, &[1, 2, 3, 9, 10, 100, 1500, 16_384, 16_384]);
    let mut cuts = Vec::new();
    let mut at = 0;
    while at < length {
        let end = length.min(at + rng.usize(1..=largest));
        cuts.push(at..end);
        at = end;
    }
    cuts
}
