// SPDX-License-Identifier: Apache-2.0
//! Transfers of as many steps as one may take, and of more: those are lost, and said to be.

use http1_fuzz::http1::{self, Followed, Way};
use http1_fuzz::transfer::{Conversation, Direction};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\n\r\n";
/// What is well-formed is followed to its end in transfers of this size.
const FOLLOWED: usize = 64 << 10;
/// As much as one system call may move of a buffer that somebody made for this.
const HOSTILE: usize = 1 << 20;

/// A receive of these bytes, and another of one request.
fn receive(bytes: &[u8]) -> Followed {
    let mut conversation = Conversation::default();
    conversation.push(Direction::Receive, bytes, true);
    conversation.push(Direction::Receive, REQUEST, true);
    http1::follow(&conversation, Way::OneBuffer)
}

/// That all requests were counted, the one in the second receive among them, and whether the first one was lost.
fn assert_counted(bytes: &[u8], requests: usize, lost: bool) {
    let followed = receive(bytes);
    let counted = followed.account.requests.len();
    assert_eq!((counted, followed.lost), (requests + 1, lost.into()));
}

/// Equal parts, as many as fit.
fn repeated(part: &[u8], size: usize) -> (Vec<u8>, usize) {
    let count = size / part.len();
    (part.repeat(count), count)
}

fn upload(chunk: &[u8], size: usize) -> Vec<u8> {
    let mut bytes = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    bytes.extend(repeated(chunk, size - 200).0);
    bytes.extend(b"0\r\n\r\n");
    bytes.extend(REQUEST);
    bytes
}

#[test]
fn a_pipeline_of_the_shortest_heads_is_counted() {
    let (like, count) = repeated(b"GET / HTTP/1.1\r\nHost: a.b\r\n\r\n", FOLLOWED);
    assert_counted(&like, count, false);
    let (pair, count) = repeated(
        b"GET / HTTP/1.1\r\nHost: a.b\r\n\r\nPUT / HTTP/1.0\r\nHost: a.b\r\n\r\n",
        FOLLOWED,
    );
    assert_counted(&pair, 2 * count, false);
}

#[test]
fn pipelines_of_heads_of_any_length_are_counted() {
    for length in [31, 100, 333, 1000, 1024, 1025, 3000, 15_000] {
        let mut head = b"GET / HTTP/1.1\r\nX: ".to_vec();
        head.resize(length - 4, b'x');
        head.extend(b"\r\n\r\n");
        let (pipeline, count) = repeated(&head, FOLLOWED);
        assert_counted(&pipeline, count, false);
    }
}

#[test]
fn chunks_of_sixteen_bytes_are_followed() {
    for chunk in [
        "10\r\n0123456789abcdef\r\n".as_bytes(),
        b"1F\r\nGET / HTTP/1.1\r\n\r\n0123456789abc\r\n",
        b"20;name=value\r\n0123456789abcdef0123456789abcdef\r\n",
    ] {
        assert_counted(&upload(chunk, FOLLOWED), 2, false);
    }
}

#[test]
fn a_head_of_64_kib_is_followed() {
    for line in [
        "X-Header: some value or other",
        "Cookie: a=b",
        "c: d",
        "T: x",
    ] {
        let mut head = b"GET / HTTP/1.1\r\n".to_vec();
        while head.len() + line.len() + 4 < FOLLOWED {
            head.extend(line.as_bytes());
            head.extend(b"\r\n");
        }
        head.extend(b"\r\n");
        assert_counted(&head, 1, false);
    }
}

#[test]
fn what_takes_too_long_is_lost_until_the_next_receive() {
    assert_counted(&upload(b"1\r\nx\r\n", HOSTILE), 1, true);
    let (pipeline, _) = repeated(REQUEST, HOSTILE);
    let followed = receive(&pipeline);
    let counted = followed.account.requests.len();
    assert!((2..HOSTILE / REQUEST.len()).contains(&counted), "{counted}");
    assert_eq!(followed.lost, 1);
}

#[test]
fn what_no_server_takes_is_no_request() {
    let mut method = b"A".repeat(25);
    method.extend(b" / HTTP/1.1\r\n\r\n");
    assert_counted(&method, 0, false);
    assert_counted(&method[1..], 1, false);
    let target = |length| [b"GET /", &*b"x".repeat(length), b" HTTP/1.1\r\n\r\n"].concat();
    assert_counted(&target(16 << 10), 0, false);
    assert_counted(&target(15 << 10), 1, false);
}

/// A connection that goes on with letters, 64 KiB at a time, for which nothing is walked once they are no method.
#[test]
fn letters_without_a_blank_take_no_steps() {
    const TRANSFERS: usize = 16;
    let mut conversation = Conversation::default();
    conversation.push(Direction::Receive, REQUEST, true);
    for _ in 0..TRANSFERS {
        conversation.push(Direction::Receive, &[b'A'; FOLLOWED], true);
    }
    conversation.push(Direction::Receive, REQUEST, true);
    let followed = http1::follow(&conversation, Way::OneBuffer);
    assert_eq!(followed.account.requests.len(), 2);
    assert!(followed.steps < 32 * TRANSFERS, "{} steps", followed.steps);
}
