// SPDX-License-Identifier: Apache-2.0
//! Short scenes between a client and a server, each in a process of its own, and what they count as under every backend.

mod cast;
mod dirty;
mod durations;
mod redirected;
mod shared;
mod strangers;
mod streams;

use clap::ValueEnum;
use common::by_backend;
use scope_http_statistics::kernel::backend::Backend;
use scope_http_statistics::model::reason::Reason;

use self::cast::Scene;
use self::dirty::what_a_buffer_held_before_is_no_request;
use self::durations::heads_of_any_form_take_their_time;
use self::redirected::bodies_that_a_sockmap_redirects_are_none;
use self::shared::what_two_threads_receive_on_one_socket_counts_once;
use self::strangers::strangers_are_written_off_and_their_neighbours_count;
use self::streams::streams_count_in_every_cut;
use crate::observer::{self, Observer};

by_backend!(
    what_a_buffer_held_before_is_no_request,
    heads_of_any_form_take_their_time,
    bodies_that_a_sockmap_redirects_are_none,
    what_two_threads_receive_on_one_socket_counts_once,
    strangers_are_written_off_and_their_neighbours_count,
    streams_count_in_every_cut,
);

/// Why bytes that were seen are not counted.
const OF_BYTES: [Reason; 11] = [
    Reason::Unmatched,
    Reason::RequestsLost,
    Reason::ResponsesLost,
    Reason::Unbounded,
    Reason::TooLong,
    Reason::Unreadable,
    Reason::Cancelled,
    Reason::Reset,
    Reason::StreamsFull,
    Reason::JoinedLate,
    Reason::HpackTable,
];

fn observer(backend: &str) -> Observer {
    Observer::of(Backend::from_str(backend, false).unwrap())
}

/// Plays a scene, which is to count as many requests and answers each time, and to miss nothing. Other processes of the host may
/// add to what is missed, but hardly every time.
fn counts(backend: &str, scene: Scene, requests: u64) {
    const TIMES: usize = 10;
    let observer = observer(backend);
    let mut missed = Vec::new();
    while missed.len() < TIMES {
        let before = observer.harvest().missed;
        let played = cast::play(scene);
        let after = observer.harvest();
        assert_eq!(observer::counts(&after, played.pid()), (requests, requests));
        let more = |reason: &Reason| after.missed[*reason] > before[*reason];
        let reasons: Vec<_> = OF_BYTES.into_iter().filter(more).collect();
        if reasons.is_empty() {
            return;
        }
        missed.push(reasons);
    }
    panic!("missed each time: {missed:?}");
}
