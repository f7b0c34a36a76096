// SPDX-License-Identifier: Apache-2.0
//! Every case of the corpus of HTTP/2 counts what it says, however it is cut.

use std::fs;

use anyhow::{Context, Result, ensure};
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
    let mut cases = 0;
    let mut failures = Vec::new();
    for file in fs::read_dir("corpus/http2")? {
        let path = file?.path();
        let text = fs::read_to_string(&path)?;
        for case in parse(&text).with_context(|| path.display().to_string())? {
            cases += 1;
            if let Err(error) = replay(&case) {
                failures.push(format!("{}: {error}", path.display()));
            }
        }
    }
    ensure!(failures.is_empty(), "{}", failures.join("\n\n"));
    ensure!(cases > 30, "only {cases} cases: is the corpus complete?");
    Ok(())
}
