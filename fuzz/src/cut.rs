// SPDX-License-Identifier: Apache-2.0
//! Cuts a script into the syscalls of some server: any sizes, any order that cause and effect allow.

use std::ops::Range;

use fastrand::Rng;

use crate::message::{Manner, choose};
use crate::script::{Script, Stream};
use crate::transfer::{Conversation, Direction, Transfer};

/// Most bytes of one transfer: so many, however they look, are followed to their end (`tests/long.rs` has what is not).
const LARGEST: usize = 32 << 10;

/// How a program moves one direction's bytes.
struct Habit {
    largest: usize,
    /// One transfer of plain data in this many goes unseen; 0: none.
    unseen: u8,
    manner: Manner,
    /// Each message is transferred by itself.
    apart: bool,
}

impl Habit {
    fn random(rng: &mut Rng, manner: Manner, stream: &Stream) -> Self {
        let sizes = [1, 3, 16, 100, 1500, 16_384, usize::MAX, usize::MAX];
        let mut smallest = if stream.bytes.len() > 4000 { 3 } else { 0 };
        let apart = manner != Manner::Wild || rng.u8(..4) > 0;
        if apart && rng.u8(..8) > 0 {
            smallest = sizes.len() - 1;
        }
        Self {
            largest: choose(rng, &sizes[smallest..]),
            unseen: choose(rng, &[0, 0, 1, 4]),
            manner,
            apart,
        }
    }

    fn transfer(&self, rng: &mut Rng, stream: &Stream, at: usize, limit: usize) -> (usize, bool) {
        let most = if self.apart {
            limit.min(stream.next_line(at + 1).start) - at
        } else {
            limit - at
        };
        let mut length = match self.largest {
            usize::MAX => most.min(LARGEST),
            largest => rng.usize(1..=largest).min(most),
        };
        let line = stream.next_line(at);
        if self.manner != Manner::Wild && line.start == at {
            length = length.max(line.len());
        }
        let data = stream.data.partition_point(|data| data.end <= at);
        match stream.data.get(data) {
            Some(data) if data.contains(&at) && self.unseen > 0 && rng.u8(..self.unseen) == 0 => {
                (length.min(data.end - at), false)
            }
            _ => (length, true),
        }
    }
}

/// How far a stream may go when the other one has come to `other`.
fn limit(stream: &Stream, other: usize) -> usize {
    let waiting = stream.waits.partition_point(|&(_, needed)| needed <= other);
    stream
        .waits
        .get(waiting)
        .map_or(stream.bytes.len(), |&(offset, _)| offset)
}

pub fn cut(script: Script, manner: Manner, rng: &mut Rng) -> Conversation {
    let receiving = Habit::random(rng, manner, &script.receive);
    let sending = Habit::random(rng, manner, &script.send);
    // From a server that answers at once to one that reads all it can first.
    let eagerness = rng.u8(..8);
    let (mut received, mut sent) = (0, 0);
    let mut transfers = Vec::new();
    loop {
        let receivable = limit(&script.receive, sent);
        let sendable = limit(&script.send, received);
        let direction = match (receivable > received, sendable > sent) {
            (true, true) if rng.u8(..8) < eagerness => Direction::Send,
            (true, _) => Direction::Receive,
            (false, true) => Direction::Send,
            (false, false) => break,
        };
        let (habit, stream, at, limit) = match direction {
            Direction::Receive => (&receiving, &script.receive, &mut received, receivable),
            Direction::Send => (&sending, &script.send, &mut sent, sendable),
        };
        let (length, readable) = habit.transfer(rng, stream, *at, limit);
        transfers.push(Transfer {
            direction,
            range: *at..*at + length,
            readable,
        });
        *at += length;
    }
    let ends = (script.receive.bytes.len(), script.send.bytes.len());
    assert_eq!(
        (received, sent),
        ends,
        "the script waits for something that never happens"
    );
    let (received, sent) = (script.receive.bytes, script.send.bytes);
    Conversation {
        received,
        sent,
        transfers,
    }
}

/// The connection breaks after some transfer; not inside a status line, since whether half of one is an
/// answer is nobody's promise.
pub fn break_off(
    conversation: &Conversation,
    lines: &[Range<usize>],
    rng: &mut Rng,
) -> Conversation {
    let mut kept = rng.usize(..=conversation.transfers.len());
    let sent = |kept: usize| {
        let sends = conversation.transfers[..kept]
            .iter()
            .rfind(|t| t.direction == Direction::Send);
        sends.map_or(0, |send| send.range.end)
    };
    while lines
        .iter()
        .any(|line| line.start < sent(kept) && sent(kept) < line.end)
    {
        kept -= 1;
    }
    let mut broken = Conversation::default();
    for transfer in &conversation.transfers[..kept] {
        broken.push(
            transfer.direction,
            conversation.bytes(transfer),
            transfer.readable,
        );
    }
    broken
}
