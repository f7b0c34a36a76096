// SPDX-License-Identifier: Apache-2.0
//! The metrics of the real agent, as promtool and a real Prometheus read them.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::agent::{Program, folder};
use common::answering::{DELAY_MS, answering, ask};
use common::cgroup::ControlGroup;
use common::load::Client;
use common::process::eventually;
use common::prometheus::Prometheus;
use common::servers::Server;
use common::web::{self, sample, text};
use scope_http_statistics::model::reason::Reason;

const AGENT: Program = common::agent!();

const REQUESTS: &str = "http_server_requests_total";
const DURATION_COUNT: &str = "http_server_request_duration_seconds_count";

fn pid(server: &Server) -> String {
    format!("process_pid=\"{}\"", server.pid())
}

/// What promtool has to say about it, which is nothing where all is well.
fn promtool_check(metrics: &str) -> String {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool runs (is the package prometheus installed?)");
    let mut stdin = promtool.stdin.take().unwrap();
    stdin.write_all(metrics.as_bytes()).unwrap();
    drop(stdin);
    let output = promtool.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    assert_eq!(output.status.success(), said.is_empty(), "{said}");
    said
}

#[test]
fn counts_what_was_asked_by_kind_of_answer_and_promtool_is_content() {
    let (_agent, address) = web::start(AGENT, &[]);
    // A name that HTML, and one that the format would take for its own.
    for name in ["<script>alert(1)<", "a\"b\\c\nd"] {
        let server = answering(name);
        let pid = pid(&server);
        let waited = [(200, 97), (404, 13)].map(|(status, count)| {
            let start = Instant::now();
            ask(&server, status, count);
            start.elapsed().as_secs_f64()
        });
        eventually(Some(110.0), || {
            sample(&text(address, "/metrics"), REQUESTS, &[&pid])
        });
        let metrics = text(address, "/metrics");
        let escaped = name.replace('\\', "\\\\").replace('"', "\\\"");
        let label = format!(
            "process_executable_name=\"{}\"",
            escaped.replace('\n', "\\n")
        );
        assert_eq!(sample(&metrics, REQUESTS, &[&pid, &label]), Some(110.0));
        for ((status, expected), waited) in [(200, 97.0), (404, 13.0)].into_iter().zip(waited) {
            let status = format!("http_response_status_code=\"{status}\"");
            let labels = [
                &*pid,
                &*status,
                &*label,
                "http_request_method=\"GET\"",
                "url_scheme=\"http\"",
                "network_protocol_version=\"1.1\"",
            ];
            assert_eq!(sample(&metrics, DURATION_COUNT, &labels), Some(expected));
            let bucket = "http_server_request_duration_seconds_bucket";
            let of = |le: &str| sample(&metrics, bucket, &[&labels[..], &[le]].concat());
            // None is faster than the delay, and the last bucket has them all.
            assert_eq!(of("le=\"0.025\""), Some(0.0));
            assert_eq!(of("le=\"+Inf\""), Some(expected));
            // One after the other, so that all of it is within what the client has waited. The server's timer has whole
            // milliseconds, of which the first has begun before.
            let sum = sample(
                &metrics,
                "http_server_request_duration_seconds_sum",
                &labels,
            );
            let least = expected * (DELAY_MS - 1) as f64 / 1000.0;
            let sum = sum.expect("a sum");
            assert!(sum >= least && sum <= waited, "{least} {sum} {waited}");
        }
        assert_eq!(promtool_check(&metrics), "");
    }
}

#[test]
fn connections_that_are_followed_are_counted() {
    for backend in ["sock", "syscall"] {
        let (_agent, address) = web::start(AGENT, &["--backend", backend]);
        let server = answering("connections");
        let mut open: Vec<Client> = (0..17).map(|_| Client::connect(&server.address)).collect();
        for client in &mut open {
            // A head that is still to come keeps the connection open.
            client.send(b"GET /200 HTTP/1.1\r\n");
        }
        // Others on this host may be followed, too.
        eventually(true, || {
            sample(&text(address, "/metrics"), "scope_http_connections", &[])
                .is_some_and(|connections| connections >= open.len() as f64)
        });
    }
}

