// SPDX-License-Identifier: Apache-2.0
//! A conversation as a server process sees it: what it received and sent, syscall by syscall.

use std::ops::Range;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Receive,
    Send,
}

/// The bytes of one syscall, as a range of its direction's stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    pub direction: Direction,
    pub range: Range<usize>,
    /// False where only the length can be known: `sendfile`, `splice`.
    pub readable: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conversation {
    pub received: Vec<u8>,
    pub sent: Vec<u8>,
    /// In program order. The ranges of one direction cover its stream without gaps.
    pub transfers: Vec<Transfer>,
}

impl Conversation {
    pub fn stream(&self, direction: Direction) -> &[u8] {
        match direction {
            Direction::Receive => &self.received,
            Direction::Send => &self.sent,
        }
    }

    pub fn bytes(&self, transfer: &Transfer) -> &[u8] {
        &self.stream(transfer.direction)[transfer.range.clone()]
    }

    /// The number of the transfer that moves a byte of a stream.
    pub fn moment(&self, direction: Direction, at: usize) -> u64 {
        let moves =
            |transfer: &Transfer| transfer.direction == direction && transfer.range.contains(&at);
        self.transfers
            .iter()
            .position(moves)
            .expect("each byte is moved") as u64
    }

    pub fn push(&mut self, direction: Direction, bytes: &[u8], readable: bool) {
        let stream = match direction {
            Direction::Receive => &mut self.received,
            Direction::Send => &mut self.sent,
        };
        let start = stream.len();
        stream.extend_from_slice(bytes);
        let range = start..stream.len();
        self.transfers.push(Transfer {
            direction,
            range,
            readable,
        });
    }

    /// The same conversation by a program that transfers at most `size` bytes at once.
    pub fn in_pieces(&self, size: usize) -> Self {
        let mut pieces = Self::default();
        for transfer in &self.transfers {
            for piece in self.bytes(transfer).chunks(size) {
                pieces.push(transfer.direction, piece, transfer.readable);
            }
        }
        pieces
    }

    /// The same conversation by a program that transfers as much at once as it can.
    pub fn joined_up(&self) -> Self {
        let same =
            |a: &Transfer, b: &Transfer| (a.direction, a.readable) == (b.direction, b.readable);
        let mut whole = Self::default();
        for run in self.transfers.chunk_by(same) {
            let (first, last) = (&run[0], &run[run.len() - 1]);
            let bytes = &self.stream(first.direction)[first.range.start..last.range.end];
            whole.push(first.direction, bytes, first.readable);
        }
        whole
    }

    /// What is seen of the conversation by who comes when `count` transfers are over.
    pub fn without_first(&self, count: usize) -> Self {
        let mut rest = Self::default();
        for transfer in &self.transfers[count..] {
            rest.push(transfer.direction, self.bytes(transfer), transfer.readable);
        }
        rest
    }
}
