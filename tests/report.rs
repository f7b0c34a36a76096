// SPDX-License-Identifier: Apache-2.0
//! The report against what Weave Scope's probe accepts, and against the form of the original plugin.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use scope_http_statistics::identity::cgroup::Cgroup;
use scope_http_statistics::model::counters::{Harvest, KernelState, ProcessGrowth, ProcessId};
use scope_http_statistics::model::histogram::Histogram;
use scope_http_statistics::model::increment::{Increment, Series, Totals};
use scope_http_statistics::model::reason::Missed;
use scope_http_statistics::model::series_key::SeriesKey;
use scope_http_statistics::model::snapshot::{
    AgentState, Durations, Lately, Latency, ProcessSnapshot, Snapshot, Trend, WorkloadSnapshot,
};
use scope_http_statistics::model::tick::Moment;
use scope_http_statistics::model::tracker::Tracker;
use scope_http_statistics::model::workload::Workload;
use scope_http_statistics::page::history::History;
use scope_http_statistics::report::{DETAILS, report};
use scope_http_statistics::scope::socket::Endpoint;
use serde_json::Value;

/// 2016-09-21T07:22:24.293175Z, the date in the original's documentation.
fn date() -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(1_474_442_544_293_175)
}

/// A process that has answered nothing. The last of the rates was measured at [`date`], and those before a second apart.
fn process(pid: u32, start_time: u64, rates: &[f64]) -> ProcessSnapshot {
    ProcessSnapshot {
        id: ProcessId { pid, start_time },
        requests_per_second: trend(rates),
        ..ProcessSnapshot::default()
    }
}

/// The same with two ticks for each status code, of which the second had `rate`.
fn answering(mut process: ProcessSnapshot, responses: &[(u16, f64)]) -> ProcessSnapshot {
    process.responses_per_second = responses
        .iter()
        .map(|(status, rate)| (*status, trend(&[0.0, *rate])))
        .collect();
    process.latency = Some(Box::new(Latency {
        p50_ms: durations(&[0.25]),
        p90_ms: durations(&[5.0]),
        p99_ms: durations(&[7.5]),
        max_ms: durations(&[9.0]),
    }));
    // Of each code as many as its number says.
    let series = responses.iter().map(|(status, _)| Series {
        key: SeriesKey {
            status: *status,
            ..SeriesKey::OTHER
        },
        durations: Histogram::of(u64::from(*status), 7),
        since: Instant::now(),
    });
    process.totals = Arc::new(Totals {
        series: series.collect(),
        ..Totals::default()
    });
    process
}

fn trend(values: &[f64]) -> Trend {
    Trend::of(values.iter().copied())
}

fn durations(values: &[f32]) -> Durations {
    Durations::of(values.iter().copied())
}

fn snapshot(processes: Vec<ProcessSnapshot>) -> Snapshot {
    Snapshot {
        date: date(),
        taken: Instant::now(),
        elapsed: Duration::from_secs(1),
        dates: (0..5)
            .rev()
            .map(|ago| date() - Duration::from_secs(ago))
            .collect(),
        processes: processes.into_iter().map(Arc::new).collect(),
        workloads: Vec::new(),
        missed: Missed::default(),
        kernel: KernelState::default(),
        agent: AgentState::default(),
    }
}

fn json(processes: Vec<ProcessSnapshot>) -> Value {
    serde_json::to_value(report(&snapshot(processes), "example.org", DETAILS[0])).unwrap()
}

/// Reports of every kind: a quiet host, an idle process, busy ones, and a pid that was reused.
fn reports() -> Vec<Value> {
    vec![
        json(vec![]),
        json(vec![process(1, 1, &[0.0; 5])]),
        json(vec![
            process(7, 1, &[0.0, 3.5, 1.0, 0.25, 9.0]),
            process(7, 2, &[0.0, 130_000.0]),
            answering(
                process(4_194_304, 1, &[0.0, 5.0]),
                &[(200, 2.0), (404, 1.0), (499, 1.0), (599, 1.0)],
            ),
        ]),
    ]
}

fn object(value: &Value) -> &serde_json::Map<String, Value> {
    value.as_object().unwrap()
}

fn keys(value: &Value) -> BTreeSet<&str> {
    object(value).keys().map(String::as_str).collect()
}

