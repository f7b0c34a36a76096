// SPDX-License-Identifier: Apache-2.0
//! Conversations that a person can read and write: the cases in `corpus/`, and what a failed trial prints.
//!
//! In the form of [`crate::cases`]. Each line stands for its text and a CRLF, or, with a backslash at the end, for its text
//! alone. `\r \n \t \\ \xHH` are escapes. `transfers as cut` says that the result depends on the very cuts, so that the case
//! is replayed with these only and the oracle, which knows no cuts, is not asked.
//!
//! In `counts`, `GET 1.1 => 200` is a request and its response, `GET 1.1` an unanswered request and
//! `=> 408` a response to no request. How long the responses took is not said.

use anyhow::{Context, Result, bail};

use crate::account::{Account, Method, Request, Response};
use crate::cases::{self, Written};
use crate::transfer::{Conversation, Direction};

pub struct Case {
    pub name: String,
    pub conversation: Conversation,
    pub as_cut: bool,
    pub expected: Account,
}

pub fn parse(text: &str) -> Result<Vec<Case>> {
    cases::read(text)?.iter().map(case).collect()
}

fn case(written: &Written<'_>) -> Result<Case> {
    let name = written.name.to_owned();
    let as_cut = match written.kind {
        "transfers" => false,
        "transfers as cut" => true,
        kind => bail!("{name}: a block is either `transfers` or `counts`, not `{kind}`"),
    };
    Ok(Case {
        conversation: written.conversation(unescape)?,
        as_cut,
        expected: account(&written.counts).with_context(|| name.clone())?,
        name,
    })
}

/// Appends a line's bytes.
fn unescape(text: &str, bytes: &mut Vec<u8>) -> Result<()> {
    let mut rest = text.as_bytes().iter();
    while let Some(&byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        match rest.next() {
            None => return Ok(()),
            Some(b'r') => bytes.push(b'\r'),
            Some(b'n') => bytes.push(b'\n'),
            Some(b't') => bytes.push(b'\t'),
            Some(b'\\') => bytes.push(b'\\'),
            Some(b'x') => {
                let digits = rest
                    .as_slice()
                    .get(..2)
                    .and_then(|digits| str::from_utf8(digits).ok());
                let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
                bytes.push(byte.with_context(|| format!("`{text}`: \\x needs two digits"))?);
                rest = rest.as_slice()[2..].iter();
            }
            Some(&other) => bail!("`{text}`: unknown escape \\{}", char::from(other)),
        }
    }
    bytes.extend_from_slice(b"\r\n");
    Ok(())
}

fn account(block: &[&str]) -> Result<Account> {
    let mut account = Account::default();
    for line in block {
        let (asked, status) = match line.split_once("=> ") {
            Some((asked, status)) => (asked.trim(), Some(status)),
            None => (*line, None),
        };
        let status = status
            .map(str::parse)
            .transpose()
            .with_context(|| format!("`{line}` has no status"))?;
        let request = if asked.is_empty() {
            None
        } else {
            Some(request(asked)?)
        };
        match (request, status) {
            (Some(request), status) => {
                account.requests.push(request);
                account.responses.extend(status.map(|status| Response {
                    request,
                    status,
                    duration: 0,
                }));
            }
            (None, Some(status)) => account.unmatched.push(status),
            (None, None) => bail!("an empty line counts nothing"),
        }
    }
    Ok(account)
}

fn request(text: &str) -> Result<Request> {
    let (method, version) = match text.split_once(' ') {
        Some((method, "1.1")) => (method, 11),
        Some((method, "1.0")) => (method, 10),
        _ => bail!("`{text}` is no method with a version"),
    };
    let found = Method::from_token(method);
    if found == Method::Other && method != "_OTHER" {
        bail!("`{method}` counts as _OTHER");
    }
    Ok(Request {
        method: found,
        version,
    })
}

/// A conversation in the form that `parse` reads.
pub fn transcript(conversation: &Conversation) -> String {
    let mut text = String::new();
    for transfer in &conversation.transfers {
        let mark = match transfer.direction {
            Direction::Receive => '>',
            Direction::Send => '<',
        };
        let bytes = conversation.bytes(transfer);
        if !transfer.readable {
            text += &format!("{mark}? {}\n\n", bytes.len());
            continue;
        }
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            match line.strip_suffix(b"\r\n") {
                Some(line) => text += &format!("{mark} {}\n", escape(line)),
                None => text += &format!("{mark} {}\\\n", escape(line)),
            }
        }
        text.push('\n');
    }
    text
}

fn escape(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (at, &byte) in bytes.iter().enumerate() {
        match byte {
            b'\\' => text += r"\\",
            b'\r' => text += r"\r",
            b'\n' => text += r"\n",
            b'\t' => text += r"\t",
            // A space that ends a line would be invisible.
            b' ' if at + 1 == bytes.len() => text += r"\x20",
            b' '..=b'~' => text.push(char::from(byte)),
            _ => text += &format!("\\x{byte:02x}"),
        }
    }
    text
}
