// SPDX-License-Identifier: Apache-2.0
//! Users that take all that there is, by very many processes or kinds of answers: they are counted, and so is everybody else.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::agent::{Agent, Program};
use common::alone;
use common::homemade::{Homemade, Kind, unique};
use common::load::{Client, get};
use common::process::eventually;
use common::prometheus::Prometheus;
use common::web::{self, sample, text};
use scope_http_statistics::page::view::View;

const AGENT: Program = common::agent!();

const REQUESTS: &str = "http_server_requests_total";
const DURATION_COUNT: &str = "http_server_request_duration_seconds_count";
const UNLISTED: &str = "scope_http_unlisted_requests_total";

/// Processes that serve one request each, at least.
const MANY: u64 = 1103;
const PATIENCE: Duration = Duration::from_secs(60);

/// Users that nobody else is.
const GREEDY: u32 = 54_321;
const NEWCOMER: u32 = 54_323;

mod reader {
    #[test]
    #[ignore = "the entry of the servers that other tests start"]
    fn serves() {
        common::homemade::serve();
    }
}

fn executable(name: &str) -> String {
    format!("process_executable_name=\"{name}\"")
}

fn pid(server: &Homemade) -> String {
    format!("process_pid=\"{}\"", server.pid())
}

/// A sample of an agent, once it is what it should be.
fn assert_becomes(expected: u64, agent: SocketAddr, name: &str, labels: &[&str]) {
    eventually(Some(expected as f64), || {
        sample(&text(agent, "/metrics"), name, labels)
    });
}

fn entries(agent: SocketAddr) -> [f64; 2] {
    let metrics = text(agent, "/metrics");
    ["http_processes", "http_series"].map(|map| {
        let label = format!("map=\"{map}\"");
        sample(&metrics, "scope_http_map_entries", &[&label]).unwrap()
    })
}

fn processes_full(metrics: &str) -> Option<f64> {
    let reason = "reason=\"processes_full\"";
    sample(metrics, "scope_http_missed_total", &[reason])
}

/// Asks as fast as the machine goes, at least so often, while something else is done. Returns how often.
fn ask_meanwhile(server: &Homemade, least: u64, meanwhile: impl FnOnce()) -> u64 {
    /// Ends it, also where what is done fails.
    struct End<'a>(&'a AtomicBool);
    impl Drop for End<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let (end, asked) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !end.load(Ordering::Relaxed) {
                    server.ask(1);
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let _end = End(&end);
        meanwhile();
        let start = Instant::now();
        while asked.load(Ordering::Relaxed) < least && start.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(10));
        }
    });
    let asked = asked.into_inner();
    assert!(asked >= least, "{asked}");
    asked
}

#[test]
fn processes_that_serve_one_request_each_are_exact_and_leave_nothing() {
    let _alone = alone();
    let (agent, address) = web::start_by_workload(AGENT, &[]);
    let prometheus = Prometheus::scraping(address);
    // It has been here before, more than once.
    eventually(true, || {
        let scrapes = prometheus.samples("scope_http_processes");
        scrapes.first().is_some_and(|values| values.len() >= 3)
    });
    let before = entries(address);
    let name = unique("forking");
    let label = executable(&name);
    let server = Homemade::start(Kind::Forking, &name);
    let asked = ask_meanwhile(&server, MANY, || thread::sleep(Duration::from_secs(10)));
    assert_becomes(asked, address, REQUESTS, &[&label]);
    assert_becomes(asked, address, DURATION_COUNT, &[&label]);
    let metrics = text(address, "/metrics");
    assert_eq!(sample(&metrics, UNLISTED, &[&label]), None);
    assert_eq!(processes_full(&metrics), Some(0.0));

    // Others serve on this host, too, but not by so many processes.
    let mut after = [0.0; 2];
    eventually(true, || {
        after = entries(address);
        after
            .iter()
            .zip(before)
            .all(|(after, before)| *after <= before + 50.0)
    });
    assert!(agent.report_text().len() < 100_000);
    let resident = sample(
        &text(address, "/metrics"),
        "scope_http_resident_memory_bytes",
        &[],
    );
    assert!(resident.unwrap() < 64e6, "{resident:?}");

    // What has come to the scraper since the first sample is all of it.
    for metric in [REQUESTS, DURATION_COUNT] {
        let selector = format!("{metric}{{process_executable_name=\"{name}\"}}");
        eventually(Some(asked as f64), || {
            prometheus.query(&format!("sum({selector})"))
        });
        for samples in prometheus.samples(&selector) {
            assert_eq!(samples[0], 0.0, "{metric}: {samples:?}");
            assert!(samples.is_sorted(), "{metric}: {samples:?}");
        }
    }
}

fn view(agent: &Agent) -> View {
    let response = agent.get("/view");
    assert_eq!(response.status, 200, "{response:?}");
    serde_json::from_slice(&response.body).unwrap()
}

/// Asserts that a new server is itself to all who ask the agent.
fn assert_is_itself(agent: &Agent, address: SocketAddr, name: &str) {
    let name = unique(name);
    let server = Homemade::start(Kind::Lasting, &name);
    server.ask(101);
    let start = Instant::now();
    assert_becomes(101, address, REQUESTS, &[&pid(&server), &executable(&name)]);
    // After one harvest, or two on a machine that is as busy as this one.
    assert!(start.elapsed() < Duration::from_secs(5));
    let of_server = |view: View| {
        let mut processes = view.processes.into_iter();
        processes.find(|it| u64::from(it.pid) == server.pid())
    };
    let process = of_server(view(agent)).expect("a process in the view");
    assert_eq!((process.name, process.requests), (name, 101));
    let report = String::from_utf8(agent.report_text()).unwrap();
    assert!(report.contains(&format!(";{}\"", server.pid())), "{report}");
}