/// Every metric of every node of every report.
fn metrics(reports: &[Value]) -> Vec<(&str, &Value)> {
    let nodes = reports
        .iter()
        .flat_map(|it| object(&it["Process"]["nodes"]));
    nodes
        .flat_map(|(_, node)| object(&node["metrics"]))
        .map(|(id, metric)| (id.as_str(), metric))
        .collect()
}

#[test]
fn is_literally_in_the_form_of_the_original() {
    let process = process(29770, 1, &[0.0, 3.0]);
    let report = report(
        &snapshot(vec![answering(process, &[(200, 2.0), (499, 1.0)])]),
        "example.org",
        DETAILS[0],
    );
    // In the file it has a line for each template, each metric and each row.
    let expected = include_str!("report.json").replace('\n', "");
    assert_eq!(serde_json::to_string(&report).unwrap(), expected);
}

#[test]
fn declares_one_plugin_named_like_its_socket() {
    let endpoint = Endpoint::below(Path::new("/var/run/scope/plugins")).unwrap();
    assert_eq!(
        endpoint.path(),
        "/var/run/scope/plugins/http-statistics/http-statistics.sock"
    );
    for report in reports() {
        assert_eq!(
            keys(&report),
            BTreeSet::from(["Plugins", "Process", "Container", "Host"])
        );
        let plugins = report["Plugins"].as_array().unwrap();
        assert_eq!(plugins.len(), 1);
        let id = plugins[0]["id"].as_str().unwrap();
        assert_eq!(endpoint.path().file_stem().unwrap(), id);
        assert!(
            id.split('-').all(|part| {
                !part.is_empty() && part.chars().all(|it| it.is_ascii_alphanumeric())
            })
        );
        assert!(!plugins[0]["label"].as_str().unwrap().is_empty());
        assert_eq!(plugins[0]["interfaces"], serde_json::json!(["reporter"]));
        assert_eq!(plugins[0]["api_version"], "1");
    }
}

#[test]
fn declares_every_template_in_every_report() {
    let reports = reports();
    let templates = object(&reports[0]["Process"]["metric_templates"]);
    assert!(!templates.is_empty());
    let mut priorities = Vec::new();
    for (key, template) in templates {
        let fields = BTreeSet::from(["id", "label", "format", "group", "priority"]);
        assert!(keys(template).is_subset(&fields), "{template}");
        assert_eq!(template["id"], key.as_str());
        assert!(!template["label"].as_str().unwrap().is_empty());
        let format = template["format"].as_str().unwrap();
        assert!(["", "filesize", "integer", "percent"].contains(&format));
        priorities.push(template["priority"].as_f64().unwrap());
        let of_the_probe = [
            "process_cpu_usage_percent",
            "process_memory_usage_bytes",
            "open_files_count",
        ];
        assert!(!of_the_probe.contains(&key.as_str()));
    }
    priorities.sort_by(f64::total_cmp);
    assert!(priorities.is_sorted_by(|a, b| a < b), "{priorities:?}");
    let requests = &templates["http_requests_per_second"];
    assert_eq!(requests["priority"].as_f64(), Some(priorities[0]));

    for report in &reports {
        assert_eq!(object(&report["Process"]["metric_templates"]), templates);
    }
    for (id, _) in metrics(&reports) {
        assert!(templates.contains_key(id), "{id} has no template");
    }
}

#[test]
fn keys_nodes_by_host_and_pid_and_gives_them_nothing_but_values() {
    let reports = reports();
    assert_eq!(keys(&reports[0]["Process"]["nodes"]), BTreeSet::new());
    assert_eq!(
        keys(&reports[2]["Process"]["nodes"]),
        BTreeSet::from(["example.org;7", "example.org;4194304"])
    );
    let busy = &reports[2]["Process"]["nodes"]["example.org;4194304"];
    assert_eq!(keys(busy), BTreeSet::from(["metrics", "latest"]));
    let silent = &reports[2]["Process"]["nodes"]["example.org;7"];
    assert_eq!(keys(silent), BTreeSet::from(["metrics"]));
    assert_eq!(
        keys(&reports[2]["Process"]),
        BTreeSet::from(["metric_templates", "table_templates", "nodes"])
    );
    for topology in ["Container", "Host"] {
        assert_eq!(
            keys(&reports[2][topology]),
            BTreeSet::from(["metric_templates", "nodes"])
        );
    }
}

