// SPDX-License-Identifier: Apache-2.0
//! What takes long to follow: as much as one likes of what is dear byte by byte.

use serde::{Deserialize, Serialize};

use crate::messages;

/// One receive or send of so many bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Case {
    pub content: Content,
    pub direction: Direction,
    pub size: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Direction {
    /// A server receives requests.
    Requests,
    /// It sends responses.
    Responses,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Content {
    /// A header of control bytes
    Control,
    /// Chunks of one byte
    Chunks,
    /// Messages that are all alike
    Pipeline,
    /// Methods and statuses that alternate, so that each request waits for its answer by itself
    Unlike,
    /// A long header of no interest
    Dull,
    /// What may begin a message and goes on without a blank
    Tokens,
}

/// In one piece, and in sixteen times as much.
pub const SIZES: [usize; 2] = [64 << 10, 1 << 20];

/// In a piece of a pipeline that is asked for answers.
const REPEATED: usize = 256;

impl Direction {
    pub const ALL: [Self; 2] = [Self::Requests, Self::Responses];

    pub fn label(self) -> &'static str {
        match self {
            Self::Requests => "received",
            Self::Responses => "sent",
        }
    }
}

impl Content {
    pub const ALL: [Self; 6] = [
        Self::Control,
        Self::Chunks,
        Self::Pipeline,
        Self::Unlike,
        Self::Dull,
        Self::Tokens,
    ];

    pub fn label(self) -> &'static str {
        match self {
            Self::Control => "control bytes",
            Self::Chunks => "chunks of one byte",
            Self::Pipeline => "pipeline",
            Self::Unlike => "unlike pipeline",
            Self::Dull => "dull header",
            Self::Tokens => "no blank",
        }
    }

    /// How it begins, and what is repeated then. Requests of a pipeline have 30 bytes.
    fn parts(self, direction: Direction) -> (&'static str, &'static str) {
        const GET: &str = "GET / HTTP/1.1\r\nHost: abcd\r\n\r\n";
        const UNLIKE: &str =
            "GET / HTTP/1.1\r\nHost: abcd\r\n\r\nPUT / HTTP/1.1\r\nHost: abcd\r\n\r\n";
        match (self, direction) {
            (Self::Control, Direction::Requests) => ("GET / HTTP/1.1\r\nX: ", "\x01"),
            (Self::Control, Direction::Responses) => ("HTTP/1.1 200 OK\r\nX: ", "\x01"),
            (Self::Dull, Direction::Requests) => ("GET / HTTP/1.1\r\nX: ", "a"),
            (Self::Dull, Direction::Responses) => ("HTTP/1.1 200 OK\r\nX: ", "a"),
            (Self::Chunks, Direction::Requests) => (
                "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
                "1\r\nx\r\n",
            ),
            (Self::Chunks, Direction::Responses) => (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                "1\r\nx\r\n",
            ),
            (Self::Pipeline, Direction::Requests) => ("", GET),
            (Self::Unlike, Direction::Requests) => ("", UNLIKE),
            (Self::Pipeline, Direction::Responses) => {
                ("", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            }
            (Self::Unlike, Direction::Responses) => (
                "",
                "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 404 Not\r\nContent-Length: 0\r\n\r\n",
            ),
            (Self::Tokens, _) => ("", "a"),
        }
    }
}

impl Case {
    /// All of them, the sizes of one beside each other.
    pub fn all() -> impl Iterator<Item = Self> {
        Direction::ALL.into_iter().flat_map(|direction| {
            Content::ALL.into_iter().flat_map(move |content| {
                SIZES.map(|size| Self {
                    content,
                    direction,
                    size,
                })
            })
        })
    }

    /// The bytes; the last message may be cut.
    pub fn bytes(self) -> Vec<u8> {
        let (start, repeated) = self.content.parts(self.direction);
        start
            .bytes()
            .chain(repeated.bytes().cycle())
            .take(self.size)
            .collect()
    }

    /// What a client asks before: whole requests, in pieces that are followed to their end.
    pub fn requests(self) -> Vec<Vec<u8>> {
        match (self.content, self.direction) {
            (Content::Pipeline | Content::Unlike, Direction::Responses) => {
                let (_, asked) = self.content.parts(Direction::Requests);
                let (_, answered) = self.content.parts(Direction::Responses);
                let pieces = self.size.div_ceil(answered.len() * REPEATED);
                vec![asked.repeat(REPEATED).into(); pieces]
            }
            (_, Direction::Responses) => vec![messages::small().request],
            (_, Direction::Requests) => Vec::new(),
        }
    }
}
