// SPDX-License-Identifier: Apache-2.0
//! Random requests and responses, byte by byte as peers really write them and as attackers would.

use std::ops::Range;

use fastrand::Rng;

/// How wild the bytes may be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Anything that servers serve.
    Wild,
    /// Nothing that could be taken for a message where none starts: for streams joined in the middle.
    Tame,
    /// Short heads as nearly all programs write them, and bodies that could be the beginning of a method.
    Neat,
}

pub enum Body {
    Absent,
    Length(Vec<u8>),
    Chunked(Vec<u8>),
    /// Ends with the connection.
    UntilClose(Vec<u8>),
    /// Headers that promise a body which, by the rules, is not there: HEAD, 204, 304, a tunnel's 200.
    OnlyPromised,
}

/// A message and the places in it that matter for cutting.
pub struct Message {
    pub bytes: Vec<u8>,
    /// What is transferred in one piece where streams are joined in the middle: the start line, of a neat
    /// message the whole head.
    pub line: Range<usize>,
    pub head: usize,
    /// Body bytes without structure, which a program may move without ever mapping them.
    pub data: Vec<Range<usize>>,
}

const LOOKALIKES: [&str; 20] = [
    "Content-Lengths: 6",
    "Content-Length\u{e9}: 6",
    "Content_Length: 8",
    "Content-Type: 1",
    "Contentlength: 2",
    "Transfer-Encodings: chunked",
    "Transfer-Encodin: chunked",
    "Transfer_Encoding: chunked",
    "X-Content-Length: 10",
    "Content-Length-X: 7",
    "Content-Lengthy: 3",
    "Content-Lengt: 4",
    "Content: 9",
    "T: chunked",
    "TE: trailers, chunked",
    "Transfer-Encodingx: chunked",
    "X-Transfer-Encoding: chunked",
    "Transfer: chunked",
    "X-Note: Content-Length: 5",
    "X-Folded: a\r\n Content-Length: 9\r\n\tTransfer-Encoding: chunked",
];

const EVERYDAY: [&str; 8] = [
    "Host: example.org",
    "User-Agent: test/1.0 (X11; Linux)",
    "Accept: */*",
    "Content-Type: text/plain; charset=utf-8",
    "Cookie: a=b; c=\"d e\"",
    "X-Empty:",
    "Cache-Control: no-cache",
    "X-Latin: D\u{fc}sseldorf",
];

/// Bodies made of these count as something for whoever reads bodies.
const TRAPS: [&str; 8] = [
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST /x HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc",
    "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 500 \r\n\r\n",
    "\r\n0\r\n\r\n",
    "\r\n\r\n",
    "\n\n",
    "5\r\nhello\r\n",
];

pub fn request(rng: &mut Rng, manner: Manner, start: &str, extra: &[&str], body: Body) -> Message {
    let neat = is_neat(rng, manner);
    let empty_lines = if manner == Manner::Wild && !neat && rng.u8(..4) == 0 {
        rng.usize(1..4)
    } else {
        0
    };
    let mut bytes = Vec::new();
    for _ in 0..empty_lines {
        bytes.extend_from_slice(if rng.u8(..4) == 0 { b"\n" } else { b"\r\n" });
    }
    message(rng, manner, neat, bytes, start, extra, body)
}

pub fn response(rng: &mut Rng, manner: Manner, start: &str, extra: &[&str], body: Body) -> Message {
    let neat = is_neat(rng, manner);
    message(rng, manner, neat, Vec::new(), start, extra, body)
}

/// Whether a head looks like that of nearly all programs: one blank after the colon, CR LF, and no more.
fn is_neat(rng: &mut Rng, manner: Manner) -> bool {
    manner == Manner::Neat || rng.u8(..4) > 0
}