#[test]
fn samples_are_dated_in_full_and_oldest_first() {
    let reports = reports();
    let metrics = metrics(&reports);
    assert_eq!(metrics.len(), 13);
    for (_, metric) in metrics {
        assert_eq!(keys(metric), BTreeSet::from(["samples", "min", "max"]));
        let samples = metric["samples"].as_array().unwrap();
        assert!(!samples.is_empty());
        let mut dates = Vec::new();
        for sample in samples {
            assert_eq!(keys(sample), BTreeSet::from(["date", "value"]));
            // JSON has no NaN and no infinity: they would have become null.
            assert!(sample["value"].is_f64(), "{sample}");
            let text = sample["date"].as_str().unwrap();
            assert_eq!(text.len(), "2016-09-21T07:22:24.293175Z".len());
            assert!(text.ends_with('Z') && &text[10..11] == "T" && &text[19..20] == ".");
            dates.push(humantime::parse_rfc3339(text).unwrap());
        }
        assert!(dates.is_sorted_by(|a, b| a < b), "{dates:?}");
        assert_eq!(dates.last(), Some(&date()));
    }
}

#[test]
fn max_is_round_and_never_reached() {
    for (_, metric) in metrics(&reports()) {
        let max = metric["max"].as_f64().unwrap();
        let digits = format!("{max}");
        assert!(
            ["1", "2", "5"].contains(&digits.trim_end_matches('0')),
            "{max}"
        );
        for sample in metric["samples"].as_array().unwrap() {
            let value = sample["value"].as_f64().unwrap();
            assert!(value < max && value >= metric["min"].as_f64().unwrap());
        }
    }
}

/// Of the report of one process.
fn metrics_of(report: &Value, pid: u32) -> BTreeMap<&str, f64> {
    last_values(&report["Process"]["nodes"][format!("example.org;{pid}")])
}

fn last_values(node: &Value) -> BTreeMap<&str, f64> {
    let last =
        |metric: &Value| metric["samples"].as_array().unwrap().last().unwrap()["value"].as_f64();
    object(&node["metrics"])
        .iter()
        .map(|(id, metric)| (id.as_str(), last(metric).unwrap()))
        .collect()
}

#[test]
fn codes_that_nobody_has_registered_are_counted_together() {
    let expected = BTreeMap::from([
        ("http_requests_per_second", 5.0),
        ("http_request_duration_p50_ms", 0.25),
        ("http_request_duration_p90_ms", 5.0),
        ("http_request_duration_p99_ms", 7.5),
        ("http_request_duration_max_ms", 9.0),
        ("http_2xx_responses_per_second", 2.0),
        ("http_4xx_responses_per_second", 2.0),
        ("http_5xx_responses_per_second", 1.0),
        ("http_200_responses_per_second", 2.0),
        ("http_404_responses_per_second", 1.0),
        ("http_OTHERS_responses_per_second", 2.0),
    ]);
    assert_eq!(metrics_of(&reports()[2], 4_194_304), expected);
}

#[test]
fn a_process_has_four_codes_as_metrics_and_all_of_them_in_classes_and_in_a_table() {
    let responses: Vec<_> = (400..=415).zip((1..).map(f64::from)).collect();
    let report = json(vec![answering(process(7, 1, &[0.0, 136.0]), &responses)]);
    let metrics = metrics_of(&report, 7);
    for latency in ["p50", "p90", "p99", "max"] {
        assert!(metrics.contains_key(&*format!("http_request_duration_{latency}_ms")));
    }
    assert_eq!(metrics["http_requests_per_second"], 136.0);
    assert_eq!(metrics["http_4xx_responses_per_second"], 136.0);
    // Those with the most traffic.
    let codes: Vec<_> = metrics
        .keys()
        .filter(|id| id.starts_with("http_4") && !id.starts_with("http_4xx"))
        .collect();
    let expected = [412, 413, 414, 415].map(|code| format!("http_{code}_responses_per_second"));
    assert!(codes.iter().eq(&expected.each_ref()), "{codes:?}");

    let tables = object(&report["Process"]["table_templates"]);
    assert_eq!(tables.len(), 1);
    let table = &tables["http_responses_"];
    assert_eq!(table["type"], "property-list");
    let prefix = table["prefix"].as_str().unwrap();
    let rows = object(&report["Process"]["nodes"]["example.org;7"]["latest"]);
    assert_eq!(rows.len(), 16);
    for ((code, rate), (key, row)) in responses.into_iter().zip(rows) {
        assert_eq!(key.strip_prefix(prefix), Some(&*code.to_string()));
        assert_eq!(keys(row), BTreeSet::from(["timestamp", "value"]));
        let date = humantime::parse_rfc3339(row["timestamp"].as_str().unwrap()).unwrap();
        assert_eq!(date, self::date());
        let total = u64::from(code);
        assert_eq!(row["value"], format!("{total} ({rate:.1}/s)"));
    }
}