#[test]
fn a_process_in_a_container_has_the_containers_id() {
    let (_agent, address) = web::start(AGENT, &[]);
    let id: String = (0..64).map(|_| fastrand::digit(16)).collect();
    let group = ControlGroup::new("pids", &format!("docker-{id}.scope"));
    let server = answering("contained");
    fs::write(group.members(), server.pid().to_string()).unwrap();
    ask(&server, 200, 3);
    let labels = [&*pid(&server), &*format!("container_id=\"{id}\"")];
    eventually(Some(3.0), || {
        sample(&text(address, "/metrics"), REQUESTS, &labels)
    });
}

#[test]
fn tells_of_itself_and_has_every_reason_from_the_start() {
    let (_agent, address) = web::start(AGENT, &["--backend", "syscall", "--max-processes", "1009"]);
    let metrics = text(address, "/metrics");
    for reason in Reason::ALL {
        let label = format!("reason=\"{}\"", reason.label());
        let missed = sample(&metrics, "scope_http_missed_total", &[&label]);
        assert!(missed.is_some(), "{reason:?} is not in\n{metrics}");
    }
    let one = |name, labels: &[&str]| sample(&metrics, name, labels).unwrap_or(-1.0);
    assert_eq!(
        one(
            "scope_http_backend_info",
            &["backend=\"syscall\"", "reason=\"as asked\""]
        ),
        1.0
    );
    let version = concat!("version=\"", env!("CARGO_PKG_VERSION"), "\"");
    assert_eq!(one("scope_http_build_info", &[version]), 1.0);
    let processes = ["map=\"http_processes\""];
    assert_eq!(one("scope_http_map_capacity", &processes), 1009.0);
    assert!(one("scope_http_map_entries", &processes) >= 0.0);
    assert!(one("scope_http_harvest_seconds", &[]) > 0.0);
    assert!(one("scope_http_resident_memory_bytes", &[]) > 1e6);
    assert_eq!(one("scope_http_other_processes", &[]), 0.0);
    assert_eq!(one("scope_http_proof", &[]), 1.0);
    assert_eq!(promtool_check(&metrics), "");
}

#[test]
fn what_the_file_excludes_is_shown_nowhere_and_its_requests_are_counted() {
    let folder = folder();
    let file = folder.path().join("agent.toml");
    fs::write(
        &file,
        "exclude = [\"executable=left-*\"]\nlog-format = \"json\"\nper-process = true\n",
    )
    .unwrap();
    let (agent, address) = web::start_by_workload(AGENT, &["--config", file.to_str().unwrap()]);
    let (shown, hidden) = (answering("shown"), answering("left-out"));
    ask(&hidden, 200, 53);
    ask(&shown, 200, 31);
    let excluded = "scope_http_excluded_requests_total";
    eventually((Some(31.0), Some(53.0)), || {
        let metrics = text(address, "/metrics");
        let shown = sample(&metrics, REQUESTS, &[&pid(&shown)]);
        (shown, sample(&metrics, excluded, &[]))
    });
    assert!(!text(address, "/metrics").contains("left-out"));
    for (path, before, after) in [("/report", ";", "\""), ("/view", "\"pid\":", ",")] {
        let text = String::from_utf8(agent.get(path).body).unwrap();
        let is_in = |server: &Server| text.contains(&format!("{before}{}{after}", server.pid()));
        assert!(is_in(&shown) && !is_in(&hidden), "{path}: {text}");
    }
    for line in agent.log().lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(
            line["level"].is_string() && line["message"].is_string(),
            "{line}"
        );
    }
}

