// SPDX-License-Identifier: Apache-2.0
//! The two byte streams of a conversation before it is cut, and what must have happened before what.

use std::ops::Range;

use crate::message::Message;

/// One direction.
#[derive(Default)]
pub struct Stream {
    pub bytes: Vec<u8>,
    /// (offset, other): bytes from `offset` on follow the first `other` bytes of the opposite stream.
    /// Both ascend.
    pub waits: Vec<(usize, usize)>,
    /// Bytes that may be transferred unseen.
    pub data: Vec<Range<usize>>,
    /// Start lines.
    pub lines: Vec<Range<usize>>,
}

#[derive(Default)]
pub struct Script {
    pub receive: Stream,
    pub send: Stream,
}

impl Script {
    /// The client writes nothing more before everything that was sent so far has arrived.
    pub fn client_waits(&mut self) {
        self.receive
            .waits
            .push((self.receive.bytes.len(), self.send.bytes.len()));
    }

    /// The server writes nothing more before it has received everything up to `received`.
    pub fn server_waits(&mut self, received: usize) {
        self.send.waits.push((self.send.bytes.len(), received));
    }
}

impl Stream {
    /// The first start line from `at` on, or the end of the stream.
    pub fn next_line(&self, at: usize) -> Range<usize> {
        let next = self.lines.partition_point(|line| line.start < at);
        self.lines
            .get(next)
            .cloned()
            .unwrap_or(self.bytes.len()..self.bytes.len())
    }

    pub fn push(&mut self, message: &Message) {
        self.push_head(message);
        self.push_body(message);
    }

    pub fn push_head(&mut self, message: &Message) {
        let start = self.bytes.len();
        self.lines
            .push(start + message.line.start..start + message.line.end);
        self.bytes.extend_from_slice(&message.bytes[..message.head]);
    }

    pub fn push_body(&mut self, message: &Message) {
        let start = self.bytes.len() - message.head;
        let data = message.data.iter().filter(|data| !data.is_empty());
        self.data
            .extend(data.map(|data| start + data.start..start + data.end));
        self.bytes.extend_from_slice(&message.bytes[message.head..]);
    }
}
