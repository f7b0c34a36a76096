// SPDX-License-Identifier: Apache-2.0
//! Header blocks: random fields, and what they mean.

use fastrand::Rng;

use crate::account::Method;
use crate::http2::shim::{Block, GRPC_OTHER};
use crate::message::choose;

pub type Field = (Vec<u8>, Vec<u8>);

/// What the C tells of a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meaning {
    pub method: Option<Method>,
    pub status: Option<u16>,
    pub grpc: Option<u16>,
    pub head: bool,
}

impl Meaning {
    pub fn of_fields(fields: &[Field]) -> Self {
        let first = |name: &str| {
            let found = fields.iter().find(|(it, _)| it == name.as_bytes());
            found.map(|(_, value)| value.as_slice())
        };
        Self {
            method: first(":method")
                .map(|value| Method::from_token(str::from_utf8(value).unwrap_or_default())),
            status: first(":status").map(|value| match number(value) {
                Some(status) if value.len() == 3 && status >= 100 => status,
                _ => 0,
            }),
            grpc: first("grpc-status").map(|value| match number(value) {
                Some(status) if status <= 16 => status,
                _ => GRPC_OTHER,
            }),
            head: fields.iter().any(|(name, _)| name.starts_with(b":")),
        }
    }

    pub fn of_block(block: &Block) -> Self {
        Self {
            method: block.method(),
            status: block.status(),
            grpc: block.grpc(),
            head: block.is_head(),
        }
    }

    /// Whether all that was read, of which some fields' names were not known, is also what there is.
    pub fn allows(&self, read: &Self) -> bool {
        fn same<T: PartialEq>(is: Option<T>, read: Option<T>) -> bool {
            read.is_none() || read == is
        }
        same(self.method, read.method)
            && same(self.status, read.status)
            && same(self.grpc, read.grpc)
            && self.head >= read.head
    }
}

/// Of one to three digits, however many octets they are sent in.
fn number(digits: &[u8]) -> Option<u16> {
    let is_number = (1..4).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    is_number.then(|| {
        digits
            .iter()
            .fold(0, |number, digit| number * 10 + u16::from(digit - b'0'))
    })
}

const METHODS: [&str; 20] = [
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "DELETE",
    "CONNECT",
    "OPTIONS",
    "TRACE",
    "PATCH",
    "get",
    "PROPFIND",
    "GETS",
    "GE",
    "",
    "GET\0",
    "POST ",
    "OPTION",
    "CONNECTS",
    "PATCI",
    "TRACE\0\0",
];

const STATUSES: [&str; 24] = [
    "200", "204", "206", "304", "400", "404", "500", "100", "103", "201", "302", "429", "499",
    "503", "999", "099", "20", "2000", "", "2x0", "abc", "000", "33 ", "-20",
];

const GRPC: [&str; 26] = [
    "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16",
    "17", "00", "016", "0016", "-1", "", "x", "99", "1 ",
];

/// Names, among them those that are as long as one that matters, in either form, or nearly the same.
const NAMES: [&str; 30] = [
    ":path",
    ":scheme",
    ":authority",
    ":protocol",
    ":methoe",
    ":metho",
    ":status\0",
    ":methods",
    ":statut",
    "grpc-statut",
    "grpc-message",
    "grpc-statuss",
    "grpc-encoding",
    "content-type",
    "content-length",
    "date",
    "server",
    "cookie",
    "set-cookie",
    "x",
    "trailer",
    "accept-encoding",
    "user-agent",
    "te",
    "expires",
    "x-0",
    "x-request-id",
    "grpc-timeout",
    "Method:",
    "location",
];

fn octets(rng: &mut Rng, length: usize) -> Vec<u8> {
    let binary = rng.u8(..4) == 0;
    let any = |_| {
        if binary {
            rng.u8(..)
        } else {
            rng.alphanumeric() as u8
        }
    };
    (0..length).map(any).collect()
}

fn value(rng: &mut Rng) -> Vec<u8> {
    let length = match rng.u8(..40) {
        0 => rng.usize(..6000),
        1..=3 => rng.usize(..300),
        4..=20 => return choose(rng, &["a", "identity", "gzip", "text/html", "12"]).into(),
        _ => rng.usize(..20),
    };
    octets(rng, length)
}

/// A field that a connection may say again and again, or never.
pub fn field(rng: &mut Rng) -> Field {
    let (name, value) = match rng.u8(..16) {
        0..=2 => (":method", choose(rng, &METHODS)),
        3..=5 => (":status", choose(rng, &STATUSES)),
        6..=8 => ("grpc-status", choose(rng, &GRPC)),
        9 => {
            let length = rng.usize(1..16);
            return (octets(rng, length), value(rng));
        }
        _ => return (choose(rng, &NAMES).into(), value(rng)),
    };
    (name.into(), value.into())
}
