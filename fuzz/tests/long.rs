// SPDX-License-Identifier: Apache-2.0
//! Transfers of as many steps as one may take, and of more: those are lost, and said to be.

use http1_fuzz::http1::{self, Way};
use http1_fuzz::transfer::{Conversation, Direction};

/// A request in chunks of one byte, each six steps of the state machine; another in a receive of its own.
fn chunks(count: usize) -> Conversation {
    let mut first = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    first.extend(b"1\r\nx\r\n".repeat(count));
    first.extend(b"0\r\n\r\nGET / HTTP/1.1\r\n\r\n");
    let mut conversation = Conversation::default();
    conversation.push(Direction::Receive, &first, true);
    conversation.push(Direction::Receive, b"GET / HTTP/1.1\r\n\r\n", true);
    conversation
}

#[test]
fn a_receive_of_a_megabyte_of_tiny_chunks_is_followed_to_its_end() {
    let followed = http1::follow(&chunks(174_000), Way::OneBuffer);
    assert_eq!((followed.account.requests.len(), followed.lost), (3, 0));
}

#[test]
fn a_longer_one_is_lost_until_the_next_receive() {
    let followed = http1::follow(&chunks(175_000), Way::OneBuffer);
    assert_eq!((followed.account.requests.len(), followed.lost), (2, 1));
}
