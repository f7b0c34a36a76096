// SPDX-License-Identifier: Apache-2.0
//! Random conversations between a client and a server, whole from the first byte: the same seed, the same
//! conversation.

use fastrand::Rng;

use crate::cut::{break_off, cut};
use crate::message::{Body, Manner, Message, choose, content, request, response};
use crate::script::Script;
use crate::transfer::Conversation;

const METHODS: [&str; 20] = [
    "GET",
    "GET",
    "GET",
    "GET",
    "HEAD",
    "HEAD",
    "POST",
    "POST",
    "PUT",
    "DELETE",
    "OPTIONS",
    "TRACE",
    "PATCH",
    "PROPFIND",
    "M-SEARCH",
    "get",
    "GETX",
    "G",
    "QUERY",
    "!#$%&'*+-.^_`|~09azAZ",
];

const TARGETS: [&str; 12] = [
    "/\u{20ac}/\u{ff}",
    "?",
    "/",
    "/index.html",
    "/a/b?c=d&e=%20",
    "/HTTP/1.1",
    "http://example.org/",
    "http://example.org:80?q=/",
    "*",
    "/with_\"quotes\"|and?bars=?",
    "//",
    "/#fragment",
];

const REASONS: [&str; 6] = [
    " OK",
    " ",
    "",
    " Some Longer Reason: 5",
    " HTTP/1.1 200 OK",
    " Nicht gefunden \u{e9}",
];

/// A request of any method but CONNECT, whose tunnel is a conversation of its own.
pub fn any_method(rng: &mut Rng) -> &'static str {
    choose(rng, &METHODS)
}

fn target(rng: &mut Rng) -> String {
    match rng.u16(..500) {
        0 => format!("/{}", "t".repeat(rng.usize(..8000))),
        1..20 => format!("/{}", "t".repeat(rng.usize(..300))),
        _ => choose(rng, &TARGETS).to_owned(),
    }
}

pub fn any_body(rng: &mut Rng, manner: Manner) -> Body {
    match rng.u8(..2) {
        0 => Body::Length(content(rng, manner)),
        _ => Body::Chunked(content(rng, manner)),
    }
}

pub fn any_request(rng: &mut Rng, manner: Manner, method: &str) -> Message {
    let body = if rng.u8(..3) == 0 {
        any_body(rng, manner)
    } else {
        Body::Absent
    };
    // Chunked is not for HTTP/1.0, and its connections last only where both sides say so.
    let old = rng.u8(..8) == 0 && !matches!(body, Body::Chunked(_));
    let (version, extra): (_, &[&str]) = if old {
        ("HTTP/1.0", &["Connection: keep-alive"])
    } else {
        ("HTTP/1.1", &[])
    };
    let target = match manner {
        Manner::Neat => choose(rng, &["/", "/a/b?c=d&e=%20"]).to_owned(),
        _ => target(rng),
    };
    let start = format!("{method} {target} {version}");
    request(rng, manner, &start, extra, body)
}

fn status_line(rng: &mut Rng, status: u16) -> String {
    let version = if rng.u8(..8) == 0 {
        "HTTP/1.0"
    } else {
        "HTTP/1.1"
    };
    format!("{version} {status}{}", choose(rng, &REASONS))
}

pub fn interim_response(rng: &mut Rng, manner: Manner) -> Message {
    let status = choose(rng, &[100, 100, 102, 103, 199]);
    let start = status_line(rng, status);
    response(
        rng,
        manner,
        &start,
        &["Link: </style.css>; rel=preload"],
        Body::Absent,
    )
}

/// A final response after which the connection goes on.
pub fn final_response(rng: &mut Rng, manner: Manner, method: &str) -> Message {
    let tunnel = method == "CONNECT";
    let status = match rng.u8(..8) {
        _ if tunnel => choose(rng, &[403, 407, 502]),
        0 => 204,
        1 => 304,
        2 => rng.u16(200..600),
        3 if rng.u8(..16) == 0 => 999,
        _ => choose(
            rng,
            &[200, 200, 201, 202, 205, 206, 301, 400, 404, 413, 500, 503],
        ),
    };
    let bodiless = method == "HEAD" || matches!(status, 204 | 304);
    let body = if bodiless {
        Body::OnlyPromised
    } else {
        any_body(rng, manner)
    };
    let start = match body {
        Body::Chunked(_) => status_line(rng, status).replace("HTTP/1.0", "HTTP/1.1"),
        _ => status_line(rng, status),
    };
    response(rng, manner, &start, &[], body)
}

/// One request and its answer.
fn exchange(script: &mut Script, rng: &mut Rng, method: &str, patience: u8) {
    let message = any_request(rng, Manner::Wild, method);
    let start = script.receive.bytes.len();
    let (head, end) = (start + message.head, start + message.bytes.len());
    script.receive.push_head(&message);
    if rng.u8(..6) == 0 {
        for _ in 0..rng.u8(1..4) {
            script.server_waits(head);
            let interim = interim_response(rng, Manner::Wild);
            script.send.push(&interim);
        }
        if rng.u8(..4) < patience {
            // As with Expect: 100-continue.
            script.client_waits();
        }
    }
    script.receive.push_body(&message);
    // A server may answer before it has read the body, if it likes the request or not.
    let early = rng.u8(..8) == 0;
    script.server_waits(if early { head } else { end });
    let answer = final_response(rng, Manner::Wild, method);
    script.send.push(&answer);
}