#[test]
fn containers_and_the_host_have_the_sums_of_their_workloads() {
    let id = "8c2b7a3f4d5e60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f9";
    let other = id.replace('8', "7");
    let workload = |container: Option<&str>, rate: f64, p50: f32| {
        let key = Workload {
            cgroup: Cgroup {
                container_id: container.map(Into::into),
                ..Cgroup::default()
            },
            ..Workload::default()
        };
        let of = answering(process(1, 1, &[0.0, rate]), &[(200, rate), (503, 1.0)]);
        let mut latency = of.latency.unwrap();
        latency.p50_ms = durations(&[p50]);
        Arc::new(WorkloadSnapshot {
            workload: Arc::new(key),
            totals: Totals::default(),
            lately: Lately {
                requests_per_second: of.requests_per_second,
                responses_per_second: of.responses_per_second,
                failed_calls_per_second: None,
                latency: Some(latency),
            },
            rest: Totals::default(),
            increment: Increment::default(),
            unlisted: 0,
            processes: 1,
            since: Instant::now(),
        })
    };
    let snapshot = Snapshot {
        workloads: vec![
            workload(Some(id), 5.0, 1.0),
            workload(Some(id), 7.0, 2.0),
            workload(Some(&other), 11.0, 3.0),
            workload(None, 13.0, 4.0),
        ],
        ..snapshot(Vec::new())
    };
    let report = serde_json::to_value(report(&snapshot, "example.org", DETAILS[0])).unwrap();
    let sums = |topology: &str, key: &str| {
        let node = &report[topology]["nodes"][key];
        assert_eq!(keys(node), BTreeSet::from(["metrics"]), "{key}");
        let templates = object(&report[topology]["metric_templates"]);
        for id in object(&node["metrics"]).keys() {
            assert!(templates.contains_key(id), "{id}");
        }
        last_values(node)
            .into_iter()
            .map(|(id, value)| (id.to_owned(), value))
            .collect::<BTreeMap<_, _>>()
    };
    let expected = |requests, ok, failed| {
        BTreeMap::from([
            ("http_requests_per_second".to_owned(), requests),
            ("http_2xx_responses_per_second".to_owned(), ok),
            ("http_5xx_responses_per_second".to_owned(), failed),
        ])
    };
    // Of two workloads nobody knows the percentiles together.
    let both = sums("Container", &format!("{id};<container>"));
    assert_eq!(both, expected(12.0, 12.0, 2.0));
    let host = sums("Host", "example.org;<host>");
    assert_eq!(host, expected(36.0, 36.0, 4.0));
    let one = sums("Container", &format!("{other};<container>"));
    assert_eq!(one["http_requests_per_second"], 11.0);
    assert_eq!(one["http_request_duration_p50_ms"], 3.0);
    assert_eq!(object(&report["Container"]["nodes"]).len(), 2);
    assert_eq!(object(&report["Host"]["nodes"]).len(), 1);
}

#[test]
fn processes_that_shared_a_pid_share_its_node() {
    let report = json(vec![
        process(7, 1, &[2.0, 3.0, 4.0]),
        process(7, 2, &[0.0, 11.0]),
    ]);
    let metric =
        &report["Process"]["nodes"]["example.org;7"]["metrics"]["http_requests_per_second"];
    let samples = metric["samples"].as_array().unwrap();
    let values: Vec<_> = samples.iter().map(|it| it["value"].as_f64()).collect();
    assert_eq!(values, [Some(2.0), Some(3.0), Some(15.0)]);
    assert_eq!(metric["max"], 20.0);
}