fn message(
    rng: &mut Rng,
    manner: Manner,
    neat: bool,
    mut bytes: Vec<u8>,
    start: &str,
    extra: &[&str],
    body: Body,
) -> Message {
    let mut fields: Vec<Vec<u8>> = extra
        .iter()
        .map(|field| field.as_bytes().to_vec())
        .collect();
    fields.extend(framing(rng, neat, &body));
    for _ in 0..rng.u8(..4) {
        fields.push(idle_field(rng, manner));
    }
    if manner == Manner::Wild && rng.u8(..32) == 0 {
        fields.extend(filler(rng, start, &fields));
    }
    rng.shuffle(&mut fields);
    let line_endings = if !neat && rng.bool() {
        rng.u8(1..=2)
    } else {
        0
    };
    let end_line = |rng: &mut Rng, bytes: &mut Vec<u8>| {
        let bare = line_endings == 1 || line_endings == 2 && rng.bool();
        bytes.extend_from_slice(if bare { b"\n" } else { b"\r\n" });
    };
    let line = bytes.len();
    bytes.extend_from_slice(start.as_bytes());
    end_line(rng, &mut bytes);
    let line = line..bytes.len();
    for field in fields {
        bytes.extend_from_slice(&field);
        end_line(rng, &mut bytes);
    }
    end_line(rng, &mut bytes);
    let line = if manner == Manner::Neat {
        0..bytes.len()
    } else {
        line
    };
    let mut message = Message {
        head: bytes.len(),
        bytes,
        line,
        data: Vec::new(),
    };
    match body {
        Body::Absent | Body::OnlyPromised => {}
        Body::Length(content) | Body::UntilClose(content) => message.push_data(&content),
        Body::Chunked(content) => message.push_chunks(rng, manner, &content),
    }
    message
}

impl Message {
    fn push_data(&mut self, content: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(content);
        self.data.push(start..self.bytes.len());
    }

    fn push_chunks(&mut self, rng: &mut Rng, manner: Manner, mut content: &[u8]) {
        let largest = choose(rng, &[1, 7, 100, 4096, usize::MAX]);
        let largest = largest.max(content.len() / 500);
        while !content.is_empty() {
            let (chunk, rest) = content.split_at(rng.usize(1..=largest.min(content.len())));
            self.push_chunk_line(rng, chunk.len());
            self.push_data(chunk);
            self.bytes.extend_from_slice(b"\r\n");
            content = rest;
        }
        self.push_chunk_line(rng, 0);
        if rng.u8(..4) == 0 {
            for _ in 0..rng.u8(1..4) {
                let trailer = idle_field(rng, Manner::Tame);
                self.bytes.extend_from_slice(&trailer);
                self.bytes.extend_from_slice(b"\r\n");
            }
            if manner == Manner::Wild {
                self.bytes
                    .extend_from_slice(b"Content-Length: 5\r\nX: GET / HTTP/1.1\r\n");
            }
        }
        self.bytes.extend_from_slice(b"\r\n");
    }

    fn push_chunk_line(&mut self, rng: &mut Rng, size: usize) {
        const EXTENSIONS: [&str; 6] = [
            ";a",
            ";a=b",
            " ; a=b",
            ";name=\"quoted; \\\"more\\\"\"",
            ";a;b=c;d",
            ";q=\"0\"",
        ];
        let zeros = if rng.u8(..8) == 0 { rng.usize(1..8) } else { 0 };
        let digits = if rng.bool() {
            format!("{size:x}")
        } else {
            format!("{size:X}")
        };
        self.bytes.extend(std::iter::repeat_n(b'0', zeros));
        self.bytes.extend_from_slice(digits.as_bytes());
        if rng.u8(..4) == 0 {
            self.bytes
                .extend_from_slice(choose(rng, &EXTENSIONS).as_bytes());
        }
        if rng.u8(..100) == 0 {
            self.bytes.push(b';');
            self.bytes
                .extend(std::iter::repeat_n(b'e', rng.usize(1..3000)));
        }
        self.bytes.extend_from_slice(b"\r\n");
    }
}

