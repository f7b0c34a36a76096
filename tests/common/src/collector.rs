// SPDX-License-Identifier: Apache-2.0
//! An agent, and a thread that reads its reports as the probe would and keeps the counts.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use rustix::process::{Signal, setpriority_process};

use crate::agent::{Agent, Program};
use crate::ledger::Ledger;
use crate::load;
use crate::reader::{Reader, Receive};

/// How nice the agent and its reader are.
const FIRST: i32 = -15;
/// Long enough for a few ticks on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);
const TICK: Duration = Duration::from_secs(1);
/// Twice a tick, so that a slow answer leaves no gap.
const INTERVAL: Duration = Duration::from_millis(500);

pub struct Collector {
    state: Arc<State>,
    agent_pid: u64,
    /// A process that has served one request and lives on, so that every report shows every tick.
    beacon: u64,
    thread: Option<(Sender<()>, JoinHandle<Agent>)>,
}

#[derive(Default)]
struct State {
    books: Mutex<Books>,
    absorbed: Condvar,
}

#[derive(Default)]
struct Books {
    ledger: Ledger,
    error: Option<String>,
}

/// The agent that the tests of a test program share, by backend. It ends with the last of them.
pub fn shared(program: Program, backend: &'static str) -> Arc<Collector> {
    static RUNNING: Mutex<BTreeMap<&str, Weak<Collector>>> = Mutex::new(BTreeMap::new());
    // One that could not start fails the tests that need it, and not this lock.
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(collector) = running.get(backend).and_then(Weak::upgrade) {
        return collector;
    }
    let collector = Arc::new(Collector::start(program, backend));
    running.insert(backend, Arc::downgrade(&collector));
    collector
}

impl Collector {
    fn start(program: Program, backend: &'static str) -> Self {
        Self::watch(move || program.start(&["--backend", backend]))
    }

    pub fn start_in(program: Program, plugins_root: &Path, backend: &'static str) -> Self {
        let root = plugins_root.to_owned();
        Self::watch(move || program.start_in(&root, &["--backend", backend]))
    }

    fn watch(start: impl FnOnce() -> Agent + Send + 'static) -> Self {
        let state = Arc::new(State::default());
        let (stop, stopped) = channel();
        let (started, start_seen) = channel();
        // The agent and the beacon live as long as the thread that starts them.
        let thread = thread::spawn({
            let state = Arc::clone(&state);
            move || {
                // Both go first, or crowds of clients on a slow machine would keep the agent from being read in time.
                setpriority_process(None, FIRST).expect("the tests run as root");
                let agent = start();
                let beacon = Reader::tcp(Receive::Read);
                load::keep_alive(&beacon.address, 1);
                started.send((agent.pid().into(), beacon.pid())).unwrap();
                state.follow(&agent, &stopped);
                agent
            }
        });
        let Ok((agent_pid, beacon)) = start_seen.recv() else {
            std::panic::resume_unwind(thread.join().err().unwrap());
        };
        let collector = Self {
            state,
            agent_pid,
            beacon,
            thread: Some((stop, thread)),
        };
        collector.wait_until("the first tick", |ledger| ledger.ticks(beacon) > 0);
        collector
    }

    /// Ends the agent without a chance to tidy up.
    pub fn kill(mut self) {
        self.stop().unwrap().stop(Signal::KILL);
    }

    fn stop(&mut self) -> Option<Agent> {
        let (stop, thread) = self.thread.take()?;
        drop(stop);
        thread.join().ok()
    }

    pub fn agent_pid(&self) -> u64 {
        self.agent_pid
    }

    pub fn count(&self, pid: u64) -> u64 {
        self.books().ledger.count(pid)
    }

    /// The count of every process that was ever in a report.
    pub fn counts(&self) -> BTreeMap<u64, u64> {
        self.books().ledger.counts()
    }

    /// The latest rate of a process, if it is in the latest report.
    pub fn rate(&self, pid: u64) -> Option<f64> {
        self.books().ledger.rate(pid)
    }

    /// Waits for the count, and another tick to see that it stays at that.
    pub fn wait_for(&self, pid: u64, n: u64) {
        self.wait_for_all(&BTreeMap::from([(pid, n)]));
    }

    pub fn wait_for_all(&self, expected: &BTreeMap<u64, u64>) {
        self.wait_until(&format!("{expected:?}"), |ledger| {
            expected.iter().all(|(pid, n)| ledger.count(*pid) >= *n)
        });
        self.settle();
        let counts = expected.keys().map(|pid| (*pid, self.count(*pid)));
        assert_eq!(&counts.collect::<BTreeMap<_, _>>(), expected);
    }

    /// Waits until all that has happened so far is in the counts: for a later tick by the clock, since the reports of some
    /// earlier ones may still be on their way.
    pub fn settle(&self) {
        let later = SystemTime::now() + TICK;
        let beacon = self.beacon;
        self.wait_until("a later tick", |ledger| {
            ledger.last_seen(beacon) > Some(later)
        });
    }

    pub fn wait_until_gone(&self, pid: u64) {
        self.wait_until("the end of a node", |ledger| ledger.rate(pid).is_none());
    }

    fn wait_until(&self, what: &str, done: impl Fn(&Ledger) -> bool) {
        let waiting = |books: &mut Books| books.error.is_none() && !done(&books.ledger);
        let (books, timeout) = (self.state.absorbed)
            .wait_timeout_while(self.books(), LIMIT, waiting)
            .unwrap();
        let counts = books.ledger.counts();
        drop(books);
        drop(self.books());
        let reporting = (self.thread.as_ref()).is_some_and(|(_, thread)| !thread.is_finished());
        assert!(reporting, "the agent no longer reports");
        assert!(!timeout.timed_out(), "waited for {what}, got {counts:?}");
    }

    /// The books, as long as every report could be followed.
    fn books(&self) -> MutexGuard<'_, Books> {
        let books = self.state.books.lock().unwrap();
        if let Some(error) = books.error.clone() {
            drop(books);
            panic!("{error}");
        }
        books
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        // What is dropped is the agent's guard.
        drop(self.stop());
    }
}

impl State {
    /// Reads reports until it is told to stop or one cannot be followed.
    fn follow(&self, agent: &Agent, stopped: &Receiver<()>) {
        let mut last = Vec::new();
        while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(INTERVAL) {
            let report = agent.report_text();
            if report == last {
                // Still of the tick before.
                continue;
            }
            let mut books = self.books.lock().unwrap();
            if let Err(error) = books.ledger.absorb(&report) {
                books.error = Some(format!("{error:#}"));
            }
            self.absorbed.notify_all();
            if books.error.is_some() {
                return;
            }
            last = report;
        }
    }
}
