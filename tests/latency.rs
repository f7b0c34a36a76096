// SPDX-License-Identifier: Apache-2.0
//! How long answers took, as everybody is told: within a twentieth of the truth, which is what the server slept and what the
//! client waited.

use std::time::Instant;

use common::agent::{Agent, Program};
use common::homemade::{Homemade, Kind, unique};
use common::load::{Client, get};
use common::process::eventually;
use common::prometheus::Prometheus;
use common::web::{self, sample, text};
use scope_http_statistics::page::view::{Process, View};

const AGENT: Program = common::agent!();

const DURATIONS: &str = "http_server_request_duration_seconds";

/// Of ten requests three are slow.
const ROUNDS: usize = 11;
const SLOW_MS: f64 = 120.0;
/// The agent's buckets are not wider.
const TWENTIETH: f64 = 0.05;

mod reader {
    #[test]
    #[ignore = "the entry of the servers that other tests start"]
    fn serves() {
        common::homemade::serve();
    }
}

/// Asks, and returns how long each answer took from the client's side, in milliseconds and in order.
fn ask(server: &Homemade, rounds: usize) -> Vec<f64> {
    let mut client = Client::connect(&server.address);
    let mut waited = Vec::new();
    for n in 0..10 * rounds {
        let path = if n % 10 < 3 { "/200?ms=120" } else { "/200" };
        let start = Instant::now();
        assert_eq!(client.ask(get(path).as_bytes()).status, 200);
        waited.push(start.elapsed().as_secs_f64() * 1000.0);
    }
    waited.sort_by(f64::total_cmp);
    waited
}

/// The truth lies between what the server slept and what the client waited.
fn assert_told(what: &str, told: f64, slept: f64, waited: f64) {
    let range = slept * (1.0 - TWENTIETH)..=waited * (1.0 + TWENTIETH);
    assert!(
        range.contains(&told),
        "{what}: {told} ms is not within {range:?}"
    );
}

fn process(agent: &Agent, server: &Homemade) -> Option<Process> {
    let view: View = serde_json::from_slice(&agent.get("/view").body).ok()?;
    let mut processes = view.processes.into_iter();
    processes.find(|it| u64::from(it.pid) == server.pid())
}

fn last(agent: &Agent, server: &Homemade, quantile: &str) -> Option<f64> {
    let report = agent.report();
    let node = &report["Process"]["nodes"][format!("test;{}", server.pid())];
    let metric = &node["metrics"][format!("http_request_duration_{quantile}_ms")];
    metric["samples"].as_array()?.last()?["value"].as_f64()
}