#[test]
fn of_processes_that_shared_a_pid_the_younger_has_the_percentiles() {
    let older = answering(process(7, 1, &[0.0, 3.0]), &[(200, 3.0)]);
    let mut younger = answering(process(7, 2, &[0.0, 5.0]), &[(200, 4.0), (500, 1.0)]);
    younger.latency.as_mut().unwrap().p50_ms = durations(&[40.0]);
    let expected = BTreeMap::from([
        ("http_requests_per_second", 8.0),
        ("http_request_duration_p50_ms", 40.0),
        ("http_request_duration_p90_ms", 5.0),
        ("http_request_duration_p99_ms", 7.5),
        ("http_request_duration_max_ms", 9.0),
        ("http_2xx_responses_per_second", 7.0),
        ("http_5xx_responses_per_second", 1.0),
        ("http_200_responses_per_second", 7.0),
        ("http_500_responses_per_second", 1.0),
    ]);
    assert_eq!(metrics_of(&json(vec![older, younger]), 7), expected);
}

#[test]
fn ten_thousand_processes_stay_below_what_the_probe_has_time_for() {
    let rates = [123_456.789_012_345; 5];
    let processes = (1..=10_000).map(|pid| {
        let process = process(4_000_000 + pid, 1, &rates);
        // As many as this answer within a quarter of a minute.
        if pid <= 2_000 {
            answering(process, &[(200, rates[0]), (404, rates[0])])
        } else {
            process
        }
    });
    let text = serde_json::to_vec(&report(
        &snapshot(processes.collect()),
        "example.org",
        DETAILS[0],
    ))
    .unwrap();
    assert!(text.len() < 8 << 20, "{} bytes", text.len());
}

#[test]
fn a_wall_clock_that_is_set_makes_no_rate_wrong() {
    const SECOND: Duration = Duration::from_secs(1);
    const HOUR: Duration = Duration::from_secs(3600);
    let id = ProcessId {
        pid: 7,
        start_time: 1,
    };
    let to_later = |date: SystemTime| date + HOUR;
    let to_earlier = |date: SystemTime| date - HOUR;
    for set in [&to_later as &dyn Fn(SystemTime) -> SystemTime, &to_earlier] {
        let mut now = Moment {
            instant: Instant::now(),
            date: date(),
        };
        let mut tracker = Tracker::new(now);
        let (first, _) = tracker.tick(Harvest::default(), &[], AgentState::default(), now);
        let mut history = History::new("example.org".to_owned(), first.into());
        for second in 1..=9 {
            now.instant += SECOND;
            now.date += SECOND;
            if second == 5 {
                now.date = set(now.date);
            }
            let growth = ProcessGrowth {
                id,
                workload: Arc::default(),
                increment: Increment {
                    requests: 10,
                    series: Vec::new(),
                    ..Increment::default()
                },
                ended: false,
            };
            let harvest = Harvest {
                processes: vec![growth],
                ..Harvest::default()
            };
            let (snapshot, _) = tracker.tick(harvest, &[], AgentState::default(), now);
            let json = serde_json::to_value(report(&snapshot, "example.org", DETAILS[0])).unwrap();
            let metric =
                &json["Process"]["nodes"]["example.org;7"]["metrics"]["http_requests_per_second"];
            let samples = metric["samples"].as_array().unwrap();
            let rates: Vec<_> = samples.iter().map(|it| it["value"].as_f64()).collect();
            // The very first has nothing before it.
            assert!(rates.iter().skip(1).all(|rate| *rate == Some(10.0)));
            assert!([Some(0.0), Some(10.0)].contains(&rates[0]), "{rates:?}");
            assert_eq!(metric["max"], 20.0);
            history.push(snapshot.into());
        }
        let view = &history.view().processes[0];
        assert_eq!(view.requests_per_second, 10.0);
        let points: Vec<_> = view.points.iter().map(|point| point.requests).collect();
        assert_eq!(points, [10.0; 9]);
    }
}
