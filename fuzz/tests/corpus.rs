// SPDX-License-Identifier: Apache-2.0
//! Every case of the corpus counts what it says, however it is cut, and the oracle agrees.

use anyhow::{Result, ensure};
use http1_fuzz::account::Account;
use http1_fuzz::cases::replay_all;
use http1_fuzz::corpus::{Case, parse};
use http1_fuzz::http1::{WAYS, Way, follow};
use http1_fuzz::oracle;
use http1_fuzz::transfer::Conversation;

fn agree(case: &Case, who: &str, found: Account) -> Result<()> {
    let Case { name, expected, .. } = case;
    let found = found.untimed();
    ensure!(
        found == *expected,
        "{name} ({who})\nexpected\n{expected}\n\nfound\n{found}"
    );
    Ok(())
}

/// The framing counts what is expected.
fn count(case: &Case, cut: &str, conversation: &Conversation) -> Result<()> {
    // More buffers are more cuts.
    let ways = if case.as_cut {
        &[Way::OneBuffer][..]
    } else {
        &WAYS
    };
    for &way in ways {
        let found = follow(conversation, way).account;
        agree(case, &format!("{cut}, {way:?}"), found)?;
    }
    Ok(())
}

fn replay(case: &Case) -> Result<()> {
    let as_written = &case.conversation;
    count(case, "as written", as_written)?;
    if case.as_cut {
        return Ok(());
    }
    count(case, "in one piece", &as_written.joined_up())?;
    for size in 1..20 {
        let pieces = format!("in pieces of {size}");
        // A large body in single bytes would take long and show nothing new.
        if as_written.received.len() + as_written.sent.len() < 10_000 {
            count(case, &pieces, &as_written.in_pieces(size))?;
        }
    }
    agree(case, "oracle", oracle::read(as_written))
}

#[test]
fn every_case_counts_what_it_says() -> Result<()> {
    replay_all("corpus", 100, parse, replay)
}
