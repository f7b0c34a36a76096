// SPDX-License-Identifier: Apache-2.0
//! A setting of the kernel changes.

use std::fs;

use common::alone;
use common::web::{self, sample, text};

use crate::AGENT;
use crate::followed::{Asked, Followed};

/// A setting of the kernel, which is put back.
struct Setting {
    path: &'static str,
    before: String,
}

impl Setting {
    fn of(path: &'static str) -> Self {
        let before = fs::read_to_string(path).unwrap();
        Self { path, before }
    }

    fn set(&self, value: &str) {
        fs::write(self.path, value).unwrap();
    }
}

impl Drop for Setting {
    fn drop(&mut self) {
        // Where it fails, that is seen in the next test that sets it.
        let _ = fs::write(self.path, &self.before);
    }
}

fn statistics_of_programs_that_come_and_go(backend: &str) {
    let _alone = alone();
    let args = ["--backend", backend, "--listen", "127.0.0.1:0"];
    let mut agent = Followed::start(AGENT.command(), &args);
    let address = web::address(&agent.agent);
    let mut server = Asked::start();
    let enabled = Setting::of("/proc/sys/kernel/bpf_stats_enabled");
    let runs = || {
        let metrics = text(address, "/metrics");
        sample(&metrics, "scope_http_bpf_runs_total", &[])
    };
    let mut before = 0.0;
    for value in ["1", "0", "1", "0"] {
        enabled.set(value);
        server.ask(53);
        agent.is_exact(&server);
        // Where they are kept no more, what was seen of them may stand.
        if let Some(after) = runs() {
            assert!(after >= before, "{after} runs after {before}");
            assert!(value == "0" || after > before, "{after} runs");
            before = after;
        }
    }
    assert!(before > 0.0);
}

common::by_backend!(statistics_of_programs_that_come_and_go);
