// SPDX-License-Identifier: Apache-2.0
//! What a server of HTTP/2 begins with that speaks first.

use fastrand::Rng;
use http1_fuzz::http2::frames::{ACK, Frames, SETTINGS, WINDOW_UPDATE};
use http1_fuzz::http2::shim::greets;

#[test]
fn a_server_that_speaks_first_sends_settings() {
    let mut frames = Frames::default();
    frames.settings();
    let whole = frames.bytes.len();
    assert!(greets(&frames.bytes));
    for cut in 0..whole {
        assert!(!greets(&frames.bytes[..cut]), "cut at {cut}");
    }
    frames.frame(WINDOW_UPDATE, 0, 0, &[0, 1, 0, 0]);
    assert!(greets(&frames.bytes));
    let mut empty = Frames::default();
    empty.frame(SETTINGS, 0, 0, &[]);
    assert!(greets(&empty.bytes));
}

#[test]
fn what_else_a_server_says_first_is_no_greeting() {
    let frame = |kind, flags, stream, length| {
        let mut frames = Frames::default();
        frames.frame(kind, flags, stream, &vec![0; length]);
        frames.bytes
    };
    assert!(!greets(&frame(SETTINGS, ACK, 0, 0)));
    assert!(!greets(&frame(SETTINGS, 0, 1, 6)));
    assert!(!greets(&frame(SETTINGS, 0, 256, 6)));
    assert!(!greets(&frame(SETTINGS, 0, 0, 5)));
    assert!(!greets(&frame(WINDOW_UPDATE, 0, 0, 6)));
    for greeting in [
        &b"220 mail ESMTP\r\n"[..],
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x4a\0\0\0\x0a8.0.36\0",
        b"+OK ready\r\n",
        b"",
    ] {
        assert!(!greets(greeting));
    }
    let rng = &mut Rng::with_seed(1);
    for _ in 0..1_000_000 {
        let random: [u8; 16] = rng.u128(..).to_le_bytes();
        assert!(!greets(&random));
    }
}