/// The bytes that a load balancer may put before the first request.
fn proxy_header(rng: &mut Rng) -> Vec<u8> {
    match rng.u8(..4) {
        0 => b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n".to_vec(),
        1 => b"PROXY UNKNOWN\r\n".to_vec(),
        2 => format!("PROXY TCP6 {0} {0} 65535 65535\r\n", ["ffff"; 8].join(":")).into_bytes(),
        _ => {
            let length = choose(rng, &[0, 12, 36, 216, 700_u16]);
            let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11".to_vec();
            header.extend_from_slice(&length.to_be_bytes());
            while header.len() < 16 + usize::from(length) {
                header.extend_from_slice(b"GET / HTTP/1.1\r\n\r\n");
            }
            header.truncate(16 + usize::from(length));
            header
        }
    }
}

/// After this the bytes belong to another protocol, however much they look like HTTP.
fn switch_protocol(script: &mut Script, rng: &mut Rng) {
    let (start, extra, status): (_, &[&str], _) = if rng.bool() {
        (
            "GET /chat HTTP/1.1",
            &["Upgrade: websocket", "Connection: Upgrade"],
            101,
        )
    } else {
        (
            "CONNECT example.org:443 HTTP/1.1",
            &["Host: example.org:443"],
            rng.u16(200..300),
        )
    };
    let asking = request(rng, Manner::Wild, start, extra, Body::Absent);
    script.receive.push(&asking);
    script.server_waits(script.receive.bytes.len());
    let line = status_line(rng, status);
    let body = if status == 101 {
        Body::Absent
    } else {
        Body::OnlyPromised
    };
    let answer = response(rng, Manner::Wild, &line, &[], body);
    script.send.push(&answer);
    script.client_waits();
    script.receive.bytes.extend(content(rng, Manner::Wild));
    script.send.bytes.extend(content(rng, Manner::Wild));
}

/// The last answer has no length; requests that were pipelined behind it are never answered.
fn answer_until_close(script: &mut Script, rng: &mut Rng) {
    let method = choose(rng, &["GET", "POST", "OPTIONS", "PURGE"]);
    let asking = any_request(rng, Manner::Wild, method);
    script.receive.push(&asking);
    script.server_waits(script.receive.bytes.len());
    let line = status_line(rng, 200);
    let body = Body::UntilClose(content(rng, Manner::Wild));
    let answer = response(rng, Manner::Wild, &line, &["Connection: close"], body);
    script.send.push(&answer);
    leave_unanswered(script, rng);
}

fn leave_unanswered(script: &mut Script, rng: &mut Rng) {
    for _ in 0..rng.u8(..4) {
        let method = any_method(rng);
        let asking = any_request(rng, Manner::Wild, method);
        script.receive.push(&asking);
    }
}

/// The server gives up on an idle connection.
fn time_out(script: &mut Script, rng: &mut Rng) {
    script.server_waits(script.receive.bytes.len());
    let body = Body::Length(content(rng, Manner::Wild));
    let answer = response(
        rng,
        Manner::Wild,
        "HTTP/1.1 408 Request Timeout",
        &["Connection: close"],
        body,
    );
    script.send.push(&answer);
}

pub fn random(seed: u64) -> Conversation {
    let rng = &mut Rng::with_seed(seed);
    let mut script = Script::default();
    if rng.u8(..16) == 0 {
        script.receive.bytes = proxy_header(rng);
    }
    let exchanges = match rng.u8(..32) {
        0 => rng.usize(10..=50),
        1..6 => rng.usize(4..10),
        _ => rng.usize(..4),
    };
    // From a client that waits for each answer to one that pipelines everything.
    let patience = choose(rng, &[0, 0, 2, 4, 4]);
    for _ in 0..exchanges {
        if rng.u8(..4) < patience {
            script.client_waits();
        }
        let method = if rng.u8(..32) == 0 {
            "CONNECT"
        } else {
            any_method(rng)
        };
        if method == "CONNECT" {
            refuse_tunnel(&mut script, rng);
        } else {
            exchange(&mut script, rng, method, patience);
        }
    }
    match rng.u8(..8) {
        0 => switch_protocol(&mut script, rng),
        1 => answer_until_close(&mut script, rng),
        2 => leave_unanswered(&mut script, rng),
        3 => time_out(&mut script, rng),
        _ => {}
    }
    let lines = script.send.lines.clone();
    let whole = cut(script, Manner::Wild, rng);
    if rng.u8(..8) == 0 {
        break_off(&whole, &lines, rng)
    } else {
        whole
    }
}

/// A CONNECT that is not granted is an exchange like any other.
fn refuse_tunnel(script: &mut Script, rng: &mut Rng) {
    let start = "CONNECT example.org:443 HTTP/1.1";
    let asking = request(
        rng,
        Manner::Wild,
        start,
        &["Host: example.org:443"],
        Body::Absent,
    );
    script.receive.push(&asking);
    script.server_waits(script.receive.bytes.len());
    let answer = final_response(rng, Manner::Wild, "CONNECT");
    script.send.push(&answer);
}
