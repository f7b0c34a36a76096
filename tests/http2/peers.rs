// SPDX-License-Identifier: Apache-2.0
//! A server on python's h2 that does what real ones seldom do (`peer.py`), and clients that make it. What is true is the server's
//! log, which the clients have agreed to.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use common::agent::Agent;
use common::alone;
use common::process::eventually;
use common::servers::Server;
use common::web::text;

use super::{
    Counts, VERSION_1, agent, assert_nothing_is_unknown, counted, counted_as, has_one_speaker,
    missed, pid, run, source, tcp,
};

/// What reasons there are for an answer that does not come, and how the log calls them.
const REASONS: [(&str, &str); 2] = [("cancelled", "cancelled"), ("reset", "reset")];

struct Scene {
    _agent: Agent,
    address: SocketAddr,
    server: Server,
}

impl Scene {
    fn new(backend: &str) -> Self {
        Self::of(backend, "serve")
    }

    /// `how`: of `peer.py`.
    fn of(backend: &str, how: &str) -> Self {
        let (agent, address) = agent(backend);
        let server = Server::start("python3-h2", |address, folder| {
            let mut command = Command::new("/usr/bin/python3");
            command
                .arg(source("peer.py"))
                .args([how, &address.to_string()])
                .arg(folder.join("log"));
            command
        });
        Self {
            _agent: agent,
            address,
            server,
        }
    }

    /// A client does something of `peer.py`.
    fn act(&self, name: &str) {
        let address = tcp(&self.server.address).to_string();
        run(Command::new("/usr/bin/python3")
            .arg(source("peer.py"))
            .args([name, &address]));
    }

    /// How often each ended so, by method and status.
    fn log(&self) -> BTreeMap<(String, String), u64> {
        let log = fs::read_to_string(self.server.file("log")).unwrap();
        let mut kinds = BTreeMap::new();
        for line in log.lines() {
            let (method, end) = line.split_once(' ').unwrap();
            let method = match method {
                "PROPFIND" => "_OTHER",
                known => known,
            };
            *kinds
                .entry((method.to_owned(), end.to_owned()))
                .or_default() += 1;
        }
        kinds
    }

    /// What is counted is what the log says of so many requests, and nothing else was missed.
    fn counts(&self, requests: u64) {
        eventually(requests, || self.log().values().sum());
        let (answered, unanswered): (BTreeMap<_, _>, BTreeMap<_, _>) = self
            .log()
            .into_iter()
            .partition(|((_, end), _)| end.parse::<u16>().is_ok());
        let expected: Counts = (requests, answered);
        eventually(expected, || {
            counted(&text(self.address, "/metrics"), &pid(self.server.pid()))
        });
        let metrics = text(self.address, "/metrics");
        for (reason, name) in REASONS {
            let of = unanswered.iter().filter(|((_, end), _)| end == name);
            let ended: u64 = of.map(|(_, count)| count).sum();
            assert_eq!(missed(&metrics, reason), ended, "{reason}");
        }
        assert_eq!(missed(&metrics, "streams_full"), 0);
        if has_one_speaker(&metrics) {
            assert_eq!(missed(&metrics, "joined_late"), 0);
            assert_eq!(missed(&metrics, "hpack_table"), 0);
        }
    }
}

/// The request that is upgraded is one of HTTP/1.1, and those that follow are not.
pub fn upgrades_that_go_on(backend: &str) {
    let _alone = alone();
    let scene = Scene::of(backend, "upgrade");
    for _ in 0..7 {
        scene.act("upgraded");
    }
    let get = |status: &str| ("GET".to_owned(), status.to_owned());
    let logged = BTreeMap::from([(get("200"), 21), (get("404"), 21)]);
    eventually(logged, || scene.log());
    let expected: [Counts; 2] = [
        (42, BTreeMap::from([(get("404"), 7)])),
        (42, BTreeMap::from([(get("200"), 21), (get("404"), 14)])),
    ];
    eventually(expected, || {
        let metrics = text(scene.address, "/metrics");
        let pid = pid(scene.server.pid());
        [
            counted_as(&metrics, &pid, VERSION_1),
            counted(&metrics, &pid),
        ]
    });
}

pub fn interim_responses(backend: &str) {
    let _alone = alone();
    let scene = Scene::new(backend);
    scene.act("early");
    scene.counts(15);
}

/// Pushes are no requests, and what goes through a tunnel is none either.
pub fn pushes_and_tunnels(backend: &str) {
    let _alone = alone();
    let scene = Scene::new(backend);
    scene.act("pushes");
    scene.act("tunnels");
    scene.counts(8 + 6);
}

pub fn streams_that_are_given_up(backend: &str) {
    let _alone = alone();
    let scene = Scene::new(backend);
    scene.act("cancels");
    scene.act("resets");
    scene.counts(14 + 13);
}

/// Its requests above the last stream count, and have no answers.
pub fn a_server_that_goes_away(backend: &str) {
    let _alone = alone();
    let scene = Scene::new(backend);
    scene.act("goaway");
    scene.counts(11);
    // A client that has a new connection starts anew.
    scene.act("early");
    scene.counts(11 + 15);
}

pub fn a_stream_that_is_held_while_others_pass(backend: &str) {
    let _alone = alone();
    let scene = Scene::new(backend);
    scene.act("held");
    scene.counts(5005);
    assert_nothing_is_unknown(&text(scene.address, "/metrics"));
}

/// More than a connection has room for itself, answered in reverse.
pub fn very_many_streams_at_once(backend: &str) {
    let _alone = alone();
    let scene = Scene::new(backend);
    scene.act("outstanding");
    scene.counts(1000);
}

/// Of 0, 100, 4096 and 65536 octets, on both sides, changed in the middle.
pub fn tables_that_change(backend: &str) {
    let _alone = alone();
    let scene = Scene::new(backend);
    scene.act("tables");
    scene.counts(9 * 62);
}
