// SPDX-License-Identifier: Apache-2.0
//! What the headers that tell how long a body is may say, and what leaves that in doubt.

use http1_fuzz::account::Method;
use http1_fuzz::http1::{self, WAYS, Way};
use http1_fuzz::transfer::{Conversation, Direction};

/// Whether a request with this header was followed to its end, which is that of the body; if not, it has to be lost. However
/// it is read, and wherever its head is cut.
fn follows(header: &str, body: &str) -> bool {
    let head = format!("POST / HTTP/1.1\r\nAccept: text\r\n{header}\r\n\r\n");
    // No request begins like that, so that what is lost stays lost.
    let rest = format!("{body}PUT / HTTP/1.0\r\n\r\n\x01");
    let mut whole = Conversation::default();
    whole.push(Direction::Receive, (head.clone() + &rest).as_bytes(), true);
    let mut cut = Conversation::default();
    for byte in head.as_bytes().chunks(1) {
        cut.push(Direction::Receive, byte, true);
    }
    cut.push(Direction::Receive, rest.as_bytes(), true);
    let ways = [
        (&whole, Way::Fast),
        (&whole, Way::Thorough),
        (&cut, Way::OneBuffer),
    ];
    let follows = ways.map(|(conversation, way)| {
        let followed = http1::follow(conversation, way);
        let requests = followed.account.requests.len();
        // The byte behind it all is no request.
        assert_eq!((followed.lost, requests > 0), (1, true), "{header:?}");
        requests == 2
    });
    assert!(follows.iter().all(|it| *it == follows[0]), "{header:?}");
    follows[0]
}

#[test]
fn lengths_are_digits_and_agree() {
    let body = "\x01".repeat(12);
    for value in [
        "12",
        " 12",
        "12 ",
        "\t12\t ",
        "  \t0012",
        "12\r",
        "12\r\nContent-Length: 12",
        "12\r\nB: c\r\ncontent-length:012\t",
        "0000000000000000000000000000000000000000000000012",
    ] {
        assert!(
            follows(&format!("Content-Length:{value}"), &body),
            "{value:?}"
        );
    }
    for value in [
        "",
        " ",
        "\t",
        "1 2",
        "12 3",
        "1\t2",
        "12,",
        "12,12",
        "+12",
        "-12",
        "12.0",
        "0x0c",
        "12x",
        "x12",
        "12 x",
        "/2",
        ":2",
        "1/",
        "1:",
        " 12\x0c",
        "\x0012",
        "12\u{80}",
        "12 2",
        "\r1\r2",
        "12\r\nContent-Length: 13",
        "13\r\nContent-Length: 12",
        "12\r\nContent-Length: x",
        "x\r\nContent-Length: 12",
        "12\r\nContent-Length:",
        "\r\nContent-Length: 12",
        "2882303761517117440",
        "18446744073709551628",
        "99999999999999999999999",
    ] {
        assert!(
            !follows(&format!("Content-Length:{value}"), &body),
            "{value:?}"
        );
    }
}

/// A neighbour of the digits, which would be ten if it were one.
#[test]
fn what_looks_like_a_length() {
    for (value, length) in [(":", 10), ("1:", 20), (":0", 100)] {
        let body = "\x01".repeat(length);
        assert!(
            !follows(&format!("Content-Length: {value}"), &body),
            "{value}"
        );
    }
}

/// Wherever that lies among the words that are looked at together.
#[test]
fn a_line_feed_alone_ends_a_line() {
    let body = "\x01".repeat(12);
    for length in 0..64 {
        let header = format!("B: {}\nContent-Length: 12", "x".repeat(length));
        assert!(follows(&header, &body), "{length}");
    }
}

#[test]
fn the_last_coding_is_chunked() {
    let body = "3\r\nabc\r\n0\r\n\r\n";
    for value in [
        "chunked",
        " chunked",
        "\tCHUNKED \t",
        "gzip, chunked",
        "gzip,chunked",
        "x , chunked",
        ",chunked",
        "chunked\r",
        "gzip\r\nTransfer-Encoding: chunked",
        "chunked, chunked",
        "chunked\r\nContent-Length: 3",
        "chunked  ",
    ] {
        assert!(
            follows(&format!("Transfer-Encoding:{value}"), body),
            "{value:?}"
        );
    }
    for value in [
        "",
        " ",
        "chunke",
        "chunkedd",
        "chunked d",
        "chunke d",
        "ch unked",
        "ch chunked",
        "xchunked",
        "x chunked",
        "chunked x",
        "chunked;q=1",
        "chunked,",
        "chunked, ",
        "chunked, gzip",
        "chunked\r\nTransfer-Encoding: gzip",
        "chunked\x00",
        "chunked\x0b",
        "identity\r\nContent-Length: 15",
        "hunked",
        "chunkec",
        "chchunked",
        "chunked \x00",
        "chunked x\t",
        "chunked chunked",
    ] {
        assert!(
            !follows(&format!("Transfer-Encoding:{value}"), body),
            "{value:?}"
        );
    }
}

