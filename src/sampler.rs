// SPDX-License-Identifier: Apache-2.0
//! Reads the kernel's counters once a second and publishes what is known.
//!
//! One thread owns the BPF object, and with it everything in the kernel, on its stack.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};
use tokio::sync::mpsc as queue;
use tokio::sync::{oneshot, watch};

use crate::confine;
use crate::footprint;
use crate::identity::life::Lives;
use crate::kernel::choice;
use crate::kernel::load::{Bpf, Options};
use crate::model::selection::{Selecting, Selection};
use crate::model::snapshot::Snapshot;
use crate::model::sweep::Sweep;
use crate::model::tick::Moment;
use crate::model::tracker::Tracker;
use crate::sampling::{self, Failures, Sampling, agent_state};

const INTERVAL: Duration = Duration::from_secs(1);
/// How often it is seen whether the backend still counts.
const PROOF_INTERVAL: Duration = Duration::from_secs(60);
/// How often memory is given back. It takes about a millisecond for ten thousand processes.
const TRIM_INTERVAL: Duration = Duration::from_secs(10);
/// And for the first time: then whatever belongs to the start is over.
const SETTLED: Duration = Duration::from_millis(2500);

/// The latest snapshot.
pub type Snapshots = watch::Receiver<Arc<Snapshot>>;
/// Each snapshot after the first, for one who adds up what they bring.
pub type EverySnapshot = queue::Receiver<Arc<Snapshot>>;

/// The sampling thread. When this is dropped it ends, and what it has put into the kernel is gone.
pub struct Sampler {
    pub snapshots: Snapshots,
    pub failures: Failures,
    stop: mpsc::Sender<()>,
    thread: Option<JoinHandle<()>>,
}

impl Sampler {
    /// Loads and attaches in a thread of its own. Resolves once requests are counted and there is a first snapshot.
    /// Whoever cannot wait for that leaves the thread to end with the process: loading cannot be interrupted.
    pub async fn start(options: Options, selection: Selection) -> Result<(Self, EverySnapshot)> {
        let (each, every) = queue::channel(sampling::BEHIND);
        let (ready, started) = oneshot::channel();
        let (stop, stopped) = mpsc::channel();
        let failures = Failures::default();
        let failed = failures.clone();
        let thread = std::thread::Builder::new()
            .name("sampler".to_owned())
            .spawn(move || run(&options, selection, ready, each, failed, &stopped))
            .context("cannot start a thread")?;
        let snapshots = started.await.context("the sampling thread has ended")??;
        let sampler = Self {
            snapshots,
            failures,
            stop,
            thread: Some(thread),
        };
        Ok((sampler, every))
    }

    pub fn latest(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshots.borrow())
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        if self.stop.send(()).is_ok()
            && let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("the sampling thread has panicked");
        }
    }
}

fn run(
    options: &Options,
    selection: Selection,
    ready: oneshot::Sender<Result<Snapshots>>,
    each: queue::Sender<Arc<Snapshot>>,
    failures: Failures,
    stopped: &mpsc::Receiver<()>,
) {
    let mut objects = choice::objects();
    let mut bpf = match choice::load(&mut objects, options) {
        Ok(bpf) => bpf,
        Err(error) => return report(ready, Err(error)),
    };
    // It has rights that this thread gives up.
    let mut helper = options.max_tls_connections.and_then(|streams| {
        let started = bpf.see_into_tls(streams);
        started
            .inspect_err(|error| log::info!("TLS is counted and not seen into: {error:#}"))
            .ok()
    });
    confine::sampling(bpf.at_events());
    let start = now();
    let first = match first_snapshot(&mut bpf, start) {
        Ok(snapshot) => snapshot,
        Err(error) => return report(ready, Err(error)),
    };
    let (publisher, snapshots) = watch::channel(Arc::new(first));
    report(ready, Ok(snapshots));
    let mut sampling = Sampling {
        tracker: Tracker::new(start).since(bpf.began()),
        counters: bpf,
        sweep: Sweep::default(),
        gone: Vec::new(),
        ended: Vec::new(),
        lives: Lives::seen_from_here(),
        publisher,
        each,
        failures,
        failing: false,
        selecting: Selecting::by(selection),
        left_out: 0,
    };
    let mut deadline = start.instant + INTERVAL;
    let mut trim = start.instant + SETTLED;
    let mut settled = false;
    let mut proved = start.instant;
    loop {
        let wait = deadline.saturating_duration_since(Instant::now());
        if stopped.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
            return;
        }
        let now = now();
        deadline = next_deadline(deadline, now.instant);
        sampling.tick(now);
        if helper.take_if(|it| it.has_ended()).is_some() {
            sampling.counters.say_whether_tls_is_seen_into(false);
            log::warn!("TLS is only counted from now on: the process that looks into it has ended");
        }
        // After the tick, which it must not delay. The next one tells of it.
        if proved.elapsed() >= PROOF_INTERVAL {
            proved = Instant::now();
            sampling.counters.prove_again();
        }
        if now.instant >= trim {
            trim = now.instant + TRIM_INTERVAL;
            footprint::give_back_memory();
            if !std::mem::replace(&mut settled, true) {
                footprint::let_go_of_program();
            }
        }
    }
}

fn report(ready: oneshot::Sender<Result<Snapshots>>, outcome: Result<Snapshots>) {
    if ready.send(outcome).is_err() {
        log::debug!("stopped while loading");
    }
}

/// No time has passed, so there are no rates yet: what has been counted already belongs to the first interval.
fn first_snapshot(bpf: &mut Bpf, start: Moment) -> Result<Snapshot> {
    let (missed, kernel) = bpf.read().context("cannot read the counters")?;
    Ok(Snapshot {
        date: start.date,
        taken: start.instant,
        elapsed: Duration::ZERO,
        dates: vec![start.date],
        processes: Arc::default(),
        workloads: Vec::new(),
        missed,
        kernel,
        agent: agent_state(0),
    })
}

/// The next deadline on the grid. One that is less than half an interval away is left out: a rate over a short time
/// says little.
fn next_deadline(mut deadline: Instant, now: Instant) -> Instant {
    while deadline < now + INTERVAL / 2 {
        deadline += INTERVAL;
    }
    deadline
}

/// How far apart the readings of both clocks may be, and how often they are taken until they are not.
const TOGETHER: Duration = Duration::from_micros(50);
const TRIES: u32 = 10;

/// A thread may be interrupted between the readings. Then a rate, which is over the time on the one clock, times the time between
/// dates on the other would no longer be what was counted.
fn now() -> Moment {
    let read = || Moment {
        instant: Instant::now(),
        date: SystemTime::now(),
    };
    let mut moment = read();
    for _ in 1..TRIES {
        if moment.instant.elapsed() < TOGETHER {
            break;
        }
        moment = read();
    }
    moment
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_do_not_drift() {
        let start = Instant::now();
        let after = |late| next_deadline(start, start + Duration::from_millis(late));
        assert_eq!(after(0), start + INTERVAL);
        assert_eq!(after(30), start + INTERVAL);
        assert_eq!(after(499), start + INTERVAL);
        assert_eq!(after(501), start + 2 * INTERVAL);
        assert_eq!(after(7300), start + 8 * INTERVAL);
    }
}
