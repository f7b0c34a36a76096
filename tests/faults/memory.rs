// SPDX-License-Identifier: Apache-2.0
//! There is little memory.

use std::fs::File;
use std::io::Write;
use std::sync::PoisonError;
use std::thread;

use common::agent::Agent;
use common::cgroup::ControlGroup;
use common::homemade::{Homemade, Kind, unique};
use common::process::eventually;
use common::web::{self, sample, text};

use crate::{CROWD, OFTEN, prepared};

/// The verifier takes more than that while programs are loaded, so that the limit comes when they are.
#[test]
fn a_small_memory_while_processes_come_and_go() {
    const LIMIT: u64 = 64 << 20;
    const CLIENTS: u64 = 4;
    const EACH: u64 = 1009;
    let _crowd = CROWD.write().unwrap_or_else(PoisonError::into_inner);
    let group = ControlGroup::new("memory", &unique("http-stat-small"));
    let members = File::options().write(true).open(group.members()).unwrap();
    let command = prepared(move || (&members).write_all(b"0"));
    let args = ["--listen", "127.0.0.1:0"];
    let agent = Agent::try_start(command, &args).unwrap();
    let address = web::address(&agent);
    group.limit_memory(LIMIT);
    let name = unique("small");
    let server = Homemade::start(Kind::Forking, &name);
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| server.ask(EACH));
        }
        for _ in 0..10 {
            agent.report();
            text(address, "/metrics");
            thread::sleep(OFTEN);
        }
    });
    let label = format!("process_executable_name=\"{name}\"");
    eventually(Some((CLIENTS * EACH) as f64), || {
        let metrics = text(address, "/metrics");
        sample(&metrics, "http_server_requests_total", &[&label])
    });
}
