// SPDX-License-Identifier: Apache-2.0
//! Whether a backend counts: the agent talks to itself, and what comes out has to equal what went in.
//!
//! It talks in a thread that the programs know by its name ([`TALKER`]). What that serves is counted under the agent's own
//! process, which has nothing else there and which [`crate::kernel::harvest`] leaves out; other agents of this host do not
//! count it at all.

mod calls;
mod compat;
mod conversations;
pub(super) mod script;
mod talk;
mod tally;

use std::cell::Cell;
use std::ffi::{CStr, CString};
use std::thread;
use std::time::{Duration, Instant};
use std::{fmt, io};

use anyhow::{Context, Result, bail};

use crate::kernel::decode::{owner, requests};
use crate::kernel::load::Bpf;
use crate::kernel::table::Entry;
use crate::model::counters::ProcessId;
use crate::model::reason::Missed;
use crate::model::series_key::SeriesKey;
use conversations::{Calls, Conversation, Family};
use script::ONE_REQUEST;
use tally::{Miscount, Tally};

/// As long as the kernel lets the name of a thread be.
pub const TALKER: &CStr = c"scope-http-self";

/// How long all conversations may take together where an agent starts, so that they hold it up no longer. On a host that is
/// slower some are left out.
pub const IN_A_HURRY: Duration = Duration::from_millis(50);

/// The kernel may skip a program once (`recursion`). What does not count at all never will.
const ATTEMPTS: u32 = 3;

/// How a backend has proved itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    pub conversations: usize,
    /// Those that could not be held.
    pub left_out: usize,
    pub took: Duration,
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} conversations counted exactly, in {:.1} ms",
            self.conversations,
            self.took.as_secs_f64() * 1000.0
        )?;
        match self.left_out {
            0 => Ok(()),
            n => write!(f, " ({n} could not be held)"),
        }
    }
}

/// What is known of the agent's own counts.
pub(super) struct Own {
    /// In the table of processes.
    pub(super) place: u32,
    pub(super) id: ProcessId,
    /// What the agent's own conversations have added to what was missed.
    pub(super) missed: Cell<Missed>,
    /// What a single request is sent over: the first that it could be sent over.
    family: Cell<Option<Family>>,
    /// Whether the last conversation was counted.
    pub(super) counted: Cell<bool>,
}

impl Own {
    pub(super) fn new(place: u32, id: ProcessId) -> Self {
        Self {
            place,
            id,
            missed: Cell::default(),
            family: Cell::default(),
            counted: Cell::new(false),
        }
    }

    /// Whether an entry is the agent's.
    pub(super) fn is(&self, id: ProcessId) -> bool {
        self.id == id
    }
}

/// How a conversation went.
enum Outcome {
    Counted,
    Miscounted(Box<(Miscount, Missed)>),
    /// Which says nothing about the backend.
    NotHeld(io::Error),
}

/// What had been counted and missed when it was last looked at.
struct Seen {
    tally: Tally,
    missed: Missed,
}

