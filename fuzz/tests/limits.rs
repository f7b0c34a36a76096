// SPDX-License-Identifier: Apache-2.0
//! Where a number ends: the size of heads, of lengths, of chunks, and that none of them adds up from one message to the next.

use http1_fuzz::http1::{self, Followed, Way};
use http1_fuzz::transfer::{Conversation, Direction};

const GET: &[u8] = b"GET / HTTP/1.1\r\n\r\n";
const KIB: usize = 1 << 10;

/// These bytes by transfers that can be followed in full.
fn push(conversation: &mut Conversation, direction: Direction, bytes: &[u8]) {
    for part in bytes.chunks(8 * KIB) {
        conversation.push(direction, part, true);
    }
}

fn receive(bytes: &[u8]) -> Followed {
    let mut conversation = Conversation::default();
    push(&mut conversation, Direction::Receive, bytes);
    http1::follow(&conversation, Way::OneBuffer)
}

fn requests(bytes: &[u8]) -> (usize, usize) {
    let followed = receive(bytes);
    (followed.account.requests.len(), followed.lost)
}

/// A message of this length that ends with its head.
fn head(first_line: &str, length: usize) -> Vec<u8> {
    let mut head = first_line.as_bytes().to_vec();
    while head.len() + 1000 < length {
        head.extend([b"A: ", &[b'a'; 500][..], b"\r\n"].concat());
    }
    head.extend(b"A: ");
    head.resize(length - 4, b'a');
    head.extend(b"\r\n\r\n");
    head
}

fn request(length: usize) -> Vec<u8> {
    head("PUT / HTTP/1.1\r\n", length)
}

#[test]
fn heads_of_256_kib_are_heads() {
    let limit = 256 * KIB;
    let counted = |length| requests(&[&request(length), GET].concat());
    assert_eq!(counted(limit - 16), (2, 0));
    assert_eq!(counted(limit + 16).1, 1);
    // To the byte, where they come byte by byte.
    let lost = |asked: &[u8], answered: &[u8]| {
        let mut conversation = Conversation::default();
        for byte in asked.chunks(1) {
            conversation.push(Direction::Receive, byte, true);
        }
        for byte in answered.chunks(1) {
            conversation.push(Direction::Send, byte, true);
        }
        http1::follow(&conversation, Way::OneBuffer).lost
    };
    let response = |length| head("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", length);
    assert_eq!(lost(&request(limit + 1), b""), 0);
    assert_eq!(lost(&request(limit + 2), b""), 1);
    assert_eq!(lost(GET, &response(limit + 1)), 0);
    assert_eq!(lost(GET, &response(limit + 2)), 1);
}

#[test]
fn request_lines_of_16_kib_are_request_lines() {
    for (length, expected) in [(16 * KIB + 1, 1), (16 * KIB + 2, 0)] {
        let target = "x".repeat(length - "GET / HTTP/1.1\r\n".len());
        let head = format!("GET /{target} HTTP/1.1\r\n\r\n");
        let mut conversation = Conversation::default();
        for byte in head.as_bytes().chunks(1) {
            conversation.push(Direction::Receive, byte, true);
        }
        let followed = http1::follow(&conversation, Way::OneBuffer);
        assert_eq!(followed.account.requests.len(), expected, "{length}");
    }
}

/// Blanks before the version, so that heads are never taken at once.
#[test]
fn heads_are_measured_one_by_one() {
    let unusual = |length: usize| {
        let mut head = b"GET  / HTTP/1.1\r\nA: ".to_vec();
        head.resize(length - 4, b'a');
        head.extend(b"\r\n\r\n");
        head
    };
    assert_eq!(requests(&unusual(10_000).repeat(100)), (100, 0));
    let mut conversation = Conversation::default();
    push(&mut conversation, Direction::Receive, &GET.repeat(100));
    let mut answer = b"HTTP/1.1 200 OK\r\nContent-Length:  0\r\nA: ".to_vec();
    answer.resize(10_000, b'a');
    answer.extend(b"\r\n\r\n");
    push(&mut conversation, Direction::Send, &answer.repeat(100));
    let followed = http1::follow(&conversation, Way::OneBuffer);
    assert_eq!((followed.account.responses.len(), followed.lost), (100, 0));
}

#[test]
fn trailers_are_measured_without_the_chunks() {
    let mut bytes = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    bytes.extend(b"00000000000000000001;name=value\r\nx\r\n".repeat(10_000));
    bytes.extend(b"0\r\nA: b\r\n\r\n");
    bytes.extend(GET);
    assert_eq!(requests(&bytes), (2, 0));
}

/// What is well-formed, if hardly possible, is waited for; what no counter would hold is lost.
#[test]
fn lengths_and_sizes_have_a_limit() {
    let length = |digits: &str| {
        let head = format!("POST / HTTP/1.1\r\nContent-Length: {digits}\r\n\r\n");
        requests(&[head.as_bytes(), GET].concat())
    };
    assert_eq!(length("2882303761517117439"), (1, 0));
    assert_eq!(length("2882303761517117440"), (1, 1));
    let chunk = |digits: &str| {
        let head = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        requests(&[head.as_bytes(), digits.as_bytes(), b"\r\n", GET].concat())
    };
    assert_eq!(chunk("fffffffffffffff"), (1, 0));
    assert_eq!(chunk("1000000000000000"), (1, 1));
}

/// A line end is worth nothing, however often it comes: a PROXY header of version 2 begins with exactly two.
#[test]
fn empty_lines_do_not_add_up_to_a_proxy_header() {
    let proxy = b"\0\r\nQUIT\n\x21\x11\0\0";
    for (lines, requests) in [(1, 0), (2, 1), (3, 0), (127, 0), (130, 0), (258, 0)] {
        let bytes = [&*b"\r\n".repeat(lines), proxy, GET].concat();
        let counted = receive(&bytes).account.requests.len();
        assert_eq!(counted, requests, "{lines}");
    }
    assert_eq!(requests(&[&*b"\r\n".repeat(400), GET].concat()), (1, 0));
}

/// What follows a body is looked at, however much of it one transfer has.
#[test]
fn bodies_are_skipped_in_one_step() {
    const LENGTH: usize = 1 << 20;
    let head = format!("POST / HTTP/1.1\r\nContent-Length: {LENGTH}\r\n\r\n");
    let bytes = [head.as_bytes(), &vec![b'x'; LENGTH], GET].concat();
    let mut conversation = Conversation::default();
    conversation.push(Direction::Receive, &bytes, true);
    let followed = http1::follow(&conversation, Way::OneBuffer);
    assert_eq!((followed.account.requests.len(), followed.lost), (2, 0));
}

/// A head that ends behind what is at hand is not taken to end where an earlier one does.
#[test]
fn heads_that_are_not_at_hand_as_a_whole() {
    for length in (900..1200).step_by(8) {
        let bytes = [GET, &request(length), GET].concat();
        let mut conversation = Conversation::default();
        conversation.push(Direction::Receive, &bytes, true);
        let followed = http1::follow(&conversation, Way::OneBuffer);
        let counted = (followed.account.requests.len(), followed.lost);
        assert_eq!(counted, (3, 0), "{length}");
    }
}
