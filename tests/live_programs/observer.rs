// SPDX-License-Identifier: Apache-2.0
//! The programs of a backend, loaded by the test program itself and read by its tests.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs::File;
use std::io::Write;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Instant, SystemTime};

use common::load::{Address, keep_alive};
use common::process::eventually;
use common::verifier::{table, verified};
use scope_http_statistics::kernel::backend::Backend;
use scope_http_statistics::kernel::choice;
use scope_http_statistics::kernel::load::{Bpf, Options};
use scope_http_statistics::model::reason::Reason;
use scope_http_statistics::model::snapshot::{AgentState, ProcessSnapshot, Snapshot};
use scope_http_statistics::model::tick::Moment;
use scope_http_statistics::model::tracker::Tracker;

/// Names the file that is to have what the agent chooses and what the verifier made of each backend that was loaded.
const TABLE: &str = "VERIFIER_TABLE";

/// To ask the thread that owns the programs of a backend for what they have counted.
type Questions = Sender<Sender<Snapshot>>;

/// A server: how it moves bytes, its process and where it listens.
pub type Served<'a> = (&'a dyn Debug, u64, &'a Address);

/// One test at a time has one, since what is missed is counted for all.
pub struct Observer {
    ask: Questions,
    _turn: MutexGuard<'static, BTreeMap<&'static str, Questions>>,
}

impl Observer {
    /// The one of a backend, loaded by the first test that asks for it. The one that the agent would choose is loaded first.
    pub fn of(backend: Backend) -> Self {
        static LOADED: Mutex<BTreeMap<&str, Questions>> = Mutex::new(BTreeMap::new());
        let mut turn = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        if turn.is_empty() {
            let (chosen, ask) = Self::load(None);
            turn.insert(chosen.name(), ask);
        }
        let load = || Self::load(Some(backend)).1;
        let ask = turn.entry(backend.name()).or_insert_with(load).clone();
        Self { ask, _turn: turn }
    }

    fn load(backend: Option<Backend>) -> (Backend, Questions) {
        let (ask, asked) = channel::<Sender<Snapshot>>();
        let (loaded, load_seen) = channel();
        thread::spawn(move || {
            let options = Options {
                backend,
                max_processes: 4096,
                max_workloads: 1024,
                max_connections: 65536,
                max_h2_connections: 8192,
                max_tls_connections: None,
            };
            let mut objects = choice::objects();
            let mut bpf = choice::load(&mut objects, &options).unwrap();
            tell(&bpf, &options).unwrap();
            loaded.send(bpf.backend()).unwrap();
            let now = || Moment {
                instant: Instant::now(),
                date: SystemTime::now(),
            };
            let mut tracker = Tracker::new(now());
            for answer in asked {
                let harvest = bpf.harvest().unwrap();
                let (snapshot, _) = tracker.tick(harvest, &[], AgentState::default(), now());
                answer.send(snapshot).unwrap();
            }
        });
        (load_seen.recv().expect("the programs are loaded"), ask)
    }

    pub fn harvest(&self) -> Snapshot {
        let (answer, answered) = channel();
        self.ask.send(answer).expect("the programs are loaded");
        answered.recv().expect("the counters can be read")
    }

    /// Has a server answer as many requests: that each request and each answer is counted.
    pub fn counts_all(&self, (what, pid, address): Served<'_>, requests: u64) {
        answer(what, address, requests);
        eventually((requests, requests), || counts(&self.harvest(), pid));
    }

    /// Has a server answer as many requests, none of which can be counted: that as many are missed, at least, for a reason.
    pub fn misses_all(&self, (what, pid, address): Served<'_>, requests: u64, reason: Reason) {
        let before = self.harvest().missed[reason];
        answer(what, address, requests);
        // Other processes of the host may add to what is missed, but not take away.
        let missed_now = || self.harvest().missed[reason] - before >= requests;
        eventually(true, missed_now);
        assert_eq!(counts(&self.harvest(), pid), (0, 0), "{what:?}");
    }
}

/// Adds to the table, if there is to be one.
fn tell(bpf: &Bpf<'_>, options: &Options) -> anyhow::Result<()> {
    let Some(path) = std::env::var_os(TABLE) else {
        return Ok(());
    };
    let mut file = File::options().create(true).append(true).open(path)?;
    if options.backend.is_none() {
        writeln!(file, "auto: {}: {}", bpf.backend(), bpf.reason())?;
    }
    let programs = verified(bpf, options)?;
    Ok(file.write_all(table(bpf.backend(), &programs).as_bytes())?)
}

fn answer(what: &dyn Debug, address: &Address, requests: u64) {
    let tally = keep_alive(address, requests);
    let served = (tally.answers, tally.served);
    assert_eq!(served, (requests, requests), "{what:?}");
    println!("{what:?}");
}

/// What a process has counted.
pub fn process(counted: &Snapshot, pid: u64) -> Option<&ProcessSnapshot> {
    let mut processes = counted.processes.iter().map(Arc::as_ref);
    processes.find(|process| u64::from(process.id.pid) == pid)
}

/// Requests and answers of a process.
pub fn counts(counted: &Snapshot, pid: u64) -> (u64, u64) {
    process(counted, pid).map_or((0, 0), |process| {
        let series = process.totals.series.iter();
        let answers = series.map(|it| it.durations.count()).sum();
        (process.totals.requests, answers)
    })
}
