// SPDX-License-Identifier: Apache-2.0
//! Conversations that are easily misjudged: who is a server, what is a request, which answer is whose.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use common::agent::Program;
use common::alone;
use common::by_backend;
use common::process::{eventually, tie_to_parent};
use common::web::{sample, start, text};
use rustix::process::Signal;

const AGENT: Program = common::agent!();

by_backend!(every_verdict_is_right);

/// A case, and what its process is to have.
struct Case {
    name: &'static str,
    requests: u64,
    /// Method and number.
    answers: &'static [(&'static str, u64)],
}

const fn case(name: &'static str, requests: u64, answers: &'static [(&'static str, u64)]) -> Case {
    Case {
        name,
        requests,
        answers,
    }
}

/// Those that begin before the agent does.
const JOINED: [Case; 2] = [
    case("answered_late", 1, &[("GET", 1)]),
    case("old_client", 0, &[]),
];

const WHOLE: [Case; 11] = [
    case("two_blanks", 6, &[("GET", 6)]),
    case("other_lines_first", 4, &[("GET", 4)]),
    case("empty_buffers", 4, &[("GET", 4)]),
    case("urgent_byte", 2, &[("POST", 1), ("PUT", 1)]),
    case("end_of_stream", 4, &[("POST", 1), ("GET", 3)]),
    case("answered_by_child", 0, &[("GET", 1)]),
    case("spliced", 0, &[]),
    case("client_of_a_pair", 0, &[]),
    case("server_of_a_pair", 7, &[("GET", 7)]),
    case("datagrams", 0, &[]),
    case("uwsgi", 0, &[]),
];

/// Answers to requests that were not seen: of `answered_late` and, where a splice is not seen either, of `spliced`.
const UNMATCHED: f64 = 2.0;

fn every_verdict_is_right(backend: &str) {
    // What is missed is counted for all.
    let _alone = alone();
    let mut joined = JOINED.map(|case| (Running::start(case.name), case));
    let (_agent, address) = start(AGENT, &["--backend", backend]);
    for (running, _) in &mut joined {
        running.go_on();
    }
    let whole = WHOLE.map(|case| (Running::start(case.name), case));

    for (running, case) in joined.iter().chain(&whole) {
        let pid = format!("process_pid=\"{}\"", running.pid);
        let expected = (case.requests as f64, counts(case.answers));
        eventually((case.name, expected), || {
            let metrics = text(address, "/metrics");
            let requests = sample(&metrics, "http_server_requests_total", &[&pid]).unwrap_or(0.0);
            let answers = case.answers.iter().map(|(method, _)| {
                let method = format!("http_request_method=\"{method}\"");
                let count = "http_server_request_duration_seconds_count";
                sample(&metrics, count, &[&pid, &method]).unwrap_or(0.0)
            });
            (case.name, (requests, answers.collect()))
        });
        let metrics = text(address, "/metrics");
        let other = sample(
            &metrics,
            "http_server_request_duration_seconds_count",
            &[&pid, "http_request_method=\"_OTHER\""],
        );
        assert_eq!(other, None, "{}", case.name);
    }
    let metrics = text(address, "/metrics");
    let missed = |reason: &str| {
        let label = format!("reason=\"{reason}\"");
        sample(&metrics, "scope_http_missed_total", &[&label])
    };
    assert_eq!(missed("unmatched"), Some(UNMATCHED));
    for none in ["requests_lost", "responses_lost", "unreadable"] {
        assert_eq!(missed(none), Some(0.0), "{none}");
    }
}

fn counts(answers: &[(&str, u64)]) -> Vec<f64> {
    answers.iter().map(|(_, count)| *count as f64).collect()
}

/// The processes of a case. They end with this.
struct Running {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
    pid: u32,
}

impl Running {
    /// Until the counts of a process are complete, or until the agent is wanted.
    fn start(case: &str) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/verdicts/cases.py");
        let mut command = Command::new("/usr/bin/python3");
        command.arg(script).arg(case);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = tie_to_parent(&mut command, Signal::KILL)
            .spawn()
            .expect("python3 is installed");
        let lines = BufReader::new(child.stdout.take().unwrap());
        let mut running = Self {
            child,
            lines,
            pid: 0,
        };
        running.pid = running.line().trim().parse().expect(case);
        running
    }

    /// The agent is there.
    fn go_on(&mut self) {
        let stdin = self.child.stdin.as_mut().unwrap();
        stdin.write_all(b"\n").unwrap();
        self.line();
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "the case has failed");
        line
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
