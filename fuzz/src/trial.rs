// SPDX-License-Identifier: Apache-2.0
//! Trials: a random conversation, what it must count, what the framing counts.

use std::env;
use std::ops::Range;

use anyhow::{Context, Result, bail};

use crate::account::Account;
use crate::corpus::transcript;
use crate::transfer::Conversation;
use crate::{conversation, http1, joined, oracle, stranger};

#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Seen from the first byte.
    Whole,
    Joined,
    Blinded,
    Stranger,
}

pub const KINDS: [Kind; 4] = [Kind::Whole, Kind::Joined, Kind::Blinded, Kind::Stranger];

impl Kind {
    pub fn conversation(self, seed: u64) -> (Conversation, Account) {
        match self {
            Self::Whole => {
                let conversation = conversation::random(seed);
                let account = oracle::read(&conversation);
                (conversation, account)
            }
            Self::Joined => joined::joined(seed),
            Self::Blinded => joined::blinded(seed),
            Self::Stranger => (stranger::random(seed), Account::default()),
        }
    }

    /// The conversation and both accounts, if they differ.
    fn failure(self, seed: u64) -> Option<(Conversation, Account, Account)> {
        let (conversation, expected) = self.conversation(seed);
        let counted = http1::count(&conversation);
        (counted != expected).then_some((conversation, expected, counted))
    }
}

/// `$SEED` alone, so that a failure can be looked at, or else these.
pub fn seeds(usual: Range<u64>) -> Result<Range<u64>> {
    let Ok(seed) = env::var("SEED") else {
        return Ok(usual);
    };
    let seed = seed.parse().context("SEED is not a number")?;
    Ok(seed..seed + 1)
}

/// Runs a trial for each seed. Of a failure and those that soon follow it, the smallest is reported.
pub fn run(kind: Kind, seeds: Range<u64>) -> Result<()> {
    const LOOK_FURTHER: u64 = 1000;
    let Some(first) = seeds.clone().find(|&seed| kind.failure(seed).is_some()) else {
        return Ok(());
    };
    let further = first..seeds.end.min(first + LOOK_FURTHER);
    let failures = further.filter_map(|seed| Some((seed, kind.failure(seed)?)));
    let smallest = failures.min_by_key(|(_, (conversation, ..))| transcript(conversation).len());
    if let Some((seed, (conversation, expected, counted))) = smallest {
        bail!(
            "{kind:?} conversation, again with SEED={seed} cargo test --release\n\n{}\
             expected\n{expected}\n\ncounted\n{counted}",
            transcript(&conversation)
        );
    }
    Ok(())
}
