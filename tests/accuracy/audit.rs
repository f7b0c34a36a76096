// SPDX-License-Identifier: Apache-2.0
//! Whether the clients, the server's own log and both backends say the same.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use common::servers::Server;

use crate::answers::Answers;
use crate::sites::log;
use crate::witness::{Count, Witnesses, tree};

/// A log line is written a little after the answer it is about.
const LIMIT: Duration = Duration::from_secs(5);

/// The books of one server, closed after each behaviour.
pub struct Books<'a, 'obj> {
    server: &'a Server,
    witnesses: &'a Witnesses<'obj>,
    /// All that ever belonged to the server.
    pids: BTreeSet<u32>,
    logged: Answers,
    counted: Vec<Count>,
}

/// What everyone has to say of one behaviour.
#[derive(Debug)]
pub struct Entry {
    /// `None` where a proxy is the client.
    pub client: Option<Answers>,
    pub log: Answers,
    pub counts: Vec<Count>,
}

impl Entry {
    pub fn agrees(&self) -> bool {
        self.client
            .as_ref()
            .is_none_or(|client| *client == self.log)
            && self.log.total() > 0
            && self.counts.iter().all(|count| count.is(&self.log))
    }
}

impl<'a, 'obj> Books<'a, 'obj> {
    pub fn open(server: &'a Server, witnesses: &'a Witnesses<'obj>) -> Self {
        let mut books = Self {
            server,
            witnesses,
            pids: BTreeSet::new(),
            logged: Answers::default(),
            counted: Vec::new(),
        };
        (books.logged, books.counted) = books.read();
        books
    }

    fn read(&mut self) -> (Answers, Vec<Count>) {
        self.pids.append(&mut tree(self.server.pid() as u32));
        (log(self.server), self.witnesses.counts(&self.pids))
    }

    /// What came since the last time, given time to become equal.
    pub fn close(&mut self, client: Option<Answers>) -> Entry {
        let start = Instant::now();
        loop {
            let (logged, counted) = self.read();
            let counts = counted.iter().zip(&self.counted);
            let entry = Entry {
                client: client.clone(),
                log: logged.since(&self.logged),
                counts: counts.map(|(now, before)| now.since(before)).collect(),
            };
            if entry.agrees() || start.elapsed() > LIMIT {
                // What comes too late shows in the next entry.
                (self.logged, self.counted) = (logged, counted);
                return entry;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}
