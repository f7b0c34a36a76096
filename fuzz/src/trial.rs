// SPDX-License-Identifier: Apache-2.0
//! Trials: a random conversation, what it must count, what the framing counts.

use std::env;
use std::ops::Range;

use anyhow::{Context, Result, bail};

use crate::account::Account;
use crate::corpus::transcript;
use crate::http1::Way;
use crate::transfer::Conversation;
use crate::{conversation, head, http1, joined, oracle, other_protocol, pipelined};

#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Seen from the first byte.
    Whole,
    Joined,
    Blinded,
    OtherProtocol,
    /// Nearly usual heads.
    Heads,
    /// More outstanding requests than fit into a connection.
    Pipelined,
}

pub const KINDS: [Kind; 6] = [
    Kind::Whole,
    Kind::Joined,
    Kind::Blinded,
    Kind::OtherProtocol,
    Kind::Heads,
    Kind::Pipelined,
];

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
            Self::OtherProtocol => (other_protocol::random(seed), Account::default()),
            Self::Heads => {
                let conversation = head::random(seed);
                // The state machine, which the other kinds hold against the oracle, is the truth.
                let account = http1::follow(&conversation, Way::Thorough).account;
                (conversation, account)
            }
            Self::Pipelined => {
                let conversation = pipelined::random(seed).conversation;
                let account = oracle::read(&conversation);
                (conversation, account)
            }
        }
    }

    /// The conversation and what is wrong with how it was followed, if anything is.
    fn failure(self, seed: u64) -> Option<(Conversation, String)> {
        let (conversation, expected) = self.conversation(seed);
        let way = match self {
            // The state machine alone cannot tell the end of a body from a method that follows it.
            Self::Joined | Self::Blinded => Way::OneBuffer,
            _ => Way::Fast,
        };
        let followed = http1::follow(&conversation, way);
        let mut counted = followed.account;
        match self {
            Self::Whole => {
                if followed.lost > 0 {
                    return Some((conversation, format!("lost {} times", followed.lost)));
                }
                let thorough = http1::follow(&conversation, Way::Thorough).account;
                if counted != thorough {
                    let wrong = format!("counted\n{counted}\n\ncounted thoroughly\n{thorough}");
                    return Some((conversation, wrong));
                }
            }
            Self::Pipelined => {
                if let Some(wrong) = pipelined::random(seed).wrong(&expected) {
                    return Some((conversation, wrong));
                }
            }
            // Whether a process is known to be a server when it answers a request that was not seen
            // depends on what was seen before.
            Self::Joined | Self::Blinded if expected.unmatched.is_empty() => {
                counted.unmatched.clear();
            }
            _ => {}
        }
        (counted != expected).then(|| {
            (
                conversation,
                format!("expected\n{expected}\n\ncounted\n{counted}"),
            )
        })
    }
}

/// `$SEED` alone, so that a failure can be looked at, or else these, of which `$SEEDS` are enough.
pub fn seeds(usual: Range<u64>) -> Result<Range<u64>> {
    if let Some(seed) = number("SEED")? {
        return Ok(seed..seed + 1);
    }
    let enough = number("SEEDS")?.map_or(usual.end, |count| usual.start + count);
    Ok(usual.start..usual.end.min(enough))
}

fn number(variable: &str) -> Result<Option<u64>> {
    let Ok(text) = env::var(variable) else {
        return Ok(None);
    };
    let number = text
        .parse()
        .with_context(|| format!("{variable} is no number"))?;
    Ok(Some(number))
}

/// Runs a trial for each seed. Of a failure and those that soon follow it, the smallest is reported.
pub fn run(kind: Kind, seeds: Range<u64>) -> Result<()> {
    const LOOK_FURTHER: u64 = 1000;
    let Some(first) = seeds.clone().find(|&seed| kind.failure(seed).is_some()) else {
        return Ok(());
    };
    let further = first..seeds.end.min(first + LOOK_FURTHER);
    let failures = further.filter_map(|seed| Some((seed, kind.failure(seed)?)));
    let smallest = failures.min_by_key(|(_, (conversation, _))| transcript(conversation).len());
    if let Some((seed, (conversation, wrong))) = smallest {
        bail!(
            "{kind:?} conversation, again with SEED={seed} cargo test --release\n\n{}{wrong}",
            transcript(&conversation)
        );
    }
    Ok(())
}
