// SPDX-License-Identifier: Apache-2.0
//! Another agent takes over under load.

use std::panic::{self, AssertUnwindSafe};
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::agent::Agent;
use common::load::{Client, get, keep_alive};
use common::reader::{Reader, Receive};

use crate::{AGENT, CROWD, OFTEN, PATIENCE};

/// The first samples of a process' requests that an agent lists.
fn first_samples(agent: &Agent, pid: u64) -> Vec<f64> {
    let start = Instant::now();
    loop {
        let report = agent.report();
        let mut nodes = report["Process"]["nodes"].as_object().unwrap().iter();
        let own = nodes.find(|(node, _)| node.ends_with(&format!(";{pid}")));
        if let Some((_, node)) = own {
            let samples = &node["metrics"]["http_requests_per_second"]["samples"];
            let samples = samples.as_array().unwrap().iter();
            return samples.map(|it| it["value"].as_f64().unwrap()).collect();
        }
        assert!(start.elapsed() < PATIENCE, "not listed");
        thread::sleep(OFTEN);
    }
}

/// No graph dips because an agent was restarted, and what was not there before begins from 0.
fn an_agent_that_is_restarted_under_load(backend: &str) {
    let _no_crowd = CROWD.read().unwrap_or_else(PoisonError::into_inner);
    let server = Reader::tcp(Receive::Read);
    let end = AtomicBool::new(false);
    let busy = || {
        let mut client = Client::connect(&server.address);
        while !end.load(Ordering::Relaxed) {
            assert_eq!(client.ask(get("/").as_bytes()).status, 200);
            thread::sleep(Duration::from_millis(1));
        }
    };
    // A machine may be so busy that nothing comes for a second. That is a 0 which is true.
    let restarted = || {
        let agent = AGENT.start(&["--backend", backend]);
        let samples = first_samples(&agent, server.pid());
        let fresh = Reader::tcp(Receive::Read);
        assert_eq!(keep_alive(&fresh.address, 7).answers, 7);
        assert_eq!(first_samples(&agent, fresh.pid())[0], 0.0);
        samples.iter().all(|rate| *rate > 0.0)
    };
    let without_a_dip = thread::scope(|scope| {
        let _busy = [scope.spawn(busy), scope.spawn(busy)];
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| (0..5).any(|_| restarted())));
        end.store(true, Ordering::Relaxed);
        outcome.unwrap_or_else(|panic| panic::resume_unwind(panic))
    });
    assert!(without_a_dip);
}

common::by_backend!(an_agent_that_is_restarted_under_load);
