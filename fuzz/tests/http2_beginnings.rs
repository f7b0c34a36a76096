// SPDX-License-Identifier: Apache-2.0
//! What a connection of HTTP/2 begins with, on either side.

use fastrand::Rng;
use http1_fuzz::http2::frames::{ACK, Frames, PREFACE, SETTINGS, WINDOW_UPDATE};
use http1_fuzz::http2::shim::{greets, preface};

#[test]
fn the_preface_may_be_cut_anywhere() {
    for cut in 0..PREFACE.len() {
        let (first, second) = PREFACE.split_at(cut);
        let taken = preface(0, first);
        assert_eq!(taken, cut);
        assert_eq!(preface(taken, second), PREFACE.len());
        assert_eq!(
            preface(taken, &[second, b"more"].concat()),
            PREFACE.len(),
            "with what comes behind"
        );
    }
}

#[test]
fn any_other_octet_is_no_preface() {
    for at in 0..PREFACE.len() {
        for cut in 0..=at {
            let mut bytes = PREFACE.to_vec();
            bytes[at] ^= 0x20;
            let taken = preface(0, &bytes[..cut]);
            assert_eq!(preface(taken, &bytes[cut..]), 0, "{at}");
        }
    }
    for other in ["POST / HTTP/1.1\r\n\r\n", "PRI / HTTP/2.0\r\n", "P "] {
        assert_eq!(preface(0, other.as_bytes()), 0, "{other}");
    }
}

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