#[test]
fn names_are_whole() {
    let body = "\x01".repeat(12);
    for name in ["Content-Length", "CONTENT-LENGTH", "content-length"] {
        assert!(follows(&format!("{name}: 12"), &body), "{name}");
    }
    for name in [
        "Content-Lengt",
        "Content-Lengthy",
        "Content-Length ",
        " Content-Length",
        "Content",
        "Content-",
        "Content-Length\x00",
        "Transfer-Encodin",
        "Transfer-Encodings",
        "Transfer-Encoding ",
        "Transfer",
        "Transfer-Encoding\x00",
        "C",
        "T",
        "Content-Type",
        "Content\rLength",
        "Content\nLength",
        "Transfer\rEncoding",
        "Xontent-Length",
        "Xransfer-Encoding",
    ] {
        let header = format!("{name}: chunked\r\n{name}: 12");
        assert!(follows(&header, ""), "{name:?}");
    }
}

#[test]
fn a_name_begins_its_line() {
    let body = "\x01".repeat(12);
    let chunks = "3\r\nabc\r\n0\r\n\r\n";
    for begun in ["C", "Content", "T", "Transfer-Encoding"] {
        // A line that ends within the name.
        for (header, body) in [
            ("Content-Length: 12", &*body),
            ("Transfer-Encoding: chunked", chunks),
        ] {
            assert!(
                follows(&format!("{begun}\n{header}"), body),
                "{begun} {header}"
            );
            assert!(
                follows(&format!("{begun}-{header}"), ""),
                "{begun} {header}"
            );
        }
    }
}

#[test]
fn a_carriage_return_ends_a_head_or_breaks_it() {
    for header in [
        "\rA: b",
        "\r",
        "\rContent-Length: 1",
        "A: b\r\n\rContent-Length: 0",
    ] {
        assert!(!follows(header, "\x01"), "{header:?}");
    }
    assert!(follows("A: b\rB: c", ""));
}

#[test]
fn chunks_end_in_one_of_two_ways() {
    let follows = |chunks: &[u8]| {
        let chunks = str::from_utf8(chunks).unwrap();
        follows("Transfer-Encoding: chunked", chunks)
    };
    for chunks in [
        "3\nabc\n0\n\n",
        "3\nabc\r\n0\r\n\n",
        "3\t;a=b\r\nabc\r\n0\r\n\r\n",
        "3 \r\nabc\r\n0;a\r\nA: b\r\n\r\n",
    ] {
        assert!(follows(chunks.as_bytes()), "{chunks:?}");
    }
    for chunks in [
        "1\r1\r\n0123456789abcdefg\r\n0\r\n\r\n",
        "3\r\nabc\r\r\n0\r\n\r\n",
        "3\r\nabc\0\x000\r\n\r\n",
        "3\r\nabc0\r\n\r\n",
        "3\r\nabcde0\r\n\r\n",
        "\r\nabc\r\n0\r\n\r\n",
        ";\r\nabc\r\n0\r\n\r\n",
    ] {
        assert!(!follows(chunks.as_bytes()), "{chunks:?}");
    }
    for byte in 0..128 {
        let chunk = |end: [u8; 2]| [b"3\r\nabc", &end[..], b"0\r\n\r\n"].concat();
        assert_eq!(follows(&chunk([byte, b'\n'])), byte == b'\r', "{byte}");
        assert_eq!(follows(&chunk([b'\r', byte])), byte == b'\n', "{byte}");
    }
}

/// The methods of what comes in these receives.
fn methods(receives: &[&str], way: Way) -> Vec<Method> {
    let mut conversation = Conversation::default();
    for bytes in receives {
        conversation.push(Direction::Receive, bytes.as_bytes(), true);
    }
    let requests = http1::follow(&conversation, way).account.requests;
    requests.iter().map(|request| request.method).collect()
}

#[test]
fn the_rest_of_a_method_is_none_though_it_looks_like_a_head() {
    const GET: &str = "GET / HTTP/1.1\r\n\r\n";
    for way in WAYS {
        assert_eq!(methods(&[GET, "X", GET], way), [Method::Get, Method::Other]);
    }
}

/// What a stream that was joined in the middle has had before is only guessed at.
#[test]
fn a_whole_head_outweighs_a_guess() {
    const PUT: &str = "PUT / HTTP/1.1\r\n\r\n";
    let line = "GET / HTTP/1.1\r";
    for length in 1..=line.len() {
        assert_eq!(
            methods(&[&line[..length], PUT], Way::Fast),
            [Method::Put],
            "{length}"
        );
    }
}