#[test]
fn speaks_openmetrics_where_it_is_asked_for() {
    let (_agent, address) = web::start(AGENT, &[]);
    let accept = ["Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5"];
    let open = web::ask(address, "GET", "/metrics", &accept);
    let content_type = open.header("content-type").unwrap();
    assert!(content_type.starts_with("application/openmetrics-text; version=1.0.0"));
    let body = String::from_utf8(open.body).unwrap();
    assert!(body.ends_with("\n# EOF\n"), "{body}");
    assert!(body.contains("# TYPE scope_http_missed counter\n"));
    assert!(body.contains("scope_http_missed_total{reason=\"io_uring\"} "));

    let plain = web::ask(address, "GET", "/metrics", &[]);
    let content_type = plain.header("content-type").unwrap();
    assert!(content_type.starts_with("text/plain; version=0.0.4"));
    let body = String::from_utf8(plain.body).unwrap();
    assert!(!body.contains("# EOF"));
    assert!(body.contains("# TYPE scope_http_missed_total counter\n"));
}

#[test]
fn a_process_that_has_ended_keeps_its_last_counts() {
    let (_agent, address) = web::start(AGENT, &[]);
    let server = answering("ending");
    let pid = pid(&server);
    ask(&server, 200, 23);
    // One that has ended before it was read would be in its workload alone.
    eventually(Some(23.0), || {
        sample(&text(address, "/metrics"), REQUESTS, &[&pid])
    });
    drop(server);
    // Longer than it is in the reports.
    std::thread::sleep(Duration::from_secs(9));
    let metrics = text(address, "/metrics");
    assert_eq!(sample(&metrics, REQUESTS, &[&pid]), Some(23.0));
    assert_eq!(sample(&metrics, DURATION_COUNT, &[&pid]), Some(23.0));
}

#[test]
fn processes_over_the_limit_are_counted_together() {
    let (_agent, address) = web::start(AGENT, &["--max-processes", "1"]);
    let servers = [answering("first"), answering("second")];
    for server in &servers {
        ask(server, 200, 31);
    }
    let other = "otel_metric_overflow=\"true\"";
    // Other programs of this host may have come first: all that is asked is that nothing gets lost.
    eventually(true, || {
        let metrics = text(address, "/metrics");
        let own: f64 = servers
            .iter()
            .filter_map(|server| sample(&metrics, REQUESTS, &[&pid(server)]))
            .sum();
        let labelled = metrics
            .lines()
            .filter(|line| line.starts_with(REQUESTS) && line.contains("process_pid="))
            .count();
        assert!(labelled <= 1, "{metrics}");
        own + sample(&metrics, REQUESTS, &[other]).unwrap_or(0.0) >= 62.0
    });
    assert_eq!(promtool_check(&text(address, "/metrics")), "");
}

#[test]
fn a_real_prometheus_scrapes_it_and_answers_quantiles() {
    let (_agent, address) = web::start(AGENT, &[]);
    let prometheus = Prometheus::scraping(address);
    let server = answering("scraped");
    ask(&server, 200, 101);
    ask(&server, 500, 7);
    let of_server = format!("{{process_pid=\"{}\"}}", server.pid());
    eventually(Some(108.0), || {
        prometheus.query(&format!("{REQUESTS}{of_server}"))
    });
    let failed = format!(
        "{DURATION_COUNT}{{process_pid=\"{}\",http_response_status_code=~\"5..\"}}",
        server.pid()
    );
    eventually(Some(7.0), || prometheus.query(&failed));
    let buckets = format!("sum by (le) (http_server_request_duration_seconds_bucket{of_server})");
    let median = prometheus
        .query(&format!("histogram_quantile(0.5, {buckets})"))
        .unwrap();
    // The bucket that the delay is in; a busy machine may need the next one.
    let delay = DELAY_MS as f64 / 1000.0;
    assert!(median > delay * 0.8 && median < 0.075, "{median}");
    assert_eq!(prometheus.query("up"), Some(1.0));
    assert!(prometheus.query("sum(scope_http_missed_total)").is_some());
}
