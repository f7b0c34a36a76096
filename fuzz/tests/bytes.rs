// SPDX-License-Identifier: Apache-2.0
//! Every byte in every place where one decides: heads by each way of reading and by the oracle, sizes of chunks by what they say.

use http1_fuzz::account::Account;
use http1_fuzz::http1::{self, Way};
use http1_fuzz::oracle;
use http1_fuzz::transfer::{Conversation, Direction};

const GET: &str = "GET / HTTP/1.1\r\n\r\n";
const PUT: &str = "PUT / HTTP/1.0\r\n\r\n";
const NOT_FOUND: &str = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";

fn conversation(received: &[u8], sent: &[u8]) -> Conversation {
    let mut conversation = Conversation::default();
    conversation.push(Direction::Receive, received, true);
    if !sent.is_empty() {
        conversation.push(Direction::Send, sent, true);
    }
    conversation
}

/// Later versions count as 1.1, which the oracle knows already.
fn account(conversation: &Conversation, way: Way) -> Account {
    let mut account = http1::follow(conversation, way).account;
    for request in &mut account.requests {
        request.version = request.version.min(11);
    }
    account
}

/// Of a head, each byte in turn is each of all bytes.
fn try_each(head: &str, whole: impl Fn(&[u8]) -> Conversation) {
    // Behind the status a response says what it likes.
    let line = if head.starts_with("HTTP/") {
        12
    } else {
        head.find('\r').unwrap()
    };
    for at in 0..head.len() {
        for byte in 0..=255 {
            let mut bytes = head.as_bytes().to_vec();
            bytes[at] = byte;
            let whole = whole(&bytes);
            let name = String::from_utf8_lossy(&bytes);
            let found = account(&whole, Way::Fast);
            assert_eq!(found, account(&whole, Way::Thorough), "{name:?}");
            // The oracle refuses control characters in headers, which do not matter here, and text that is not ASCII.
            let graphic = byte.is_ascii_graphic() || byte == b' ';
            let known = graphic || byte.is_ascii() && at < line;
            // Nor does it know ends of lines that are unusual, or responses of a later version.
            let version = name.starts_with("HTTP/1.") && at == 7 && byte.is_ascii_digit();
            let feed = head.as_bytes()[at] == b'\n';
            if known && !version && !feed && bytes[0] != b'\r' {
                assert_eq!(found, oracle::read(&whole), "{name:?}");
            }
        }
    }
}

#[test]
fn in_the_head_of_a_request() {
    for (head, body) in [
        ("GET /target HTTP/1.1\r\nA: b\r\n\r\n", ""),
        (
            "POST / HTTP/1.1\r\nContent-Length: 12\r\n\r\n",
            "0123456789ab",
        ),
        (
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "3\r\nabc\r\n0\r\n\r\n",
        ),
    ] {
        try_each(head, |head| {
            conversation(&[head, body.as_bytes(), PUT.as_bytes()].concat(), b"")
        });
    }
}

#[test]
fn in_the_head_of_a_response() {
    for (head, body) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n",
            "0123456789ab",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "3\r\nabc\r\n0\r\n\r\n",
        ),
    ] {
        let asked = [GET, PUT, GET].concat();
        try_each(head, |head| {
            let answered = [head, body.as_bytes(), NOT_FOUND.as_bytes()].concat();
            conversation(asked.as_bytes(), &answered)
        });
    }
}

#[test]
fn behind_the_carriage_return_of_a_request_line() {
    for byte in 0..=255 {
        let head = [b"GET / HTTP/1.1\r", &[byte][..], b"\nA: b\r\n\r\n"].concat();
        let counted = account(&conversation(&head, b""), Way::Fast).requests.len();
        assert_eq!(counted == 1, byte == b'\n', "{byte}");
    }
}

/// Whether a body with a chunk of these digits is followed to its end, if that is this size; however the digits are cut.
/// Most of the chunk cannot be seen.
fn follows(digits: &[u8], size: usize) -> bool {
    const HEAD: &[u8] = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    let end = ["\r\n0\r\n\r\n", PUT].concat();
    let chunk = vec![b'x'; size];
    let (seen, unseen) = chunk.split_at(size.min(16));
    let follows = [digits.len(), 1].map(|piece| {
        let mut conversation = Conversation::default();
        let line = [digits, b"\r\n"].concat();
        if piece == 1 {
            conversation.push(Direction::Receive, HEAD, true);
            for byte in line.chunks(1) {
                conversation.push(Direction::Receive, byte, true);
            }
            conversation.push(Direction::Receive, seen, true);
        } else {
            conversation.push(Direction::Receive, &[HEAD, &line, seen].concat(), true);
        }
        conversation.push(Direction::Receive, unseen, false);
        conversation.push(Direction::Receive, end.as_bytes(), true);
        let account = http1::follow(&conversation, Way::OneBuffer).account;
        account.requests.len() == 2
    });
    assert_eq!(
        follows[0],
        follows[1],
        "{:?}",
        String::from_utf8_lossy(digits)
    );
    follows[0]
}

#[test]
fn in_the_size_of_a_chunk() {
    for digits in ["5", "1a", "0c0", "00F1", "0000042"] {
        for at in 0..digits.len() {
            for byte in 0..=255 {
                // These end the size.
                if b"; \t\r\n".contains(&byte) {
                    continue;
                }
                let mut bytes = digits.as_bytes().to_vec();
                bytes[at] = byte;
                let size = str::from_utf8(&bytes).ok();
                let size = size.and_then(|text| usize::from_str_radix(text, 16).ok());
                let plain = byte.is_ascii_hexdigit();
                let size = size.filter(|_| plain);
                if size.is_some_and(|size| size == 0 || size > 1 << 20) {
                    continue;
                }
                // What is no size has none that would do.
                let name = String::from_utf8_lossy(&bytes);
                assert_eq!(
                    follows(&bytes, size.unwrap_or(16)),
                    size.is_some(),
                    "{name:?}"
                );
            }
        }
    }
}

#[test]
fn in_long_sizes_of_chunks() {
    for digits in [
        "12345", "fedcb", "A9870", "123456", "0abcdef", "0F0F0F0", "1000001", "00fffff",
    ] {
        let size = usize::from_str_radix(digits, 16).unwrap();
        assert!(follows(digits.as_bytes(), size), "{digits}");
        assert!(!follows(digits.as_bytes(), size + 1), "{digits}");
    }
}

/// Neighbours of digits, which would be these numbers if they were some.
#[test]
fn what_looks_like_the_size_of_a_chunk() {
    for (digits, size) in [
        (":", 10),
        ("1:", 26),
        ("@", 9),
        ("1@", 25),
        ("@1", 145),
        ("`", 9),
        ("1`", 25),
        ("g", 16),
        ("1g", 32),
    ] {
        assert!(!follows(digits.as_bytes(), size), "{digits}");
    }
}
