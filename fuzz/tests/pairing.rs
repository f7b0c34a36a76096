// SPDX-License-Identifier: Apache-2.0
//! Which answer is whose after something was lost, and where more is outstanding than is kept.

use http1_fuzz::account::Account;
use http1_fuzz::http1::{self, Way};
use http1_fuzz::transfer::{Conversation, Direction};

const GET: &str = ">GET / HTTP/1.1\r\n\r\n";
const PUT: &str = ">PUT / HTTP/1.1\r\nContent-Length: 0\r\n\r\n";
const NOISE: &str = ">\x01\x02\x03";
const OK: &str = "<HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
const NOT_FOUND: &str = "<HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";

fn account(transfers: &[&str]) -> Account {
    let mut conversation = Conversation::default();
    for transfer in transfers {
        let (mark, bytes) = transfer.split_at(1);
        let direction = match mark {
            ">" => Direction::Receive,
            _ => Direction::Send,
        };
        conversation.push(direction, bytes.as_bytes(), true);
    }
    let [fast, thorough] =
        [Way::Fast, Way::Thorough].map(|way| http1::follow(&conversation, way).account);
    assert_eq!(fast, thorough);
    fast
}

fn answers(account: &Account) -> Vec<(String, u16)> {
    let responses = account.responses.iter();
    let answers = responses.map(|it| (it.request.method.to_string(), it.status));
    answers.collect()
}

#[test]
fn what_was_asked_before_a_loss_is_forgotten() {
    let before = [GET, NOISE, PUT, OK, NOT_FOUND];
    let account = account(&before);
    assert_eq!(answers(&account), [("PUT".to_owned(), 200)]);
    assert_eq!(account.unmatched, [404]);
}

#[test]
fn a_loss_makes_room_for_requests() {
    let many = [PUT, GET, PUT, GET, NOISE, GET, OK, PUT, NOT_FOUND];
    let answered = [("GET".to_owned(), 200), ("PUT".to_owned(), 404)];
    assert_eq!(answers(&account(&many)), answered);
}

/// More unlike requests than are kept of a connection.
fn too_many() -> Vec<&'static str> {
    [GET, PUT].repeat(2300)
}

#[test]
fn requests_that_are_too_many_have_no_answers() {
    let asked = too_many();
    let answered = [OK].repeat(asked.len());
    let account = account(&[asked.clone(), answered, vec![GET, NOT_FOUND]].concat());
    let kept = 4096 + 4;
    assert_eq!(account.responses.len(), kept + 1);
    assert_eq!(account.unmatched.len(), asked.len() - kept);
    // Once all have been answered the two directions are together again.
    assert_eq!(answers(&account)[kept], ("GET".to_owned(), 404));
}

#[test]
fn requests_that_are_too_many_are_forgotten_like_others() {
    let account = account(&[too_many(), vec!["<\x01\x02", PUT, NOT_FOUND, GET, OK]].concat());
    let answered = [("PUT".to_owned(), 404), ("GET".to_owned(), 200)];
    assert_eq!(answers(&account), answered);
}

/// Requests alike in one receive take the place of one, also the last place in the connection.
#[test]
fn many_requests_alike_are_one_run() {
    let many = GET.to_owned() + &GET[1..].repeat(699);
    for before in [vec![], vec![PUT, GET, PUT]] {
        let asked = [before, vec![&*many], [PUT, GET].repeat(1705)].concat();
        let count = asked.len() + 699;
        let account = account(&[asked, [OK].repeat(count)].concat());
        assert_eq!(account.responses.len(), count);
    }
}

#[test]
fn a_tunnel_begins_with_a_status_below_300() {
    const CONNECT: &str = ">CONNECT a:1 HTTP/1.1\r\n\r\n";
    for (status, counted) in [(200, 1), (299, 1), (300, 2), (407, 2)] {
        let answer = format!("<HTTP/1.1 {status} Any\r\nContent-Length: 0\r\n\r\n");
        let account = account(&[CONNECT, &answer, GET, OK]);
        assert_eq!(account.responses.len(), counted, "{status}");
    }
}

#[test]
fn an_answer_that_began_before_its_request_took_no_time() {
    let (begun, rest) = OK.split_at(2);
    let account = account(&[GET, OK, begun, GET, &format!("<{rest}")]);
    let durations: Vec<_> = account.responses.iter().map(|it| it.duration).collect();
    assert_eq!(durations, [1, 0]);
}

/// What is kept of a connection is measured by what is outstanding now.
#[test]
fn a_long_life_leaves_room_for_requests() {
    const LONG: usize = 5000;
    const UNLIKE: usize = 40;
    let life = [GET, OK].repeat(LONG);
    let crowd: Vec<_> = [GET, PUT].into_iter().cycle().take(UNLIKE).collect();
    let account = account(&[life, crowd, vec![OK; UNLIKE]].concat());
    assert_eq!(account.responses.len(), LONG + UNLIKE);
    assert!(account.unmatched.is_empty());
}