#[test]
fn a_server_that_lasts_is_itself_while_others_do_not_last() {
    let _alone = alone();
    let (agent, address) = web::start(AGENT, &[]);
    let forking = Homemade::start(Kind::Forking, &unique("forking"));
    ask_meanwhile(&forking, MANY, || {
        thread::sleep(Duration::from_secs(5));
        assert_is_itself(&agent, address, "during");
    });
    assert_is_itself(&agent, address, "after");
}

#[test]
fn one_who_holds_very_many_processes_leaves_room_for_others() {
    const HELD: u64 = 499;
    let _alone = alone();
    let small = ["--max-processes", "256"];
    let (_by_process, by_process) = web::start(AGENT, &small);
    let (_by_workload, by_workload) = web::start_by_workload(AGENT, &small);
    let name = unique("greedy");
    let greedy = Homemade::start_as(Kind::Holding, &name, GREEDY, None);
    greedy.ask(HELD);
    assert_becomes(HELD, by_workload, REQUESTS, &[&executable(&name)]);
    assert_becomes(HELD, by_workload, DURATION_COUNT, &[&executable(&name)]);

    let new = unique("newcomer");
    let newcomer = Homemade::start_as(Kind::Lasting, &new, NEWCOMER, None);
    newcomer.ask(100);
    assert_becomes(100, by_process, REQUESTS, &[&pid(&newcomer)]);
    assert_becomes(100, by_process, DURATION_COUNT, &[&pid(&newcomer)]);
    assert_becomes(100, by_workload, REQUESTS, &[&executable(&new)]);

    // Of the greedy one, what is not listed is said to be so.
    let metrics = text(by_process, "/metrics");
    let label = executable(&name);
    let listed = sample(&metrics, REQUESTS, &["process_pid=", &label]).unwrap();
    let unlisted = sample(&metrics, UNLISTED, &[&label]).unwrap();
    assert_eq!(listed + unlisted, HELD as f64);
    // Half of the table is whoever's comes first.
    assert!(listed <= 129.0, "{listed}");
    assert!(processes_full(&metrics).unwrap() >= unlisted);
    let others = sample(&metrics, REQUESTS, &["otel_metric_overflow=\"true\""]);
    assert!(others.unwrap() >= unlisted, "{others:?} of {unlisted}");
    // It goes on counting those.
    greedy.ask(7);
    assert_becomes(HELD + 7, by_workload, REQUESTS, &[&label]);
    assert_becomes(unlisted as u64 + 7, by_process, UNLISTED, &[&label]);
}

#[test]
fn one_with_very_many_kinds_of_answers_has_its_rare_ones_together() {
    const METHODS: [&str; 9] = [
        "BREW", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE",
    ];
    let _alone = alone();
    let (_by_process, by_process) = web::start(AGENT, &[]);
    let (_by_workload, by_workload) = web::start_by_workload(AGENT, &[]);
    let names = [unique("many"), unique("other")];
    let [many, other] = names
        .clone()
        .map(|name| Homemade::start(Kind::Lasting, &name));
    let mut client = Client::connect(&many.address);
    let mut asked = 0;
    // Of these no client expects a body, or another protocol.
    for status in 200..700 {
        for method in METHODS {
            let request = format!("{method} /{status} HTTP/1.1\r\nHost: test\r\n\r\n");
            assert_eq!(client.ask(request.as_bytes()).status, status);
            asked += 1;
        }
    }
    let mut client = Client::connect(&other.address);
    let kinds = [(200, 31), (204, 7), (404, 13), (500, 3), (599, 2)];
    for (status, count) in kinds {
        for _ in 0..count {
            client.ask(get(&format!("/{status}")).as_bytes());
        }
    }
    let all_others = [
        "http_request_method=\"_OTHER\"",
        "http_response_status_code=\"_OTHER\"",
    ];
    for (agent, of) in [
        (by_process, [pid(&many), pid(&other)]),
        (by_workload, names.map(|name| executable(&name))),
    ] {
        let [many, other] = &of;
        assert_becomes(asked, agent, DURATION_COUNT, &[many]);
        assert_becomes(asked, agent, REQUESTS, &[many]);
        assert_becomes(56, agent, DURATION_COUNT, &[other]);
        let metrics = text(agent, "/metrics");
        let together = sample(
            &metrics,
            DURATION_COUNT,
            &[&[&**many], &all_others[..]].concat(),
        );
        assert_eq!(together, Some(asked as f64 - 64.0));
        for (status, count) in kinds {
            let status = format!("http_response_status_code=\"{status}\"");
            let counted = sample(&metrics, DURATION_COUNT, &[other, &status]);
            assert_eq!(counted, Some(f64::from(count)), "{status}");
        }
        let of_many = |line: &&str| line.starts_with(DURATION_COUNT) && line.contains(&**many);
        assert_eq!(metrics.lines().filter(of_many).count(), 65);
        assert!(metrics.len() < 1_000_000, "{}", metrics.len());
    }
}
