// SPDX-License-Identifier: Apache-2.0
//! Connections that are not HTTP/1, among them those that share its verbs. Nothing counts on them.

use fastrand::Rng;

use crate::cut::cut;
use crate::message::{Manner, choose};
use crate::script::Script;
use crate::transfer::Conversation;

/// What the server receives, and what it answers.
const PROTOCOLS: [(&str, &str); 18] = [
    ("GET key\r\nSET key value\r\n", "$5\r\nvalue\r\n+OK\r\n"),
    ("*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n", "$-1\r\n"),
    (
        "get key\r\ndelete key\r\n",
        "VALUE key 0 5\r\nhello\r\nEND\r\n",
    ),
    (
        "EHLO example.org\r\nMAIL FROM:<a@b>\r\nDATA\r\nGET / HTTP\r\n.\r\n",
        "220 mail ESMTP\r\n250 OK\r\n",
    ),
    (
        "GROUP misc.test\r\nHEAD 7\r\nPOST\r\n",
        "200 posting allowed\r\n340 send article\r\n",
    ),
    (
        "OPTIONS rtsp://h/s RTSP/1.0\r\nCSeq: 1\r\n\r\n",
        "RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n",
    ),
    (
        "OPTIONS sip:a@b SIP/2.0\r\nCSeq: 1 OPTIONS\r\n\r\n",
        "SIP/2.0 200 OK\r\n\r\n",
    ),
    ("SOURCE /music ICE/1.0\r\n\r\n", "ICY 200 OK\r\n\r\n"),
    ("GET /music IHTTP/1.0\r\n\r\n", "ICY 400 no\r\n\r\n"),
    (
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
        "\0\0\0\x04\0\0\0\0\0",
    ),
    ("GET /\r\n", "<html>as in 1991</html>"),
    ("GET / HTTP/5.6\r\n\r\n", "what?"),
    ("GET  HTTP/1.1\r\n\r\n", "what?"),
    ("GET/ HTTP/1.1\r\n\r\n", "what?"),
    ("GET / HTTP/1.1x\r\n\r\n", "what?"),
    ("(GET) / HTTP/1.1\r\n\r\n", "what?"),
    ("SSH-2.0-OpenSSH_9.2\r\n", "SSH-2.0-OpenSSH_9.2\r\n"),
    // A client, seen from its own side.
    (
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
];

pub fn random(seed: u64) -> Conversation {
    let rng = &mut Rng::with_seed(seed);
    let mut script = Script::default();
    let (received, sent) = match rng.u8(..4) {
        0 => (noise(rng), noise(rng)),
        1 => (client_hello(rng), noise(rng)),
        _ => {
            let (received, sent) = choose(rng, &PROTOCOLS);
            let times = rng.usize(1..4);
            (
                received.repeat(times).into_bytes(),
                sent.repeat(times).into_bytes(),
            )
        }
    };
    script.receive.bytes = received;
    script.send.bytes = sent;
    cut(script, Manner::Wild, rng)
}

fn noise(rng: &mut Rng) -> Vec<u8> {
    let mut bytes = vec![0; rng.usize(..3000)];
    rng.fill(&mut bytes);
    bytes
}

fn client_hello(rng: &mut Rng) -> Vec<u8> {
    let mut bytes = b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03".to_vec();
    bytes.extend(noise(rng));
    bytes
}