impl Bpf<'_> {
    /// Fails where the backend counts other than what is sent, and says what was sent and what was counted. After so long
    /// a time no conversation begins, but for the first.
    pub fn prove(&self, limit: Duration) -> Result<Proof> {
        let start = Instant::now();
        let mut proof = Proof {
            conversations: 0,
            left_out: 0,
            took: Duration::ZERO,
        };
        let mut obstacle = None;
        let mut seen = self.seen()?;
        for conversation in conversations::of(self.backend()) {
            if start.elapsed() > limit && proof.conversations > 0 {
                log::debug!("no time to try {conversation}");
                proof.left_out += 1;
                continue;
            }
            match self.attempts(&conversation, &mut seen)? {
                Outcome::Counted => {
                    proof.conversations += 1;
                    if self.own.family.get().is_none() {
                        self.own.family.set(Some(conversation.family));
                    }
                }
                Outcome::Miscounted(it) => bail!("{}", told(&it.0, it.1)),
                Outcome::NotHeld(error) => {
                    log::debug!("{conversation} cannot be tried: {error}");
                    proof.left_out += 1;
                    obstacle.get_or_insert(error);
                }
            }
        }
        if let Some(error) = obstacle.filter(|_| proof.conversations == 0) {
            return Err(error).context("the agent cannot talk to itself to see whether it counts");
        }
        self.own.counted.set(true);
        proof.took = start.elapsed();
        Ok(proof)
    }

    /// Sends a single request, and logs what is new about how it counts.
    pub fn prove_again(&self) {
        let one = Conversation {
            script: &ONE_REQUEST,
            calls: Calls::ReadWrite,
            family: self.own.family.get().unwrap_or(Family::Unix),
        };
        let counted = &self.own.counted;
        let outcome = self
            .seen()
            .and_then(|mut seen| self.attempts(&one, &mut seen));
        match outcome {
            Ok(Outcome::Counted) => {
                if !counted.replace(true) {
                    log::warn!("the backend {} counts again", self.backend());
                }
            }
            Ok(Outcome::Miscounted(it)) => {
                let (miscount, missed) = *it;
                let told = told(&miscount, missed);
                if counted.replace(false) {
                    log::warn!("the backend {} no longer counts: {told}", self.backend());
                } else {
                    log::debug!(
                        "the backend {} still does not count: {told}",
                        self.backend()
                    );
                }
            }
            Ok(Outcome::NotHeld(error)) => log::debug!("{one} cannot be tried: {error}"),
            Err(error) => log::debug!("whether the backend counts cannot be seen: {error:#}"),
        }
    }

    fn seen(&self) -> Result<Seen> {
        Ok(Seen {
            tally: self.own_tally()?,
            missed: self.missed_by_all()?,
        })
    }

    /// Until it is counted.
    fn attempts(&self, conversation: &Conversation, seen: &mut Seen) -> Result<Outcome> {
        let mut outcome = self.attempt(conversation, seen)?;
        for _ in 1..ATTEMPTS {
            if !matches!(outcome, Outcome::Miscounted(..)) {
                break;
            }
            outcome = self.attempt(conversation, seen)?;
        }
        Ok(outcome)
    }

    fn attempt(&self, conversation: &Conversation, seen: &mut Seen) -> Result<Outcome> {
        let held = hold(conversation);
        let tally = self.own_tally()?;
        let counted = tally.since(&seen.tally);
        seen.tally = tally;
        let outcome = match (held, conversation.compare(counted)) {
            (Ok(()), Ok(())) => return Ok(Outcome::Counted),
            (Ok(()), Err(miscount)) => Ok(miscount),
            (Err(error), _) => Err(error),
        };
        let missed = self.withhold(conversation, seen)?;
        Ok(outcome.map_or_else(Outcome::NotHeld, |miscount| {
            Outcome::Miscounted(Box::new((miscount, missed)))
        }))
    }

    /// Takes what was missed of a conversation out of what is shown. Others may have added to it meanwhile, but a step is no more
    /// than two transfers.
    fn withhold(&self, conversation: &Conversation, seen: &mut Seen) -> Result<Missed> {
        let most = 2 * conversation.script.steps.len() as u64;
        let now = self.missed_by_all()?;
        let (mut missed, mut own) = (Missed::default(), self.own.missed.get());
        for (reason, count) in now.iter() {
            missed[reason] = count.saturating_sub(seen.missed[reason]).min(most);
            own[reason] += missed[reason];
        }
        seen.missed = now;
        self.own.missed.set(own);
        Ok(missed)
    }

    /// What has been counted of the agent's own conversations so far.
    fn own_tally(&self) -> Result<Tally> {
        let own = self.processes.entry(self.own.place)?.owner;
        let mut tally = Tally {
            requests: requests(&own),
            ..Tally::default()
        };
        // They came first, when nothing else was counted yet.
        let is_own = |key: &_| self.own.is(owner(key));
        for series in self.series.first(own.kinds as usize, is_own)? {
            let fine = self.spans.read(&series)?.into_iter();
            let coarse = series.coarse.iter().map(|count| u64::from(*count));
            let answers = fine.map(|(_, count)| count).chain(coarse).sum();
            tally
                .answers
                .insert(SeriesKey::from(&series.key()), answers);
        }
        Ok(tally)
    }
}

/// In a thread that has the name meanwhile.
fn hold(conversation: &Conversation) -> io::Result<()> {
    let talk = || {
        let _named = Named::take()?;
        talk::hold(conversation)
    };
    if conversation.calls != Calls::IoUring {
        // It needs no other thread, for which it would have to wait on a busy host.
        return talk();
    }
    // A task that has once used it is looked at in another way from then on.
    thread::scope(|scope| {
        thread::Builder::new()
            .spawn_scoped(scope, talk)?
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the thread has panicked")))
    })
}

/// The calling thread has the name of those that talk to themselves, until this is dropped.
struct Named {
    before: CString,
}

impl Named {
    fn take() -> io::Result<Self> {
        let before = rustix::thread::name()?;
        rustix::thread::set_name(TALKER)?;
        Ok(Self { before })
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        if let Err(error) = rustix::thread::set_name(&self.before) {
            log::debug!("the thread keeps the name {TALKER:?}: {error}");
        }
    }
}

/// A miscount, and what was missed meanwhile.
fn told(miscount: &Miscount, missed: Missed) -> String {
    let mut told = miscount.to_string();
    for (reason, count) in missed.iter().filter(|(_, count)| *count > 0) {
        told += &format!(", missed {count} ({})", reason.label());
    }
    told
}
