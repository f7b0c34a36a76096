// SPDX-License-Identifier: Apache-2.0
//! The programs of a backend, loaded by the test program itself and read by its tests.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use scope_http_statistics::backend::Backend;
use scope_http_statistics::bpf::Options;
use scope_http_statistics::choice;
use scope_http_statistics::snapshot::{Harvest, Histogram};

use crate::common::load::{Address, keep_alive};
use crate::common::process::eventually;

/// To ask the thread that owns the programs of a backend for what they have counted.
type Questions = Sender<Sender<Harvest>>;

/// One test at a time has one, since what is missed is counted for all.
pub struct Observer {
    ask: Questions,
    _turn: MutexGuard<'static, BTreeMap<&'static str, Questions>>,
}

impl Observer {
    /// The one of a backend, loaded by the first test that asks for it.
    pub fn of(backend: Backend) -> Self {
        static LOADED: Mutex<BTreeMap<&str, Questions>> = Mutex::new(BTreeMap::new());
        let mut turn = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        let load = || Self::load(backend);
        let ask = turn.entry(backend.name()).or_insert_with(load).clone();
        let observer = Self { ask, _turn: turn };
        // Once it is answered, the programs are there.
        observer.harvest();
        observer
    }

    fn load(backend: Backend) -> Questions {
        let (ask, asked) = channel::<Sender<Harvest>>();
        thread::spawn(move || {
            let options = Options {
                backend: Some(backend),
                max_processes: 4096,
                max_connections: 65536,
            };
            let mut objects = choice::objects();
            let bpf = choice::load(&mut objects, &options).unwrap();
            for answer in asked {
                answer.send(bpf.harvest().unwrap()).unwrap();
            }
        });
        ask
    }

    pub fn harvest(&self) -> Harvest {
        let (answer, answered) = channel();
        self.ask.send(answer).expect("the programs are loaded");
        answered.recv().expect("the counters can be read")
    }

    /// Has a server answer as many requests, and waits until requests and answers are counted as expected: what was missed
    /// meanwhile for a reason.
    pub fn serve(
        &self,
        (what, pid, address): (impl Debug, u64, &Address),
        requests: u64,
        expected: (u64, u64),
        reason: &str,
    ) -> u64 {
        let before = missed(&self.harvest(), reason);
        let tally = keep_alive(address, requests);
        let served = (tally.answers, tally.served);
        assert_eq!(served, (requests, requests), "{what:?}");
        println!("{what:?}");
        // The client has an answer before its sender is back from sending.
        eventually(expected, || counts(&self.harvest(), pid));
        missed(&self.harvest(), reason) - before
    }
}

/// Requests and answers of a process.
fn counts(harvest: &Harvest, pid: u64) -> (u64, u64) {
    let process = harvest
        .processes
        .iter()
        .find(|p| u64::from(p.id.pid) == pid);
    process.map_or((0, 0), |process| {
        let answers = process.series.values().map(Histogram::count).sum();
        (process.requests, answers)
    })
}

pub fn missed(harvest: &Harvest, reason: &str) -> u64 {
    let of_reason = harvest.missed.iter().find(|(name, _)| *name == reason);
    of_reason.unwrap().1
}
