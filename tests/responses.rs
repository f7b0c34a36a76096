// SPDX-License-Identifier: Apache-2.0
//! Metrics of a live server's responses: each code by itself, and how long they took.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant, SystemTime};

use common::agent::Program;
use common::by_backend;
use common::load::{Client, get};
use common::servers::PythonHttpServer;
use serde_json::Value;

const AGENT: Program = common::agent!();

by_backend!(codes_are_counted_and_leave_when_they_are_old);

/// Much longer than the 15 seconds after which a code is old.
const LIMIT: Duration = Duration::from_secs(60);
const INTERVAL: Duration = Duration::from_millis(300);

const OF_REQUESTS: &str = "http_requests_per_second";
const OF_DURATIONS: [&str; 4] = [
    "http_request_duration_p50_ms",
    "http_request_duration_p90_ms",
    "http_request_duration_p99_ms",
    "http_request_duration_max_ms",
];

fn codes_are_counted_and_leave_when_they_are_old(backend: &str) {
    let agent = AGENT.start(&["--backend", backend, "--hostname", "test"]);
    let server = PythonHttpServer::start();
    let sent = [
        (200, get("/"), 31),
        (404, get("/none"), 17),
        (501, "BREW / HTTP/1.1\r\nHost: test\r\n\r\n".to_owned(), 7),
    ];
    for (status, request, n) in &sent {
        for _ in 0..*n {
            let answer = Client::connect(&server.0.address).ask(request.as_bytes());
            assert_eq!(answer.status, *status);
        }
    }
    let key = format!("test;{}", server.0.pid());
    let expected = BTreeMap::from([
        (OF_REQUESTS.to_owned(), 55),
        ("http_2xx_responses_per_second".to_owned(), 31),
        ("http_4xx_responses_per_second".to_owned(), 17),
        ("http_5xx_responses_per_second".to_owned(), 7),
        ("http_200_responses_per_second".to_owned(), 31),
        ("http_404_responses_per_second".to_owned(), 17),
        ("http_501_responses_per_second".to_owned(), 7),
    ]);

    let mut rates = Rates::default();
    let start = Instant::now();
    while rates.counts() != expected {
        assert!(start.elapsed() < LIMIT, "{:?}", rates.counts());
        std::thread::sleep(INTERVAL);
        rates.absorb(&agent.report()["Process"]["nodes"][&key]["metrics"]);
    }

    let metrics = &agent.report()["Process"]["nodes"][&key]["metrics"];
    let durations = OF_DURATIONS.map(|id| last(&metrics[id]));
    assert!(durations[0] > 0.0 && durations.is_sorted(), "{durations:?}");

    // No more requests: the rate of requests stays, at 0.
    let idle = BTreeSet::from([OF_REQUESTS.to_owned()]);
    let listed = || -> BTreeSet<String> {
        let report = agent.report();
        let metrics = report["Process"]["nodes"][&key]["metrics"].as_object();
        metrics.unwrap().keys().cloned().collect()
    };
    while listed() != idle {
        assert!(start.elapsed() < LIMIT, "{:?}", listed());
        std::thread::sleep(INTERVAL);
    }
    assert!(start.elapsed() > Duration::from_secs(10), "too soon");
}

fn last(metric: &Value) -> f64 {
    let samples = metric["samples"].as_array().unwrap();
    samples.last().unwrap()["value"].as_f64().unwrap()
}

/// The samples of several reports, by metric.
#[derive(Default)]
struct Rates(BTreeMap<String, BTreeMap<SystemTime, f64>>);

impl Rates {
    fn absorb(&mut self, metrics: &Value) {
        let metrics = metrics.as_object().into_iter().flatten();
        for (id, metric) in metrics.filter(|(id, _)| !OF_DURATIONS.contains(&id.as_str())) {
            for sample in metric["samples"].as_array().unwrap() {
                let date = humantime::parse_rfc3339(sample["date"].as_str().unwrap()).unwrap();
                let samples = self.0.entry(id.clone()).or_default();
                samples.insert(date, sample["value"].as_f64().unwrap());
            }
        }
    }

    /// A rate is over the time since the sample before, and the first sample has none.
    fn counts(&self) -> BTreeMap<String, u64> {
        let count = |samples: &BTreeMap<SystemTime, f64>| {
            let intervals = samples.iter().zip(samples.iter().skip(1));
            let counts = intervals.map(|((before, _), (date, rate))| {
                rate * date.duration_since(*before).unwrap().as_secs_f64()
            });
            counts.sum::<f64>().round() as u64
        };
        let counts = self
            .0
            .iter()
            .map(|(id, samples)| (id.clone(), count(samples)));
        counts.collect()
    }
}