/// The headers that say how long the body is.
fn framing(rng: &mut Rng, neat: bool, body: &Body) -> Vec<Vec<u8>> {
    let length = |rng: &mut Rng, length: usize| {
        let zeros = if !neat && rng.u8(..4) == 0 {
            rng.usize(1..5)
        } else {
            0
        };
        field(
            rng,
            neat,
            "Content-Length",
            &format!("{}{length}", "0".repeat(zeros)),
        )
    };
    match body {
        Body::Absent => Vec::new(),
        Body::Length(content) => {
            let copies = if !neat && rng.u8(..4) == 0 { 2 } else { 1 };
            vec![length(rng, content.len()); copies]
        }
        Body::Chunked(_) => {
            let coding = match rng.u8(..8) {
                0 if !neat => "gzip, chunked",
                1 if !neat => "Chunked",
                _ => "chunked",
            };
            let mut fields = vec![field(rng, neat, "Transfer-Encoding", coding)];
            if rng.u8(..16) == 0 {
                // Transfer-Encoding wins.
                let lie = rng.usize(..1000);
                fields.push(length(rng, lie));
            }
            fields
        }
        Body::UntilClose(_) => match rng.u8(..4) {
            0 => vec![field(rng, neat, "Transfer-Encoding", "gzip")],
            _ => Vec::new(),
        },
        Body::OnlyPromised => match rng.u8(..3) {
            0 => Vec::new(),
            1 => vec![field(rng, neat, "Transfer-Encoding", "chunked")],
            _ => {
                let digits = rng.u32(1..10);
                let promise = rng.usize(..10_usize.pow(digits));
                vec![length(rng, promise)]
            }
        },
    }
}

/// A field that says nothing about the framing.
fn idle_field(rng: &mut Rng, manner: Manner) -> Vec<u8> {
    match rng.u16(..1000) {
        0 if manner != Manner::Neat => long_field(rng, 1000..64_000),
        1..50 if manner != Manner::Neat => long_field(rng, 100..600),
        50..200 if manner == Manner::Wild => latin1(choose(rng, &LOOKALIKES)),
        200..250 if manner == Manner::Wild => b"X-Note: GET / HTTP/1.1".to_vec(),
        _ => latin1(choose(rng, &EVERYDAY)),
    }
}

fn long_field(rng: &mut Rng, length: Range<usize>) -> Vec<u8> {
    let value = "x".repeat(rng.usize(length));
    format!("X-Long: {value}").into_bytes()
}

/// A field with which the head ends near the end of the kernel's window.
fn filler(rng: &mut Rng, start: &str, fields: &[Vec<u8>]) -> Option<Vec<u8>> {
    let lines: usize = fields.iter().map(|field| field.len() + 2).sum();
    let others = start.len() + lines + "\r\nX-Long: \r\n\r\n".len();
    let room = rng.usize(1000..1050).checked_sub(others)?;
    Some(long_field(rng, room..room + 1))
}

/// Header values are bytes, and those over 0x7f no UTF-8.
fn latin1(text: &str) -> Vec<u8> {
    text.chars()
        .map(|c| u8::try_from(c).unwrap_or(b'?'))
        .collect()
}

fn field(rng: &mut Rng, neat: bool, name: &str, value: &str) -> Vec<u8> {
    let name = match rng.u8(..8) {
        0 => name.to_ascii_lowercase(),
        1 => name.to_ascii_uppercase(),
        2 => name
            .chars()
            .map(|c| {
                if rng.bool() {
                    c.to_ascii_lowercase()
                } else {
                    c.to_ascii_uppercase()
                }
            })
            .collect(),
        _ => name.to_owned(),
    };
    let (before, after) = if neat {
        (" ", "")
    } else {
        let before = choose(rng, &[" ", "", "  ", "\t", " \t "]);
        (before, choose(rng, &["", "", " ", "\t", "  \t"]))
    };
    format!("{name}:{before}{value}{after}").into_bytes()
}

/// Bytes for a body: mostly few, seldom very many, sometimes a trap.
pub fn content(rng: &mut Rng, manner: Manner) -> Vec<u8> {
    let length = match rng.u16(..1000) {
        0..150 => 0,
        150..800 => rng.usize(1..64),
        800..980 => rng.usize(64..2_000),
        980..998 => rng.usize(2_000..20_000),
        _ => rng.usize(20_000..100_000),
    };
    match rng.u8(..4) {
        0 | 1 if manner == Manner::Wild => {
            let mut content = Vec::with_capacity(length);
            while content.len() < length {
                content.extend_from_slice(choose(rng, &TRAPS).as_bytes());
            }
            content.truncate(length);
            content
        }
        2 if manner == Manner::Wild => {
            let mut content = vec![0; length];
            rng.fill(&mut content);
            content
        }
        // Nothing that could begin a method.
        _ if manner == Manner::Tame => vec![b'('; length],
        _ => vec![rng.alphabetic() as u8; length],
    }
}

pub fn choose<T: Copy>(rng: &mut Rng, items: &[T]) -> T {
    items[rng.usize(..items.len())]
}