#[test]
fn a_server_that_sleeps_120_ms_shows_120_ms_everywhere() {
    let (agent, address) = web::start(AGENT, &["--hostname", "test"]);
    let prometheus = Prometheus::scraping_native_histograms(address);
    let server = Homemade::start(Kind::Lasting, &unique("slow"));
    let waited = ask(&server, ROUNDS);
    let sent = waited.len();
    let pid = format!("process_pid=\"{}\"", server.pid());
    eventually(Some(sent as f64), || {
        sample(
            &text(address, "/metrics"),
            &format!("{DURATIONS}_count"),
            &[&pid],
        )
    });
    let at = |q: f64| waited[((q * sent as f64).ceil() as usize).clamp(1, sent) - 1];
    // Two in three are quick.
    let cases = [
        ("p50", 0.0, at(0.5)),
        ("p90", SLOW_MS, at(0.9)),
        ("p99", SLOW_MS, at(0.99)),
        ("max", SLOW_MS, at(1.0)),
    ];
    for (quantile, slept, waited) in cases {
        let told = last(&agent, &server, quantile).unwrap();
        assert_told(&format!("Scope's {quantile}"), told, slept, waited);
    }
    let shown = process(&agent, &server).unwrap();
    let series = &shown.series.as_ref().unwrap()[0];
    let shown = [
        [
            shown.p50_ms.unwrap(),
            shown.p90_ms.unwrap(),
            shown.p99_ms.unwrap(),
            shown.max_ms.unwrap(),
        ],
        [series.p50_ms, series.p90_ms, series.p99_ms, series.max_ms],
    ];
    for values in shown {
        for ((quantile, slept, waited), told) in cases.into_iter().zip(values) {
            assert_told(&format!("the page's {quantile}"), told, slept, waited);
        }
    }
    // The library of a real Prometheus decodes what we encode.
    let selected = format!("{DURATIONS}{{{pid}}}");
    eventually(Some(sent as f64), || {
        prometheus.query(&format!("histogram_count({selected})"))
    });
    for (q, slept) in [(0.5, 0.0), (0.9, SLOW_MS), (0.99, SLOW_MS)] {
        let told = prometheus.query(&format!("histogram_quantile({q}, {selected})"));
        assert_told(
            &format!("{q} in Prometheus"),
            told.unwrap() * 1000.0,
            slept,
            at(q),
        );
    }
    let sum = prometheus
        .query(&format!("histogram_sum({selected})"))
        .unwrap()
        * 1000.0;
    let slept = SLOW_MS * 3.0 * ROUNDS as f64;
    assert!(sum >= slept && sum <= waited.iter().sum(), "{sum} ms");
    // And nothing is lost between the kinds of buckets.
    let metrics = text(address, "/metrics");
    let below = |le: &str| {
        let le = format!("le=\"{le}\"");
        sample(&metrics, &format!("{DURATIONS}_bucket"), &[&pid, &le]).unwrap()
    };
    assert_eq!(below("+Inf"), sent as f64);
    assert!(below("0.1") <= 7.0 * ROUNDS as f64);
}

/// So many kinds of answers, each fast once and slow once, that one server would need all buckets that there are.
#[test]
fn without_room_for_fine_buckets_counts_are_exact_and_others_keep_theirs() {
    let limits = ["--max-processes", "24", "--max-workloads", "8"];
    let (agent, address) = web::start(AGENT, &limits);
    let greedy = Homemade::start_as(Kind::Lasting, &unique("greedy"), 54_321, None);
    let mut client = Client::connect(&greedy.address);
    let (mut sent, mut slow) = (0, 0);
    for status in 200..263 {
        for ms in [0, 3, 12, 50] {
            let answer = client.ask(get(&format!("/{status}?ms={ms}")).as_bytes());
            assert_eq!(answer.status, status);
            sent += 1;
            slow += u32::from(ms > 10);
        }
    }
    let pid = format!("process_pid=\"{}\"", greedy.pid());
    let sum = |name: &str, labels: &[&str]| {
        let metrics = text(address, "/metrics");
        let lines = metrics.lines().filter(|line| {
            line.starts_with(&format!("{DURATIONS}_{name}{{"))
                && labels.iter().all(|it| line.contains(it))
        });
        let values = lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap());
        values.sum::<f64>()
    };
    eventually(f64::from(sent), || sum("count", &[&pid]));
    // What the server has slept for is exact, with whichever buckets.
    let quick = sum("bucket", &[&pid, "le=\"0.01\""]);
    assert!(
        quick <= f64::from(sent - slow),
        "{quick} of {sent} were quick"
    );
    let metrics = text(address, "/metrics");
    let spans = |name| sample(&metrics, name, &["map=\"http_spans\""]).unwrap();
    let (taken, all) = (
        spans("scope_http_map_entries"),
        spans("scope_http_map_capacity"),
    );
    assert!(
        taken >= all / 2.0 && taken <= all * 0.75,
        "{taken} of {all} are taken"
    );

    let newcomer = Homemade::start_as(Kind::Lasting, &unique("newcomer"), 54_323, None);
    let waited = ask(&newcomer, 3);
    let pid = format!("process_pid=\"{}\"", newcomer.pid());
    eventually(Some(30.0), || {
        sample(
            &text(address, "/metrics"),
            &format!("{DURATIONS}_count"),
            &[&pid],
        )
    });
    let told = process(&agent, &newcomer).unwrap().p99_ms.unwrap();
    assert_told("the newcomer's p99", told, SLOW_MS, waited[29]);
}
