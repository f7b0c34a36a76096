// SPDX-License-Identifier: Apache-2.0
//! Conversations of which a part is not seen: joined in the middle, or with a receive that is blind.
//!
//! Where counting starts again depends on the cuts, so the expectation comes with the conversation. It is
//! kept to what nobody can doubt: one request at a time, start lines in one piece, and nothing that looks
//! like a message where none starts.

use std::ops::Range;

use fastrand::Rng;

use crate::account::{Account, Method, Request, Response};
use crate::conversation::{any_request, final_response, interim_response};
use crate::cut::cut;
use crate::message::{Manner, choose};
use crate::script::Script;
use crate::transfer::{Conversation, Direction};

struct Exchange {
    request: Request,
    line: Range<usize>,
    status: u16,
    /// Where the response begins.
    answer: usize,
}

fn exchanges(rng: &mut Rng) -> (Conversation, Vec<Exchange>) {
    let mut script = Script::default();
    let (manner, methods) = choose(
        rng,
        &[
            (Manner::Tame, &["GET", "HEAD", "POST", "PUT", "PROPFIND"]),
            (Manner::Neat, &["GET", "HEAD", "POST", "PUT", "DELETE"]),
        ],
    );
    let mut exchanges = Vec::new();
    for _ in 0..rng.u8(1..6) {
        let method = choose(rng, methods);
        script.client_waits();
        let start = script.receive.bytes.len();
        let asking = any_request(rng, manner, method);
        script.receive.push(&asking);
        if rng.u8(..4) == 0 {
            script.server_waits(start + asking.head);
            let interim = interim_response(rng, manner);
            script.send.push(&interim);
        }
        script.server_waits(script.receive.bytes.len());
        let answering = final_response(rng, manner, method);
        let line = start + asking.line.start..start + asking.line.end;
        let first_line = asking.bytes.split(|byte| *byte == b'\n').next();
        let old = first_line.is_some_and(|line| line.trim_ascii_end().ends_with(b"1.0"));
        exchanges.push(Exchange {
            request: Request {
                method: Method::from_token(method),
                version: if old { 10 } else { 11 },
            },
            line,
            status: status(&answering.bytes),
            answer: script.send.bytes.len(),
        });
        script.send.push(&answering);
    }
    (cut(script, manner, rng), exchanges)
}

/// The three digits after `HTTP/1.x `.
fn status(response: &[u8]) -> u16 {
    response[9..12]
        .iter()
        .fold(0, |status, digit| 10 * status + u16::from(digit - b'0'))
}

/// The agent starts while the connection is in use.
pub fn joined(seed: u64) -> (Conversation, Account) {
    let rng = &mut Rng::with_seed(seed);
    let (whole, exchanges) = exchanges(rng);
    let missed = rng.usize(..=whole.transfers.len());
    let received = whole.transfers[..missed]
        .iter()
        .rfind(|transfer| transfer.direction == Direction::Receive)
        .map_or(0, |transfer| transfer.range.end);
    let mut account = Account::default();
    for exchange in exchanges {
        if exchange.line.start >= received {
            account.count(&whole, &exchange);
        }
    }
    (whole.without_first(missed), account)
}

/// The bytes of one receive cannot be read. Where it is the first, nothing is known of the connection yet.
pub fn blinded(seed: u64) -> (Conversation, Account) {
    let rng = &mut Rng::with_seed(seed);
    let (mut whole, exchanges) = exchanges(rng);
    let receives = whole
        .transfers
        .iter_mut()
        .filter(|t| t.direction == Direction::Receive);
    let mut receives: Vec<_> = receives.collect();
    let chosen = rng.usize(..receives.len());
    receives[chosen].readable = false;
    let blind = receives[chosen].range.clone();
    let mut account = Account::default();
    for exchange in exchanges {
        if !blind.contains(&exchange.line.start) {
            account.count(&whole, &exchange);
        } else if blind.start > 0 {
            account.unmatched.push(exchange.status);
        }
    }
    (whole, account)
}

impl Account {
    fn count(&mut self, whole: &Conversation, exchange: &Exchange) {
        let Exchange {
            request, status, ..
        } = *exchange;
        let asked = whole.moment(Direction::Receive, exchange.line.start);
        let answered = whole.moment(Direction::Send, exchange.answer);
        self.requests.push(request);
        self.responses.push(Response {
            request,
            status,
            duration: answered - asked,
        });
    }
}
