// SPDX-License-Identifier: Apache-2.0
//! What `deploy/` has for Prometheus and Grafana, against promtool and the metrics of a real agent; for Kubernetes, against its
//! schemas and Helm; and what a publisher needs.

mod publish;
mod python;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::agent::{Program, folder, output_of};
use common::web::{self, text};
use serde_json::{Value, json};

const AGENT: Program = common::agent!();

fn deploy(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("deploy")
        .join(name)
}

fn promtool(args: &[&str], file: &Path) {
    let mut command = Command::new("promtool");
    command.args(args).arg(file);
    let output = output_of(command);
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn rules_fire_when_they_should_and_only_then() {
    promtool(&["check", "config"], &deploy("prometheus/prometheus.yml"));
    promtool(&["check", "rules"], &deploy("prometheus/rules.yml"));
    promtool(&["test", "rules"], &deploy("prometheus/rules_test.yml"));
}

/// All texts under the key `expr` or `query`, at any depth.
fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                match value {
                    Value::String(text) if key == "expr" || key == "query" => {
                        found.push(text.clone());
                    }
                    _ => expressions(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| expressions(item, found)),
        _ => {}
    }
}

fn dashboard() -> Value {
    let text = fs::read_to_string(deploy("grafana/dashboard.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Its variables as Grafana fills them in where all is asked for.
fn filled_in(expression: &str) -> String {
    let variables = [
        ("$__rate_interval", "5m"),
        ("$instance", ".*"),
        ("$executable", ".*"),
    ];
    let filled = variables
        .iter()
        .fold(expression.to_owned(), |text, (from, to)| {
            text.replace(from, to)
        });
    assert!(!filled.contains('$'), "{filled}");
    filled
}

/// Prometheus understands all that the dashboard asks for, and a service that never failed has a share of failures, which is 0.
#[test]
fn the_dashboard_knows_of_services_that_do_not_fail() {
    let mut expected = Vec::new();
    for panel in dashboard()["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        for target in panel["targets"].as_array().unwrap() {
            let samples = match title {
                "Share of 5xx" | "Share of gRPC calls that the server failed in" => json!([{
                    "labels": r#"{instance="a", process_executable_name="fine"}"#,
                    "value": 0,
                }]),
                // That Prometheus understands them is what the others are asked for.
                _ => continue,
            };
            let expression = filled_in(target["expr"].as_str().unwrap());
            let expr = json!({ "expr": expression, "eval_time": "10m", "exp_samples": samples });
            expected.push(expr);
        }
    }
    assert_eq!(expected.len(), 2);

    let mut asked = Vec::new();
    expressions(&dashboard()["panels"], &mut asked);
    let records: Vec<_> = asked
        .iter()
        .enumerate()
        .map(|(at, it)| json!({ "record": format!("panel:{at}"), "expr": filled_in(it) }))
        .collect();
    let series = |name: &str, labels: &str, values: &str| {
        let labels = format!(r#"instance="a", process_executable_name="fine", {labels}"#);
        json!({ "series": format!("{name}{{{labels}}}"), "values": values })
    };
    let answers = "http_server_request_duration_seconds_count";
    let input = [
        series(answers, r#"http_response_status_code="200""#, "0+60x10"),
        series(
            "rpc_server_duration_seconds_count",
            r#"rpc_grpc_status_code="0""#,
            "0+60x10",
        ),
    ];
    let folder = folder();
    let write = |name: &str, content: Value| {
        // JSON is YAML.
        let path = folder.path().join(name);
        fs::write(&path, content.to_string()).unwrap();
        path
    };
    let rules = write(
        "rules.yml",
        json!({ "groups": [{ "name": "dashboard", "rules": records }] }),
    );
    promtool(&["check", "rules"], &rules);
    let tests = json!([{ "interval": "1m", "input_series": input, "promql_expr_test": expected }]);
    let tests = write("test.yml", json!({ "rule_files": [], "tests": tests }));
    promtool(&["test", "rules"], &tests);
}

/// Words that look like names of this agent's metrics.
fn metrics_in(expression: &str) -> impl Iterator<Item = &str> {
    expression
        .split(|it: char| !it.is_ascii_alphanumeric() && it != '_')
        .filter(|word| {
            let starts = ["http_server_", "rpc_server_", "scope_http_"];
            starts.iter().any(|start| word.starts_with(start))
        })
}

#[test]
fn dashboard_and_rules_ask_for_metrics_that_there_are() {
    let (_agent, address) = web::start(AGENT, &[]);
    let metrics = text(address, "/metrics");
    let known: BTreeSet<&str> = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .filter_map(|line| line.split(' ').next())
        .collect();
    let is_known = |name: &str| {
        let parts = ["_bucket", "_count", "_sum"];
        let family = parts.iter().find_map(|part| name.strip_suffix(part));
        known.contains(name) || family.is_some_and(|family| known.contains(family))
    };

    let dashboard = dashboard();
    let mut asked = Vec::new();
    expressions(&dashboard, &mut asked);
    let mut count = 0;
    for name in asked.iter().flat_map(|expression| metrics_in(expression)) {
        assert!(is_known(name), "{name} is not in\n{known:?}");
        count += 1;
    }
    assert!(count >= dashboard["panels"].as_array().unwrap().len());

    let rules = fs::read_to_string(deploy("prometheus/rules.yml")).unwrap();
    let raw = rules.split_whitespace().filter(|word| !word.contains(':'));
    for name in raw.flat_map(metrics_in) {
        assert!(is_known(name), "{name} is not in\n{known:?}");
    }
}

/// Both say so much memory: what was measured is in `docs/memory.md`.
#[test]
fn one_limit_of_memory_is_for_all() {
    let limit = |file: &str, key: &str| {
        let text = fs::read_to_string(deploy(file)).unwrap();
        let mut values = text
            .lines()
            .filter_map(|line| line.trim().strip_prefix(key));
        // The last of a DaemonSet's is the limit, behind the request.
        let value = values.next_back().expect(key).trim().to_owned();
        value.trim_end_matches('i').to_owned()
    };
    let service = limit("systemd/scope-http-statistics.service", "MemoryMax=");
    assert_eq!(service, limit("kubernetes/daemonset.yaml", "memory:"));
    let documented = fs::read_to_string("docs/memory.md").unwrap();
    let mib = service.strip_suffix('M').unwrap();
    assert!(documented.contains(&format!("So the limits are {mib} MiB")));
}

/// Of the oldest version that the chart is for, and of the newest known.
const KUBERNETES: [&str; 2] = ["1.25", "1.37"];

#[test]
fn chart_and_kustomization_are_valid_and_make_the_same() {
    let mut kustomize = Command::new("kubectl");
    kustomize.arg("kustomize").arg(deploy("kubernetes"));
    let output = output_of(kustomize);
    assert!(output.status.success(), "{output:?}");
    let folder = folder();
    let manifests = folder.path().join("manifests.yaml");
    fs::write(&manifests, output.stdout).unwrap();
    let mut check = python::program("python");
    check
        .arg("tests/deploy/manifests.py")
        .arg(manifests)
        .arg(deploy("helm/scope-http-statistics"))
        .args(KUBERNETES);
    let output = output_of(check);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
