// SPDX-License-Identifier: Apache-2.0
//! What the corpora of all protocols have in common: Markdown in which a heading names a case, a block `transfers` holds its syscalls and a
//! block `counts` what they must add up to. `>` starts a received line, `<` a sent one. Lines that follow each other are
//! one transfer, an empty line cuts, and `>? 500` is a transfer of 500 bytes of which only the number is known.

use std::fs;

use anyhow::{Context, Result, bail, ensure};

use crate::transfer::{Conversation, Direction};

/// A case as it is written.
pub struct Written<'a> {
    pub name: &'a str,
    /// What the block of its transfers is called.
    pub kind: &'a str,
    pub transfers: Vec<&'a str>,
    pub counts: Vec<&'a str>,
}

pub fn read(text: &str) -> Result<Vec<Written<'_>>> {
    let mut cases = Vec::new();
    let mut lines = text.lines();
    let mut name = "";
    let mut transfers = None;
    while let Some(line) = lines.next() {
        if let Some(heading) = line.strip_prefix("## ") {
            name = heading;
        } else if let Some(kind) = line.strip_prefix("```") {
            let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            if kind != "counts" {
                transfers = Some((kind, block));
                continue;
            }
            let (kind, transfers) = transfers
                .take()
                .with_context(|| format!("{name}: counts without transfers"))?;
            cases.push(Written {
                name,
                kind,
                transfers,
                counts: block,
            });
        }
    }
    match transfers {
        Some(_) => bail!("{name}: transfers without counts"),
        None => Ok(cases),
    }
}

impl Written<'_> {
    /// Its transfers; `push` appends what a line stands for that is seen.
    pub fn conversation(
        &self,
        push: impl Fn(&str, &mut Vec<u8>) -> Result<()>,
    ) -> Result<Conversation> {
        let mut conversation = Conversation::default();
        // The transfer being read, until a cut or the other direction ends it.
        let mut open: Option<(Direction, Vec<u8>)> = None;
        for line in self.transfers.iter().chain(&[""]) {
            let (direction, rest) = match line.split_at_checked(1) {
                Some((">", rest)) => (Some(Direction::Receive), rest),
                Some(("<", rest)) => (Some(Direction::Send), rest),
                None => (None, ""),
                Some(_) => bail!("{}: `{line}` starts with neither > nor <", self.name),
            };
            let unseen = rest.strip_prefix("? ");
            if let Some((last, bytes)) =
                open.take_if(|(last, _)| unseen.is_some() || Some(*last) != direction)
            {
                conversation.push(last, &bytes, true);
            }
            let Some(direction) = direction else { continue };
            let about = || format!("{}: `{line}`", self.name);
            if let Some(count) = unseen {
                let count = count.parse().with_context(about)?;
                conversation.push(direction, &vec![b'?'; count], false);
            } else {
                let (_, bytes) = open.get_or_insert((direction, Vec::new()));
                push(rest.strip_prefix(' ').unwrap_or(rest), bytes).with_context(about)?;
            }
        }
        Ok(conversation)
    }
}

/// Replays every case of the files in a folder, of which there have to be more than so many.
pub fn replay_all<C>(
    folder: &str,
    more_than: usize,
    parse: impl Fn(&str) -> Result<Vec<C>>,
    replay: impl Fn(&C) -> Result<()>,
) -> Result<()> {
    let mut cases = 0;
    let mut failures = Vec::new();
    for file in fs::read_dir(folder)? {
        let path = file?.path();
        if path.is_dir() {
            continue;
        }
        let text = fs::read_to_string(&path)?;
        for case in parse(&text).with_context(|| path.display().to_string())? {
            cases += 1;
            if let Err(error) = replay(&case) {
                failures.push(format!("{}: {error}", path.display()));
            }
        }
    }
    ensure!(failures.is_empty(), "{}", failures.join("\n\n"));
    ensure!(
        cases > more_than,
        "only {cases} cases: is the corpus complete?"
    );
    Ok(())
}
