// SPDX-License-Identifier: Apache-2.0
//! Where HTTP/1 ends and HTTP/2 begins: at a preface, be it behind a PROXY header, at a greeting, or at an upgrade.

use http1_fuzz::http1::{self, WAYS};
use http1_fuzz::http2::frames::{Frames, PREFACE};
use http1_fuzz::transfer::{Conversation, Direction};

use Direction::{Receive, Send};

const PROXY_1: &[u8] = b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n";
const PROXY_2: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc0\0\x02\x02\xdc\x04\x01\xbb";
const PROXY_LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
/// Octets of the preface that decide.
const ENOUGH: usize = 4;

fn settings() -> Vec<u8> {
    let mut frames = Frames::default();
    frames.settings();
    frames.bytes
}

/// Of each direction, after how many octets HTTP/2 began, however the transfers are cut: into two of any length, and into
/// pieces of one size. The requests and answers that HTTP/1 has counted do not depend on it either.
fn switches(
    transfers: &[(Direction, &[u8])],
    expected: [Option<usize>; 2],
    requests: usize,
    answers: &[u16],
) {
    let mut whole = Conversation::default();
    for (direction, bytes) in transfers {
        whole.push(*direction, bytes, true);
    }
    let mut all = vec![whole.joined_up()];
    all.extend((1..60).map(|size| whole.in_pieces(size)));
    for (n, (direction, bytes)) in transfers.iter().enumerate() {
        for cut in 1..bytes.len() {
            let mut cuts = Conversation::default();
            for (other, bytes) in &transfers[..n] {
                cuts.push(*other, bytes, true);
            }
            cuts.push(*direction, &bytes[..cut], true);
            cuts.push(*direction, &bytes[cut..], true);
            for (other, bytes) in &transfers[n + 1..] {
                cuts.push(*other, bytes, true);
            }
            all.push(cuts);
        }
    }
    for conversation in all {
        for way in WAYS {
            let followed = http1::follow(&conversation, way);
            let what = || format!("{way:?} {:?}", conversation.transfers);
            assert_eq!(followed.switched, expected, "{}", what());
            assert_eq!(followed.account.requests.len(), requests, "{}", what());
            let statuses = followed.account.responses.iter().map(|it| it.status);
            assert_eq!(statuses.collect::<Vec<_>>(), answers, "{}", what());
            assert_eq!(followed.lost, 0, "{}", what());
        }
    }
}

#[test]
fn a_preface_may_stand_behind_a_proxy_header() {
    for header in [b"", PROXY_1, PROXY_2, PROXY_LOCAL] {
        let at = header.len() + ENOUGH;
        let bytes = [header, PREFACE, &settings()].concat();
        switches(&[(Receive, &bytes)], [Some(at), None], 0, &[]);
        switches(
            &[(Receive, header), (Receive, PREFACE)],
            [Some(at), None],
            0,
            &[],
        );
    }
}

#[test]
fn a_server_may_greet_between_the_two() {
    for header in [PROXY_1, PROXY_2] {
        let at = header.len() + ENOUGH;
        let greeted = |settings: &[u8]| {
            let mut all = Conversation::default();
            all.push(Receive, header, true);
            all.push(Send, settings, true);
            all.push(Receive, PREFACE, true);
            http1::follow(&all, http1::Way::Fast)
        };
        let followed = greeted(&settings());
        assert_eq!(followed.switched, [Some(at), Some(0)]);
        assert_eq!(followed.lost, 0);
        // What is no greeting says nothing of the requests.
        assert_eq!(greeted(b"220 hello\r\n").switched, [Some(at), None]);
    }
}

#[test]
fn what_only_looks_like_a_preface_is_a_request() {
    for other in [
        "PRIX * HTTP/1.1\r\n\r\n",
        "pri * HTTP/1.1\r\n\r\n",
        "PRO * HTTP/1.1\r\n\r\n",
        "PRI\t* HTTP/1.1\r\n\r\n",
    ] {
        switches(&[(Receive, other.as_bytes())], [None; 2], 1, &[]);
    }
    // Behind a request it is none.
    let behind = b"GET / HTTP/1.1\r\n\r\nPRI * HTTP/1.1\r\n\r\n";
    switches(&[(Receive, behind)], [None; 2], 2, &[]);
}

const ASKS: &[u8] = b"GET / HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
    HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n";

fn grants(protocol: &str) -> Vec<u8> {
    format!("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n{protocol}\r\n\r\n")
        .into_bytes()
}

#[test]
fn an_upgrade_ends_with_the_head_of_the_101() {
    for line in [
        "Upgrade: h2c",
        "upgrade:h2c",
        "UPGRADE: \t H2C \t ",
        "Server: test\r\nUpgrade: h2c\r\nX: y",
    ] {
        let head = grants(line);
        let sent = [&*head, &settings()].concat();
        let expected = [Some(ASKS.len() + ENOUGH), Some(head.len())];
        let rest = [PREFACE, &settings()].concat();
        switches(
            &[(Receive, ASKS), (Send, &sent), (Receive, &rest)],
            expected,
            1,
            &[],
        );
    }
}

#[test]
fn the_body_of_an_upgraded_request_comes_before_the_preface() {
    let head = grants("Upgrade: h2c");
    for (lines, body) in [
        ("Content-Length: 5", "PRI *"),
        ("Transfer-Encoding: chunked", "5\r\nPRI *\r\n0\r\n\r\n"),
    ] {
        let asks = format!("POST / HTTP/1.1\r\nUpgrade: h2c\r\n{lines}\r\n\r\n");
        let expected = [Some(asks.len() + body.len() + ENOUGH), Some(head.len())];
        let rest = [body.as_bytes(), PREFACE].concat();
        switches(
            &[(Receive, asks.as_bytes()), (Send, &head), (Receive, &rest)],
            expected,
            1,
            &[],
        );
    }
}

#[test]
fn other_protocols_are_none_of_http2() {
    for line in [
        "Upgrade: websocket",
        "Upgrade: h2",
        "Upgrade: h2c2",
        "Upgrade: h2c x",
        "Upgrade: x h2c",
        "Upgrade: ",
        "X-Upgrade: h2c",
        "Upgrade2: h2c",
        "Upgrad: h2c",
        "Up: x",
    ] {
        let sent = [&*grants(line), b"\x81\x05hello"].concat();
        let rest = [PREFACE, &settings()].concat();
        switches(
            &[(Receive, ASKS), (Send, &sent), (Receive, &rest)],
            [None; 2],
            1,
            &[101],
        );
    }
}

#[test]
fn an_upgrade_that_is_not_granted_is_none() {
    let answer = b"HTTP/1.1 404 Not Found\r\nUpgrade: h2c\r\nContent-Length: 3\r\n\r\nno\n";
    let next = b"GET /next HTTP/1.1\r\n\r\n";
    let other = b"HTTP/1.1 204 No Content\r\n\r\n";
    switches(
        &[
            (Receive, ASKS),
            (Send, answer),
            (Receive, next),
            (Send, other),
        ],
        [None; 2],
        2,
        &[404, 204],
    );
}
