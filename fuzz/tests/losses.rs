// SPDX-License-Identifier: Apache-2.0
//! What is said to be lost: a direction that was followed and no longer can be, once, whichever way it was read before.

use http1_fuzz::http1::{self, Way};
use http1_fuzz::transfer::{Conversation, Direction};

const GET: &str = ">GET / HTTP/1.1\r\n\r\n";
const UNUSUAL_GET: &str = ">GET  / HTTP/1.1\r\n\r\n";
const OK: &str = "<HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
const UNUSUAL_OK: &str = "<HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n";
const NOISE: &str = "\x01\x02\x03";

fn lost(transfers: &[&str]) -> usize {
    let mut conversation = Conversation::default();
    for transfer in transfers {
        let (mark, bytes) = transfer.split_at(1);
        let direction = match mark {
            ">" => Direction::Receive,
            _ => Direction::Send,
        };
        conversation.push(direction, bytes.as_bytes(), true);
    }
    let followed = [Way::Fast, Way::Thorough].map(|way| http1::follow(&conversation, way).lost);
    assert_eq!(followed[0], followed[1]);
    followed[0]
}

#[test]
fn answers_that_break_off() {
    let noise = &format!("<{NOISE}");
    for (get, ok) in [(GET, OK), (UNUSUAL_GET, UNUSUAL_OK)] {
        assert_eq!(lost(&[get, ok, noise]), 1);
        assert_eq!(lost(&[get, ok, noise, noise]), 1);
        assert_eq!(lost(&[get, ok, get, noise]), 1);
        assert_eq!(lost(&[get, ok, get, ok]), 0);
    }
}

#[test]
fn requests_that_break_off() {
    let noise = &format!(">{NOISE}");
    for (get, ok) in [(GET, OK), (UNUSUAL_GET, UNUSUAL_OK)] {
        assert_eq!(lost(&[noise]), 0);
        assert_eq!(lost(&[get, noise]), 1);
        assert_eq!(lost(&[get, noise, noise]), 1);
        assert_eq!(lost(&[get, ok, noise, get, ok, noise]), 2);
    }
}
