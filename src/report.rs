// SPDX-License-Identifier: Apache-2.0
//! The report of Weave Scope's plugin interface, as a pure function of a [`Snapshot`].
//!
//! Field names, node keys and the form of dates are those of the original plugin. Nodes carry neither `id` nor
//! `topology`: the one makes the probe draw ghosts, the other can crash it.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::Serialize;

use crate::snapshot::Snapshot;

/// Plugin id; the socket has to be named after it.
pub const PLUGIN_ID: &str = "http-statistics";

const REQUESTS_PER_SECOND: &str = "http_requests_per_second";

/// Every metric that there may be. All are declared in every report: a template that comes together with its first
/// sample is shown seconds late. The details panel shows the three of lowest priority, and shuffles equal ones.
const TEMPLATES: [Template; 1] = [Template {
    id: REQUESTS_PER_SECOND,
    label: "HTTP Req/Second",
    format: "",
    priority: 0.1,
}];

#[derive(Serialize)]
pub struct Report {
    #[serde(rename = "Plugins")]
    plugins: [Plugin; 1],
    #[serde(rename = "Process")]
    process: Topology,
}

#[derive(Serialize)]
struct Plugin {
    id: &'static str,
    label: &'static str,
    description: &'static str,
    interfaces: [&'static str; 1],
    api_version: &'static str,
}

#[derive(Serialize)]
struct Topology {
    metric_templates: BTreeMap<&'static str, Template>,
    nodes: BTreeMap<String, Node>,
}

#[derive(Clone, Copy, Serialize)]
struct Template {
    id: &'static str,
    label: &'static str,
    format: &'static str,
    priority: f64,
}

#[derive(Serialize)]
struct Node {
    metrics: BTreeMap<&'static str, Metric>,
}

#[derive(Serialize)]
struct Metric {
    samples: Vec<Sample>,
    min: f64,
    max: f64,
}

#[derive(Serialize)]
struct Sample {
    date: String,
    value: f64,
}

/// Builds the report of the host that the probe calls `host`.
pub fn report(snapshot: &Snapshot, host: &str) -> Report {
    let mut requests: BTreeMap<u32, Series> = BTreeMap::new();
    for process in &snapshot.processes {
        let series = requests.entry(process.id.pid).or_default();
        for sample in &process.requests_per_second {
            *series.samples.entry(sample.date).or_default() += sample.value;
        }
        series.peak += process.requests_per_second_peak;
    }
    let nodes = requests.into_iter().map(|(pid, series)| {
        let metrics = BTreeMap::from([(REQUESTS_PER_SECOND, series.into_metric())]);
        (format!("{host};{pid}"), Node { metrics })
    });
    Report {
        plugins: [Plugin {
            id: PLUGIN_ID,
            label: "HTTP Statistics",
            description: "Adds http request metrics to processes",
            interfaces: ["reporter"],
            api_version: "1",
        }],
        process: Topology {
            metric_templates: TEMPLATES.map(|template| (template.id, template)).into(),
            nodes: nodes.collect(),
        },
    }
}

/// The values of one node: those of every process that has had the pid, since the probe knows only the pid.
#[derive(Default)]
struct Series {
    samples: BTreeMap<SystemTime, f64>,
    peak: f64,
}

impl Series {
    fn into_metric(self) -> Metric {
        let samples = self.samples.into_iter().map(|(date, value)| Sample {
            date: humantime::format_rfc3339_micros(date).to_string(),
            value,
        });
        Metric {
            samples: samples.collect(),
            min: 0.0,
            max: ceiling(self.peak),
        }
    }
}

/// The least of 1, 2, 5, 10, 20, 50, … above `peak`. The UI fills a node by value over `max`, so that it must be
/// steady, and a value that equals it looks like a limit.
fn ceiling(peak: f64) -> f64 {
    (0..30)
        .flat_map(|exponent| [1.0, 2.0, 5.0].map(|step| step * 10f64.powi(exponent)))
        .find(|&limit| limit > peak)
        .unwrap_or(f64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ceiling_is_round_and_above() {
        let cases = [
            (0.0, 1.0),
            (0.99, 1.0),
            (1.0, 2.0),
            (4.2, 5.0),
            (5.0, 10.0),
            (99.0, 100.0),
            (130_000.0, 200_000.0),
            (f64::MAX, f64::MAX),
        ];
        for (peak, expected) in cases {
            assert_eq!(ceiling(peak), expected, "of {peak}");
        }
    }
}
