// SPDX-License-Identifier: Apache-2.0
//! Bytes that a TCP socket has handed out besides those of a receive: by a way that nobody sees, or to another thread, whose own
//! receive is looked at later.

use http1_fuzz::account::Method::{self, Get, Post};
use http1_fuzz::http1::{self, Call, Followed, WAYS};

const GET: &[u8] = b"GET / HTTP/1.1\r\n\r\n";
const OTHER_GET: &[u8] = b"GET /other HTTP/1.1\r\nHost: test\r\n\r\n";
const POST: &[u8] = b"POST / HTTP/1.1\r\nContent-Length: 300\r\n\r\n";
const CHUNK: &[u8] = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n12c\r\n";
const LAST_CHUNK: &[u8] = b"\r\n0\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
/// Of a body, of which they may be the end.
const PART: &[u8] = &[b'x'; 100];

/// A receive, before which or behind which so many bytes have been handed out that are not in it.
enum Step {
    Receive(&'static [u8], usize),
    /// Those that showed in an earlier step.
    Late(&'static [u8]),
    Send,
}
use Step::{Late, Receive, Send};

fn follow(steps: &[Step]) -> Vec<Followed> {
    let mut taken = 0;
    let mut calls = vec![Call::Receive(GET, 0), Call::Send(OK)];
    for step in steps {
        calls.push(match *step {
            Receive(bytes, besides) => {
                taken += bytes.len() + besides;
                Call::Receive(bytes, taken as u32)
            }
            Late(bytes) => Call::Receive(bytes, taken as u32),
            Send => Call::Send(OK),
        });
    }
    WAYS.map(|way| http1::follow_calls(&calls, way)).into()
}

/// Requests after the first one, each of which is answered, and nothing is lost.
fn counts(steps: &[Step], requests: &[Method]) {
    for followed in follow(steps) {
        let counted = followed.account.requests[1..].iter().map(|it| it.method);
        assert_eq!(counted.collect::<Vec<_>>(), requests);
        assert_eq!(followed.matched, vec![true; requests.len() + 1]);
        assert_eq!(followed.lost, 0);
    }
}

fn loses(steps: &[Step], requests: usize) {
    for followed in follow(steps) {
        assert_eq!(followed.account.requests.len(), requests + 1);
        assert_eq!(followed.lost, 1);
    }
}

#[test]
fn threads_take_whole_requests() {
    let other = OTHER_GET.len();
    counts(
        &[Receive(GET, other), Late(OTHER_GET), Send, Send],
        &[Get, Get],
    );
    counts(
        &[
            Receive(GET, 2 * other),
            Late(OTHER_GET),
            Receive(GET, 0),
            Late(OTHER_GET),
            Send,
            Send,
            Send,
            Send,
        ],
        &[Get; 4],
    );
}

#[test]
fn threads_take_whole_requests_with_bodies() {
    const WHOLE: &[u8] = b"POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody";
    counts(
        &[
            Receive(WHOLE, WHOLE.len()),
            Late(WHOLE),
            Receive(WHOLE, GET.len()),
            Late(GET),
            Send,
            Send,
            Send,
            Send,
        ],
        &[Post, Post, Post, Get],
    );
}

#[test]
fn threads_take_parts_of_a_body() {
    let (all, more) = (
        [Receive(PART, 100), Late(PART), Receive(PART, 0)],
        [Receive(PART, 200), Late(PART), Late(PART)],
    );
    for parts in [all, more] {
        let [first, second, third] = parts;
        counts(
            &[
                Receive(POST, 0),
                first,
                second,
                third,
                Send,
                Receive(GET, 0),
                Send,
            ],
            &[Post, Get],
        );
    }
}

#[test]
fn a_body_is_spliced() {
    counts(
        &[Receive(POST, 0), Send, Receive(GET, 300), Send],
        &[Post, Get],
    );
    counts(
        &[Receive(CHUNK, 0), Receive(LAST_CHUNK, 300), Send],
        &[Post],
    );
}

#[test]
fn a_body_is_spliced_in_parts() {
    let parts = || [Receive(PART, 50), Receive(PART, 0)];
    let [first, second] = parts();
    counts(
        &[
            Receive(POST, 0),
            first,
            second,
            Send,
            Receive(GET, 50),
            Send,
        ],
        &[Post, Get],
    );
    let [first, second] = parts();
    counts(
        &[
            Receive(CHUNK, 0),
            first,
            second,
            Receive(LAST_CHUNK, 50),
            Send,
        ],
        &[Post],
    );
}

/// As where a sockmap hands it over.
#[test]
fn a_body_that_no_number_shows() {
    counts(
        &[
            Receive(POST, 0),
            Late(PART),
            Late(PART),
            Late(PART),
            Send,
            Receive(GET, 0),
            Send,
        ],
        &[Post, Get],
    );
}

#[test]
fn what_is_hidden_ends_within_a_head() {
    loses(&[Receive(POST, 0), Send, Receive(GET, 301), Send], 2);
    loses(&[Receive(b"GET", 0), Receive(b" / HTTP/1.1\r\n\r\n", 1)], 0);
}

/// Nobody can tell a thread that has taken the next request from one that has spliced a part of the body.
#[test]
fn a_thread_overtakes_the_end_of_a_body() {
    loses(
        &[
            Receive(POST, 0),
            Receive(PART, 0),
            Receive(PART, 0),
            Receive(PART, GET.len()),
            Late(GET),
            Send,
            Send,
            Receive(GET, GET.len()),
            Late(GET),
            Send,
            Send,
        ],
        4,
    );
}

#[test]
fn what_has_begun_no_message_is_lost_once() {
    const NOISE: &[u8] = &[1; 100];
    loses(
        &[
            Receive(POST, 0),
            Receive(PART, 0),
            Receive(PART, 0),
            Receive(NOISE, GET.len()),
            Late(GET),
            Send,
            Send,
        ],
        2,
    );
}

/// Neither what was spliced nor what nobody has handed over is asked for again.
#[test]
fn what_was_hidden_is_over() {
    let whole = || {
        [
            Receive(POST, 0),
            Receive(PART, 0),
            Receive(PART, 0),
            Receive(PART, 0),
            Send,
            Receive(GET, 0),
            Send,
        ]
    };
    let between = [Receive(GET, 50), Send].into_iter().chain(whole());
    counts(&between.collect::<Vec<_>>(), &[Get, Post, Get]);
    let spliced = [
        Receive(POST, 0),
        Send,
        Receive(POST, 300),
        Receive(PART, 0),
        Receive(PART, 0),
        Receive(PART, 0),
        Send,
        Receive(GET, 0),
        Send,
    ];
    counts(&spliced, &[Post, Post, Get]);
}
