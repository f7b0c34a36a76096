// SPDX-License-Identifier: Apache-2.0
//! An encoder of HPACK that does whatever is allowed: every representation, either form of each string, and tables of any
//! size that change at any time.

use std::collections::VecDeque;

use fastrand::Rng;

use crate::http2::block::Field;
use crate::http2::huffman;

pub const STATIC: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

/// An integer behind the bits of a first octet; RFC 7541, 5.1.
pub fn integer(out: &mut Vec<u8>, bits: u8, prefix: u32, mut number: usize) {
    let mask = (1 << prefix) - 1;
    if number < mask {
        out.push(bits | number as u8);
        return;
    }
    out.push(bits | mask as u8);
    number -= mask;
    while number >= 128 {
        out.push(0x80 | (number & 0x7f) as u8);
        number >>= 7;
    }
    out.push(number as u8);
}

pub fn string(out: &mut Vec<u8>, text: &[u8], coded: bool) {
    if coded {
        let text = huffman::encode(text);
        integer(out, 0x80, 7, text.len());
        out.extend(text);
    } else {
        integer(out, 0, 7, text.len());
        out.extend(text);
    }
}

/// How an encoder is inclined; each in 8.
struct Habit {
    index: u8,
    insert: u8,
    coded: u8,
    name_index: u8,
}

pub struct Encoder {
    /// The newest first.
    table: VecDeque<Field>,
    size: usize,
    limit: usize,
    /// What the other side allows.
    allowed: usize,
    habit: Habit,
    /// Updates to be sent with the next block.
    updates: Vec<usize>,
}

fn size_of((name, value): &Field) -> usize {
    name.len() + value.len() + 32
}

impl Encoder {
    pub fn new(rng: &mut Rng, allowed: usize) -> Self {
        let mut encoder = Self {
            table: VecDeque::new(),
            size: 0,
            limit: 4096,
            allowed,
            habit: Habit {
                index: rng.u8(..=8),
                insert: rng.u8(..=8),
                coded: rng.u8(..=8),
                name_index: rng.u8(..=8),
            },
            updates: Vec::new(),
        };
        if allowed != 4096 {
            encoder.resize(allowed);
        }
        encoder
    }

    fn evict(&mut self, room: usize) {
        while self.size > room
            && let Some(oldest) = self.table.pop_back()
        {
            self.size -= size_of(&oldest);
        }
    }

    fn resize(&mut self, limit: usize) {
        self.limit = limit;
        self.evict(limit);
        self.updates.push(limit);
    }

    fn insert(&mut self, field: &Field) {
        let size = size_of(field);
        self.evict(self.limit.saturating_sub(size));
        if size <= self.limit {
            self.size += size;
            self.table.push_front(field.clone());
        } else {
            self.evict(0);
        }
    }

    /// A random index of an entry that is so.
    fn index(&self, rng: &mut Rng, is: impl Fn(&[u8], &[u8]) -> bool) -> Option<usize> {
        let fixed = STATIC
            .iter()
            .map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let dynamic = self
            .table
            .iter()
            .map(|(name, value)| (name.as_slice(), value.as_slice()));
        let found: Vec<_> = fixed
            .chain(dynamic)
            .enumerate()
            .filter(|(_, (name, value))| is(name, value))
            .map(|(index, _)| index + 1)
            .collect();
        rng.choice(found)
    }

    fn field(&mut self, rng: &mut Rng, field: &Field, out: &mut Vec<u8>) {
        let (name, value) = field;
        if rng.u8(..8) < self.habit.index
            && let Some(index) = self.index(rng, |n, v| n == name && v == value)
        {
            integer(out, 0x80, 7, index);
            return;
        }
        let index = if rng.u8(..8) < self.habit.name_index {
            self.index(rng, |it, _| it == name)
        } else {
            None
        };
        let inserted = rng.u8(..8) < self.habit.insert;
        if inserted {
            integer(out, 0x40, 6, index.unwrap_or(0));
        } else {
            let never = if rng.bool() { 0x10 } else { 0 };
            integer(out, never, 4, index.unwrap_or(0));
        }
        if index.is_none() {
            string(out, name, rng.u8(..8) < self.habit.coded);
        }
        string(out, value, rng.u8(..8) < self.habit.coded);
        if inserted {
            self.insert(field);
        }
    }

    pub fn block(&mut self, rng: &mut Rng, fields: &[Field]) -> Vec<u8> {
        if rng.u8(..40) == 0 {
            // RFC 7541, 4.2: the lowest in between comes first, and no more than two.
            self.updates.truncate(1);
            let limit = rng.usize(..=self.allowed);
            if self.updates.first().is_none_or(|&first| first <= limit) {
                self.resize(limit);
            }
        }
        let mut out = Vec::new();
        for limit in std::mem::take(&mut self.updates) {
            integer(&mut out, 0x20, 5, limit);
        }
        for field in fields {
            self.field(rng, field, &mut out);
        }
        out
    }
}
