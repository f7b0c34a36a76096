// SPDX-License-Identifier: Apache-2.0
//! What tells a stream that may be HTTP from one that is none, by its first bytes alone.

use http1_fuzz::http1::{answers, may_begin};

#[test]
fn requests_begin_with_a_token_or_an_empty_line() {
    for beginning in [
        "G",
        "GET",
        "GET ",
        "GET /",
        "PROPFIND /",
        "PROPFINDS",
        "M\t",
        "\r",
        "\n",
        "\r\n\x01",
        "!#$%&'*+",
        "PROXY TC",
    ] {
        assert!(may_begin(beginning.as_bytes()), "{beginning:?}");
    }
    for beginning in [
        "",
        " ",
        "\t",
        " GET /",
        "\tGET /",
        "\x01",
        "G\x01",
        "GET\r\n",
        "GET\n",
        "*1\r\n$4\r\n",
        "(",
        "GE(T /",
        "{}",
        "PROPFIN:",
        "\x16\x03\x01",
    ] {
        assert!(!may_begin(beginning.as_bytes()), "{beginning:?}");
    }
    // Only the first eight bytes are looked at, and only those that there are.
    assert!(may_begin(b"PROPFIND\x01"));
    assert!(!may_begin(b"PROPFIN\x01"));
    for byte in 0..=255 {
        let letter = byte == b' '
            || byte == b'\t'
            || byte.is_ascii_alphanumeric()
            || b"!#$%&'*+-.^_`|~".contains(&byte);
        assert_eq!(may_begin(&[b'G', byte]), letter, "{byte}");
    }
}

#[test]
fn answers_begin_with_a_status_line() {
    let answer = *b"HTTP/1.1 200 OK";
    for length in 0..=answer.len() {
        assert_eq!(answers(&answer[..length]), length > 12, "{length}");
    }
    for at in 0..10 {
        for byte in 0..=255 {
            let mut bytes = answer;
            bytes[at] = byte;
            let fits = match at {
                7 => true,
                9 => (b'1'..=b'9').contains(&byte),
                _ => byte == answer[at],
            };
            assert_eq!(
                answers(&bytes),
                fits,
                "{:?}",
                String::from_utf8_lossy(&bytes)
            );
        }
    }
}
