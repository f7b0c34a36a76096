// SPDX-License-Identifier: Apache-2.0
//! An agent of which everything is seen that it says of a server, while that is asked.

use std::process::Command;
use std::sync::{PoisonError, RwLockReadGuard};
use std::thread;
use std::time::{Duration, Instant};

use common::agent::Agent;
use common::ledger::Ledger;
use common::load::{Client, get};
use common::reader::{Reader, Receive};
use scope_http_statistics::page::view::View;
use serde_json::Value;

use crate::{CROWD, OFTEN, PATIENCE};

/// Ticks that a count has to stay at what it is.
const SETTLED: Duration = Duration::from_secs(2);

/// An agent whose reports are read without a gap, but where that is said.
pub struct Followed {
    _no_crowd: RwLockReadGuard<'static, ()>,
    pub agent: Agent,
    ledger: Ledger,
    /// What it has said last that a process has received.
    requests: u64,
}

impl Followed {
    pub fn start(command: Command, args: &[&str]) -> Self {
        let no_crowd = CROWD.read().unwrap_or_else(PoisonError::into_inner);
        Self {
            agent: Agent::try_start(command, args).unwrap_or_else(|error| panic!("{error}")),
            _no_crowd: no_crowd,
            ledger: Ledger::default(),
            requests: 0,
        }
    }

    /// Each rate times its time is a number of requests, and none is negative: the ledger sees to that. Nor does a counter go
    /// back, or beyond what was asked.
    fn look(&mut self, server: &Asked) {
        let report = self.agent.get("/report");
        // One that was stopped has nothing new to tell at first.
        if report.status != 503 {
            assert_eq!(report.status, 200, "{report:?}");
            // Of others on this host there may be too many for all of their ticks.
            let mut report: Value = serde_json::from_slice(&report.body).unwrap();
            let nodes = report["Process"]["nodes"].as_object_mut().unwrap();
            let own = format!(";{}", server.reader.pid());
            nodes.retain(|node, _| node.ends_with(&own));
            let report = serde_json::to_vec(&report).unwrap();
            let absorbed = self.ledger.absorb(&report);
            absorbed.unwrap_or_else(|error| panic!("{error:#}"));
        }
        let view = self.agent.get("/view");
        if view.status == 503 {
            return;
        }
        let view: View = serde_json::from_slice(&view.body).unwrap();
        let mut processes = view.processes.iter();
        let Some(process) = processes.find(|it| u64::from(it.pid) == server.reader.pid()) else {
            assert_eq!(self.requests, 0, "it was listed and is no more");
            return;
        };
        assert!(
            (self.requests..=server.asked).contains(&process.requests),
            "{} after {}, of {}",
            process.requests,
            self.requests,
            server.asked
        );
        self.requests = process.requests;
    }

    pub fn look_for(&mut self, time: Duration, server: &Asked) {
        let start = Instant::now();
        while start.elapsed() < time {
            self.look(server);
            thread::sleep(OFTEN);
        }
    }

    /// Waits until all that was asked is counted, and sees that it stays at that.
    pub fn is_exact(&mut self, server: &Asked) {
        let pid = server.reader.pid();
        let start = Instant::now();
        while self.ledger.count(pid) < server.asked && start.elapsed() < PATIENCE {
            self.look(server);
            thread::sleep(OFTEN);
        }
        self.look_for(SETTLED, server);
        assert_eq!(self.ledger.count(pid), server.asked);
        assert_eq!(self.requests, server.asked);
    }
}

/// A server, a connection to it that lasts, and how often it was asked.
pub struct Asked {
    pub reader: Reader,
    pub client: Client,
    pub asked: u64,
}

impl Asked {
    pub fn start() -> Self {
        Self::of(Reader::tcp(Receive::Read))
    }

    pub fn of(reader: Reader) -> Self {
        Self {
            client: Client::connect(&reader.address),
            reader,
            asked: 0,
        }
    }

    /// So many requests, one after the other, every third on a connection of its own.
    pub fn ask(&mut self, count: u64) {
        self.ask_within(Duration::ZERO, count);
    }

    /// The same, spread over a time.
    pub fn ask_within(&mut self, time: Duration, count: u64) {
        for number in 0..count {
            let mut other = (number % 3 == 0).then(|| Client::connect(&self.reader.address));
            let client = other.as_mut().unwrap_or(&mut self.client);
            assert_eq!(client.ask(get("/").as_bytes()).status, 200);
            self.asked += 1;
            thread::sleep(time / count as u32);
        }
    }
}
