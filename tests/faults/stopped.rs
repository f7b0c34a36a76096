// SPDX-License-Identifier: Apache-2.0
//! The agent does not run for a while.

use std::fs;
use std::time::Duration;

use common::homemade::{Homemade, Kind, unique};
use common::process::eventually;
use common::web::{self, sample, text};
use rustix::process::Signal;

use crate::AGENT;
use crate::followed::{Asked, Followed};

fn state(pid: u32) -> char {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    fields.chars().next().unwrap()
}

/// That reports which are too old are refused is another test's.
fn an_agent_that_is_stopped_for_a_while(backend: &str) {
    const STOPPED: Duration = Duration::from_secs(30);
    let args = ["--backend", backend, "--listen", "127.0.0.1:0"];
    let mut agent = Followed::start(AGENT.command(), &args);
    let address = web::address(&agent.agent);
    let mut server = Asked::start();
    let name = unique("stopped");
    let forking = Homemade::start(Kind::Forking, &name);
    server.ask(101);
    forking.ask(11);
    agent.is_exact(&server);
    agent.agent.signal(Signal::STOP);
    eventually('T', || state(agent.agent.pid()));
    server.ask_within(STOPPED, 211);
    forking.ask(89);
    agent.agent.signal(Signal::CONT);
    agent.is_exact(&server);
    server.ask(307);
    agent.is_exact(&server);
    // Processes that have come and gone meanwhile are in what their program has counted.
    let label = format!("process_executable_name=\"{name}\"");
    let requests = || {
        let metrics = text(address, "/metrics");
        sample(&metrics, "http_server_requests_total", &[&label])
    };
    eventually(Some(100.0), requests);
}

common::by_backend!(an_agent_that_is_stopped_for_a_while);
