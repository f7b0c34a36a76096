// SPDX-License-Identifier: Apache-2.0
//! Many processes that take a step together and then keep what they have.

use std::io::{PipeReader, PipeWriter, Read, Write, pipe};
use std::process::exit;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork, pause};
use rustix::process::set_parent_process_death_signal;

const DONE: u8 = b'+';
const FAILED: u8 = b'-';

/// Forked children. They are killed when this is dropped, and when this process ends.
pub struct Crowd {
    members: Vec<Pid>,
    gate: Gate,
}

/// Where the members wait for each other: both ends of two pipes, which all of them share.
pub struct Gate {
    reached: (PipeReader, PipeWriter),
    opened: (PipeReader, PipeWriter),
}

impl Gate {
    /// A member's side: says that a step is done, and waits until the next one may be taken.
    pub fn pass(&self) -> Result<()> {
        (&self.reached.1).write_all(&[DONE])?;
        (&self.opened.0).read_exact(&mut [0])?;
        Ok(())
    }
}

impl Crowd {
    /// Starts `count` processes that do `work` and hold what comes of it. The caller must have one thread only.
    pub fn start<T>(count: usize, work: impl Fn(&Gate) -> Result<T>) -> Result<Self> {
        let mut crowd = Self {
            members: Vec::with_capacity(count),
            gate: Gate {
                reached: pipe()?,
                opened: pipe()?,
            },
        };
        for _ in 0..count {
            // SAFETY: there is no other thread that could hold a lock in this moment.
            match unsafe { fork() }.context("cannot start so many processes")? {
                ForkResult::Parent { child } => crowd.members.push(child),
                ForkResult::Child => live(&crowd.gate, &work),
            }
        }
        Ok(crowd)
    }

    /// Waits until every member has come to the gate or to the end of its work.
    pub fn wait(&self) -> Result<()> {
        let mut outcomes = vec![FAILED; self.members.len()];
        let mut first = 0;
        while first < outcomes.len() {
            let read = (&self.gate.reached.0).read(&mut outcomes[first..])?;
            let failed = outcomes[first..first + read].contains(&FAILED);
            ensure!(read > 0 && !failed, "a process of the crowd has failed");
            first += read;
        }
        Ok(())
    }

    /// Lets every member pass the gate.
    pub fn open(&self) -> Result<()> {
        Ok((&self.gate.opened.1).write_all(&vec![DONE; self.members.len()])?)
    }

    pub fn count(&self) -> usize {
        self.members.len()
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        // Both fail only for a member that has already ended.
        for &member in &self.members {
            let _ = kill(member, Signal::SIGKILL);
        }
        for &member in &self.members {
            let _ = waitpid(member, None);
        }
    }
}

/// A member's whole life.
fn live<T>(gate: &Gate, work: impl Fn(&Gate) -> Result<T>) -> ! {
    let outcome = set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
        .context("cannot be tied to the parent")
        .and_then(|()| work(gate));
    let word = match &outcome {
        Ok(_) => DONE,
        Err(error) => {
            eprintln!("error: {error:#}");
            FAILED
        }
    };
    if (&gate.reached.1).write_all(&[word]).is_err() || outcome.is_err() {
        exit(1);
    }
    loop {
        pause();
    }
}
