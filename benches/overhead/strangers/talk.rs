// SPDX-License-Identifier: Apache-2.0
//! What they say.

use std::iter::repeat_with;

use serde::{Deserialize, Serialize};

use crate::messages::Exchange;

/// A piece of bulk.
pub const BULK: usize = 64 << 10;

/// Pieces of bulk that differ: what one begins with may decide how it is taken.
const PIECES: usize = 16;

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Talk {
    Redis,
    Postgres,
    Rpc,
    Binary,
    Base64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Socket {
    Tcp,
    /// Connected before anybody watched, so that nobody knows what it began with.
    OldTcp,
    Unix,
}

impl Talk {
    pub const ALL: [Self; 5] = [
        Self::Redis,
        Self::Postgres,
        Self::Rpc,
        Self::Binary,
        Self::Base64,
    ];

    pub fn label(self) -> &'static str {
        match self {
            Self::Redis => "like Redis",
            Self::Postgres => "like Postgres",
            Self::Rpc => "like RPC",
            Self::Binary => "binary",
            Self::Base64 => "base64",
        }
    }

    pub fn is_bulk(self) -> bool {
        matches!(self, Self::Binary | Self::Base64)
    }

    /// What a connection begins with.
    pub fn greeting(self) -> Option<Exchange> {
        match self {
            Self::Postgres => Some(exchange(
                b"\x00\x00\x00\x14\x00\x03\x00\x00user\x00bench\x00\x00",
                b"R\x00\x00\x00\x08\x00\x00\x00\x00Z\x00\x00\x00\x05I",
            )),
            _ => None,
        }
    }

    pub fn exchanges(self) -> Vec<Exchange> {
        match self {
            Self::Redis => vec![exchange(
                b"*3\r\n$3\r\nSET\r\n$7\r\nuser:42\r\n$5\r\nhello\r\n",
                b"+OK\r\n",
            )],
            Self::Postgres => vec![exchange(
                b"Q\x00\x00\x00\x1dSELECT name FROM item;\x00",
                b"D\x00\x00\x00\x11\x00\x01\x00\x00\x00\x07example\
                  C\x00\x00\x00\x0dSELECT 1\x00Z\x00\x00\x00\x05I",
            )],
            Self::Rpc => vec![exchange(
                b"\x00\x00\x00\x18\x01\x00\x00\x07\x80\x01\x00\x02\x00\x00\x00\x04item\x08\x00\x01\x2a\xff\x00\x01\x02",
                b"\x00\x00\x00\x0c\x01\x00\x00\x07\x80\x02\x00\x02\x00\x00\x00\x2a",
            )],
            Self::Binary => bulk(|random| random.u8(..)),
            // The alphabet for URLs, which never shows what cannot stand in a method.
            Self::Base64 => bulk(|random| match random.u8(..64) {
                62 => b'-',
                63 => b'_',
                _ => random.alphanumeric() as u8,
            }),
        }
    }
}

impl Socket {
    pub const ALL: [Self; 3] = [Self::Tcp, Self::OldTcp, Self::Unix];

    pub fn label(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::OldTcp => "old TCP",
            Self::Unix => "unix",
        }
    }
}

fn exchange(request: &[u8], response: &[u8]) -> Exchange {
    Exchange {
        request: request.into(),
        response: response.into(),
    }
}

fn bulk(byte: impl Fn(&mut fastrand::Rng) -> u8) -> Vec<Exchange> {
    let mut random = fastrand::Rng::with_seed(1);
    let mut piece = || repeat_with(|| byte(&mut random)).take(BULK).collect();
    (0..PIECES)
        .map(|_| Exchange {
            request: piece(),
            response: piece(),
        })
        .collect()
}
