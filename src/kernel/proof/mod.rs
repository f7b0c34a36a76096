// SPDX-License-Identifier: Apache-2.0
//! Whether a backend counts: the agent talks to itself, and what comes out has to equal what went in.
//!
//! It talks in a thread that the programs know by its name ([`TALKER`]). What that serves is counted under the agent's own
//! process, which has nothing else there and which [`crate::kernel::harvest`] leaves out; other agents of this host do not
//! count it at all.

mod calls;
mod compat;
pub mod conversations;
mod talk;

use std::cell::Cell;
use std::ffi::{CStr, CString};
use std::thread;
use std::time::{Duration, Instant};
use std::{fmt, io};

use anyhow::{Context, Result, bail};
use libbpf_rs::{MapCore, MapFlags};

use crate::kernel::harvest::{durations, owner, requests};
use crate::kernel::load::Bpf;
use crate::kernel::load::skeleton::types;
use crate::kernel::maps::{entries, read};
use crate::model::counters::{ProcessId, SeriesKey};
use crate::model::reason::Missed;
use conversations::{Calls, Conversation, Family, Miscount, ONE_REQUEST, Tally};

/// As long as the kernel lets the name of a thread be.
pub const TALKER: &CStr = c"scope-http-self";

/// How long all conversations may take together, so that they hold up no start. On a host that is slower some are left out.
const LIMIT: Duration = Duration::from_millis(50);

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
    id: ProcessId,
    /// What the agent's own conversations have added to what was missed.
    pub(super) missed: Cell<Missed>,
    /// What a single request is sent over: the first that it could be sent over.
    family: Cell<Option<Family>>,
    /// Whether the last conversation was counted.
    pub(super) counted: Cell<bool>,
}

impl Own {
    pub(super) fn new(id: ProcessId) -> Self {
        Self {
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
    Miscounted(Miscount, Missed),
    /// Which says nothing about the backend.
    NotHeld(io::Error),
}

impl Bpf<'_> {
    /// Fails where the backend counts other than what is sent, and says what was sent and what was counted.
    pub fn prove(&self) -> Result<Proof> {
        let start = Instant::now();
        let mut proof = Proof {
            conversations: 0,
            left_out: 0,
            took: Duration::ZERO,
        };
        let mut obstacle = None;
        for conversation in conversations::of(self.backend()) {
            if start.elapsed() > LIMIT && proof.conversations > 0 {
                log::debug!("no time to try {conversation}");
                proof.left_out += 1;
                continue;
            }
            match self.attempts(&conversation)? {
                Outcome::Counted => {
                    proof.conversations += 1;
                    if self.own.family.get().is_none() {
                        self.own.family.set(Some(conversation.family));
                    }
                }
                Outcome::Miscounted(miscount, missed) => bail!("{}", told(&miscount, missed)),
                Outcome::NotHeld(error) => {
                    log::debug!("{conversation} cannot be tried: {error}");
                    proof.left_out += 1;
                    obstacle.get_or_insert(error);
                }
            }
        }
        match obstacle {
            Some(error) if proof.conversations == 0 => {
                return Err(error)
                    .context("the agent cannot talk to itself to see whether it counts");
            }
            _ => {}
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
        match self.attempts(&one) {
            Ok(Outcome::Counted) => {
                if !counted.replace(true) {
                    log::warn!("the backend {} counts again", self.backend());
                }
            }
            Ok(Outcome::Miscounted(miscount, missed)) => {
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

    /// Until it is counted.
    fn attempts(&self, conversation: &Conversation) -> Result<Outcome> {
        let mut outcome = self.attempt(conversation)?;
        for _ in 1..ATTEMPTS {
            if !matches!(outcome, Outcome::Miscounted(..)) {
                break;
            }
            outcome = self.attempt(conversation)?;
        }
        Ok(outcome)
    }

    fn attempt(&self, conversation: &Conversation) -> Result<Outcome> {
        let missed_before = self.missed_by_all()?;
        let before = self.own_tally()?;
        let held = hold(conversation);
        let counted = self.own_tally()?.since(&before);
        let compared = conversation.compare(counted);
        if held.is_ok() && compared.is_ok() {
            return Ok(Outcome::Counted);
        }
        // Others may have added to it meanwhile, but each step is no more than two transfers.
        let most = 2 * conversation.script.steps.len() as u64;
        let mut missed = Missed::default();
        let mut own = self.own.missed.get();
        let before = missed_before.iter();
        for ((reason, after), (_, before)) in self.missed_by_all()?.iter().zip(before) {
            missed[reason] = after.saturating_sub(before).min(most);
            own[reason] += missed[reason];
        }
        self.own.missed.set(own);
        Ok(match (held, compared) {
            (Err(error), _) => Outcome::NotHeld(error),
            (Ok(()), Err(miscount)) => Outcome::Miscounted(miscount, missed),
            (Ok(()), Ok(())) => Outcome::Counted,
        })
    }

    /// What has been counted of the agent's own conversations so far.
    fn own_tally(&self) -> Result<Tally> {
        let _priority = self.real_time_priority();
        let maps = &self.skeleton.maps;
        let key: types::http_process_key = self.own.id.into();
        // SAFETY: `Plain` says that the key has no padding.
        let process = maps
            .http_processes
            .lookup(unsafe { plain::as_bytes(&key) }, MapFlags::ANY)
            .context("http_processes cannot be read")?
            .context("the agent has no place in http_processes")?;
        let mut tally = Tally {
            requests: requests(&read(&process)?),
            ..Tally::default()
        };
        for (key, value) in entries(&maps.http_series)? {
            let key: types::http_series_key = read(&key)?;
            if self.own.is(owner(&key)) {
                let answers = durations(&read(&value)?).count();
                tally.answers.insert(SeriesKey::from(&key), answers);
            }
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
