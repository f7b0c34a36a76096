// SPDX-License-Identifier: Apache-2.0
//! Answers that cannot be read or told apart: none is taken for that of another request.

use http1_fuzz::http1::{self, Followed, Way};
use http1_fuzz::transfer::{Conversation, Direction};

/// Receives begin with `>`, sends with `<`.
fn follow(transfers: &[&str]) -> Followed {
    let mut conversation = Conversation::default();
    for transfer in transfers {
        let (direction, bytes) = match transfer.split_at(1) {
            (">", bytes) => (Direction::Receive, bytes),
            (_, bytes) => (Direction::Send, bytes),
        };
        conversation.push(direction, bytes.as_bytes(), true);
    }
    http1::follow(&conversation, Way::Fast)
}

/// Methods that were received, and what was answered to which.
fn assert_counted(transfers: &[&str], requests: &[&str], answers: &[(&str, u16)], lost: usize) {
    let followed = follow(transfers);
    let account = &followed.account;
    let received = account.requests.iter();
    let received: Vec<_> = received.map(|it| it.method.to_string()).collect();
    let answered = account.responses.iter();
    let answered: Vec<_> = answered
        .map(|it| (it.request.method.to_string(), it.status))
        .collect();
    let expected: Vec<_> = answers
        .iter()
        .map(|(method, status)| ((*method).to_owned(), *status))
        .collect();
    assert_eq!(received, requests);
    assert_eq!((answered, followed.lost), (expected, lost));
}

const PUT: &str = ">PUT / HTTP/1.1\r\nContent-Length: 0\r\n\r\n";
const GET: &str = ">GET / HTTP/1.1\r\n\r\n";
const NOT_FOUND: &str = "<HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
const UNREADABLE: &str = "<HTTP/1.1  200 OK\r\nContent-Length: 0\r\n\r\n";
const ENDLESS: &str = "<HTTP/1.1 200 OK\r\n\r\nbody";

#[test]
fn an_answer_that_cannot_be_read_is_nobody_elses() {
    let once = [PUT, UNREADABLE, GET, NOT_FOUND];
    assert_counted(&once, &["PUT", "GET"], &[("GET", 404)], 1);
    let after_another = [GET, NOT_FOUND, PUT, UNREADABLE, GET, NOT_FOUND];
    assert_counted(
        &after_another,
        &["GET", "PUT", "GET"],
        &[("GET", 404); 2],
        1,
    );
    let again = [PUT, UNREADABLE, PUT, UNREADABLE, GET, NOT_FOUND];
    assert_counted(&again, &["PUT", "PUT", "GET"], &[("GET", 404)], 2);
}

#[test]
fn answers_behind_one_without_a_length_are_not_guessed() {
    let kept = [GET, ENDLESS, PUT, NOT_FOUND, GET, NOT_FOUND];
    assert_counted(&kept, &["GET", "PUT", "GET"], &[("GET", 200)], 0);
    assert_eq!(follow(&kept).unbounded, 2);
    assert_eq!(follow(&[GET, ENDLESS]).unbounded, 0);
}
