// SPDX-License-Identifier: Apache-2.0
//! Conversations that a person can read and write: the cases in `corpus/`, and what a failed trial prints.
//!
//! A Markdown heading names a case; a block `transfers` holds its syscalls and a block `counts` what they
//! must add up to. `>` starts a received line, `<` a sent one; each stands for its text and a CRLF, or, with
//! a backslash at the end, for its text alone. `\r \n \t \\ \xHH` are escapes. Lines that follow each other
//! are one transfer, an empty line cuts. `>? 500` is a transfer of 500 bytes of which only the number is
//! known. `transfers as cut` says that the result depends on the very cuts, so that the case is
//! replayed with these only and the oracle, which knows no cuts, is not asked.
//!
//! In `counts`, `GET 1.1 => 200` is a request and its response, `GET 1.1` an unanswered request and
//! `=> 408` a response to no request. How long the responses took is not said.

use anyhow::{Context, Result, bail};

use crate::account::{Account, Method, Request, Response};
use crate::transfer::{Conversation, Direction};

pub struct Case {
    pub name: String,
    pub conversation: Conversation,
    pub as_cut: bool,
    pub expected: Account,
}

pub fn parse(text: &str) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    let mut lines = text.lines();
    let mut name = "";
    let mut transfers = None;
    while let Some(line) = lines.next() {
        if let Some(heading) = line.strip_prefix("## ") {
            name = heading;
        } else if let Some(kind) = line.strip_prefix("```") {
            let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            match kind {
                "transfers" | "transfers as cut" => {
                    let conversation = conversation(&block).with_context(|| name.to_owned())?;
                    transfers = Some((conversation, kind != "transfers"));
                }
                "counts" => {
                    let (conversation, as_cut) = transfers
                        .take()
                        .with_context(|| format!("{name}: counts without transfers"))?;
                    let expected = account(&block).with_context(|| name.to_owned())?;
                    cases.push(Case {
                        name: name.to_owned(),
                        conversation,
                        as_cut,
                        expected,
                    });
                }
                _ => bail!("{name}: a block is either `transfers` or `counts`, not `{kind}`"),
            }
        }
    }
    match transfers {
        Some(_) => bail!("{name}: transfers without counts"),
        None => Ok(cases),
    }
}

fn conversation(block: &[&str]) -> Result<Conversation> {
    let mut conversation = Conversation::default();
    // The transfer being read, until a cut or the other direction ends it.
    let mut open: Option<(Direction, Vec<u8>)> = None;
    for line in block.iter().chain(&[""]) {
        let (direction, rest) = match line.split_at_checked(1) {
            Some((">", rest)) => (Some(Direction::Receive), rest),
            Some(("<", rest)) => (Some(Direction::Send), rest),
            None => (None, ""),
            Some(_) => bail!("`{line}` starts with neither > nor <"),
        };
        let unseen = rest.strip_prefix("? ");
        if let Some((last, bytes)) =
            open.take_if(|(last, _)| unseen.is_some() || Some(*last) != direction)
        {
            conversation.push(last, &bytes, true);
        }
        let Some(direction) = direction else { continue };
        if let Some(count) = unseen {
            let count = count
                .parse()
                .with_context(|| format!("`{line}` has no number of bytes"))?;
            conversation.push(direction, &vec![b'?'; count], false);
        } else {
            let (_, bytes) = open.get_or_insert((direction, Vec::new()));
            unescape(rest.strip_prefix(' ').unwrap_or(rest), bytes)?;
        }
    }
    Ok(conversation)
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
