// SPDX-License-Identifier: Apache-2.0
//! The apparatus itself: trials reach what they claim to reach, and who sees less is found out.

use http1_fuzz::account::{Account, Method};
use http1_fuzz::corpus;
use http1_fuzz::http1::{self, Way};
use http1_fuzz::transfer::{Conversation, Direction, Transfer};
use http1_fuzz::trial::Kind;

const SEEDS: std::ops::Range<u64> = 0..5_000;

/// Trials in which an agent that sees `seen` of a conversation counts something else.
fn found_out(seen: impl Fn(&Conversation) -> Conversation) -> usize {
    let trials = SEEDS.map(|seed| Kind::Whole.conversation(seed));
    trials
        .filter(|(whole, expected)| http1::count(&seen(whole)) != *expected)
        .count()
}

#[test]
fn who_looks_at_the_first_bytes_of_a_receive_only_is_found_out() {
    let prefixes = |whole: &Conversation| {
        let mut seen = Conversation::default();
        for transfer in &whole.transfers {
            let bytes = whole.bytes(transfer);
            let (prefix, rest) = bytes.split_at(bytes.len().min(64));
            seen.push(transfer.direction, prefix, transfer.readable);
            if !rest.is_empty() {
                seen.push(transfer.direction, rest, false);
            }
        }
        seen
    };
    assert!(found_out(prefixes) > 1000);
}

#[test]
fn who_does_not_count_unseen_bytes_is_found_out() {
    let readable = |whole: &Conversation| {
        let mut seen = Conversation::default();
        for transfer in whole.transfers.iter().filter(|transfer| transfer.readable) {
            seen.push(transfer.direction, whole.bytes(transfer), true);
        }
        seen
    };
    assert!(found_out(readable) > 100);
}

#[test]
fn who_misses_responses_is_found_out() {
    let received = |whole: &Conversation| {
        let mut seen = Conversation::default();
        for transfer in whole
            .transfers
            .iter()
            .filter(|t| t.direction == Direction::Receive)
        {
            seen.push(transfer.direction, whole.bytes(transfer), transfer.readable);
        }
        seen
    };
    assert!(found_out(received) > 1000);
}

/// The most requests that were received before a response began.
fn depth(conversation: &Conversation, account: &Account) -> usize {
    let first_send = |transfer: &Transfer| transfer.direction == Direction::Send;
    let before = conversation
        .transfers
        .iter()
        .position(first_send)
        .unwrap_or_default();
    let received: Vec<u8> = conversation.transfers[..before]
        .iter()
        .flat_map(|t| conversation.bytes(t))
        .copied()
        .collect();
    account.requests.len().min(
        received
            .windows(9)
            .filter(|window| *window == b" HTTP/1.1")
            .count(),
    )
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

#[test]
fn trials_reach_what_they_claim() {
    type Feature = (&'static str, fn(&Conversation, &Account) -> bool);
    let features: [Feature; 16] = [
        ("a deep pipeline", |whole, account| {
            depth(whole, account) >= 40
        }),
        ("two responses in one send", |whole, _| {
            let mut sends = whole
                .transfers
                .iter()
                .filter(|t| t.direction == Direction::Send && t.readable);
            sends.any(|send| {
                let bytes = whole.bytes(send);
                bytes.starts_with(b"HTTP/1.1 ") && holds(bytes, "\nHTTP/1.1 404")
            })
        }),
        ("single bytes", |whole, _| {
            whole.transfers.len() > 100
                && whole
                    .transfers
                    .iter()
                    .all(|transfer| transfer.range.len() == 1)
        }),
        ("an unseen body", |whole, _| {
            let sends = |t: &Transfer| t.direction == Direction::Send && !t.readable;
            whole.transfers.iter().any(sends)
        }),
        ("a large head", |whole, _| {
            holds(&whole.received, &"x".repeat(50_000))
        }),
        ("a large body", |whole, _| whole.sent.len() > 80_000),
        ("chunks", |whole, _| holds(&whole.sent, "\r\n0\r\n\r\n")),
        ("a PROXY header", |whole, account| {
            whole.received.starts_with(b"PROXY ") && !account.requests.is_empty()
        }),
        ("a binary PROXY header", |whole, account| {
            whole.received.starts_with(b"\r\n\r\n\0\r\nQUIT\n") && !account.requests.is_empty()
        }),
        ("bare line feeds", |whole, _| {
            holds(&whole.received, "HTTP/1.1\n")
        }),
        ("an interim response", |whole, _| {
            holds(&whole.sent, "HTTP/1.1 103")
        }),
        ("a tunnel", |_, account| {
            let tunnel = |method, status| method == Method::Connect && (200..300).contains(&status);
            account
                .responses
                .iter()
                .any(|r| tunnel(r.request.method, r.status))
        }),
        ("an upgrade", |_, account| {
            account.responses.iter().any(|r| r.status == 101)
        }),
        ("no answer", |_, account| {
            account.requests.len() > account.responses.len()
        }),
        ("no request", |_, account| account.unmatched == [408]),
        ("every method", |_, account| {
            account.requests.iter().any(|r| r.method == Method::Trace)
        }),
    ];
    let mut missing: Vec<Feature> = features.to_vec();
    for seed in SEEDS {
        let (whole, account) = Kind::Whole.conversation(seed);
        missing.retain(|(_, shows)| !shows(&whole, &account));
    }
    let missing: Vec<&str> = missing.iter().map(|(name, _)| *name).collect();
    assert!(missing.is_empty(), "never generated: {missing:?}");
}

#[test]
fn a_printed_conversation_can_be_replayed() {
    for seed in 0..500 {
        let (whole, expected) = Kind::Whole.conversation(seed);
        let file = format!(
            "## {seed}\n```transfers\n{}```\n```counts\n```\n",
            corpus::transcript(&whole)
        );
        let cases = corpus::parse(&file).unwrap();
        let visible = |conversation: &Conversation| -> Vec<(Direction, usize, Option<Vec<u8>>)> {
            let transfers = conversation.transfers.iter();
            transfers
                .map(|t| {
                    let bytes = conversation.bytes(t);
                    (t.direction, bytes.len(), t.readable.then(|| bytes.to_vec()))
                })
                .collect()
        };
        assert_eq!(
            visible(&cases[0].conversation),
            visible(&whole),
            "seed {seed}"
        );
        assert_eq!(
            http1::count(&cases[0].conversation),
            expected,
            "seed {seed}"
        );
    }
}

#[test]
fn maps_that_forget_lose_some_answers_and_not_most() {
    let (mut unmatched, mut answers) = (0, 0);
    for seed in SEEDS {
        let (pipelined, _) = Kind::Pipelined.conversation(seed);
        let followed = http1::follow(&pipelined, Way::Forgetful);
        unmatched += followed.account.unmatched.len();
        answers += followed.matched.len();
    }
    assert!(unmatched * 20 > answers, "{unmatched} of {answers}");
    assert!(unmatched * 2 < answers, "{unmatched} of {answers}");
}

#[test]
fn most_heads_are_taken_at_once() {
    let (mut taken, mut heads) = (0, 0);
    for seed in SEEDS {
        let (whole, account) = Kind::Whole.conversation(seed);
        taken += http1::follow(&whole, Way::Fast).taken;
        heads += account.requests.len() + account.responses.len();
    }
    assert!(taken * 2 > heads, "{taken} of {heads}");
    assert!(taken * 10 < heads * 9, "{taken} of {heads}");
}

#[test]
#[should_panic = "overflow"]
fn a_counter_that_wraps_is_found_out_in_a_release_build_too() {
    let _ = std::hint::black_box(u64::MAX) + 1;
}
