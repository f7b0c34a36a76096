// SPDX-License-Identifier: Apache-2.0
//! Every case of the corpus of HTTP/2 counts what it says, however it is cut.

use anyhow::{Result, ensure};
use http1_fuzz::cases::replay_all;
use http1_fuzz::http2::corpus::{Case, count, parse};
use http1_fuzz::transfer::Conversation;

fn agree(case: &Case, cut: &str, conversation: &Conversation) -> Result<()> {
    let Case { name, expected, .. } = case;
    let found = count(conversation, case.from);
    ensure!(
        found == *expected,
        "{name} ({cut})\nexpected\n{expected:#?}\n\nfound\n{found:#?}"
    );
    Ok(())
}

fn replay(case: &Case) -> Result<()> {
    agree(case, "as written", &case.conversation)?;
    if case.as_cut {
        return Ok(());
    }
    agree(case, "in one piece", &case.conversation.joined_up())?;
    for size in 1..20 {
        let pieces = case.conversation.in_pieces(size);
        agree(case, &format!("in pieces of {size}"), &pieces)?;
    }
    Ok(())
}

#[test]
fn every_case_counts_what_it_says() -> Result<()> {
    replay_all("corpus/http2", 30, parse, replay)
}
