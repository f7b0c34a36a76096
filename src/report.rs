// SPDX-License-Identifier: Apache-2.0
//! The report of Weave Scope's plugin interface, as a pure function of a [`Snapshot`].
//!
//! Field names, node keys and the form of dates are those of the original plugin. Nodes carry neither `id` nor
//! `topology`: the one makes the probe draw ghosts, the other can crash it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use serde::Serialize;

use crate::model::snapshot::{Durations, ProcessSnapshot, Snapshot, Trend};
use crate::scope::template::{self, TEMPLATES, Template};

/// Plugin id; the socket has to be named after it.
pub const PLUGIN_ID: &str = "http-statistics";

/// How much is told.
#[derive(Clone, Copy, Debug)]
pub struct Detail {
    /// Of a metric, the latest ones.
    samples: usize,
    /// Also of processes that have not been asked for a minute.
    idle: bool,
    /// Those with the most traffic. More than twenty overflow the page of a process.
    metrics: usize,
    /// The busiest.
    nodes: usize,
}

const fn shorter(samples: usize, idle: bool, metrics: usize, nodes: usize) -> Detail {
    Detail {
        samples,
        idle,
        metrics,
        nodes,
    }
}

/// From everything to what a probe can decode in time whatever a host runs.
pub const DETAILS: [Detail; 8] = [
    shorter(5, true, 20, usize::MAX),
    shorter(1, true, 20, usize::MAX),
    shorter(1, false, 20, usize::MAX),
    shorter(1, false, 8, usize::MAX),
    shorter(1, false, 6, 2500),
    shorter(1, false, 6, 1000),
    shorter(1, false, 6, 300),
    shorter(1, false, 6, 100),
];

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
    metric_templates: &'static BTreeMap<String, Template>,
    nodes: BTreeMap<String, Node>,
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
pub fn report(snapshot: &Snapshot, host: &str, detail: Detail) -> Report {
    // The probe knows only the pid: a node has the values of every process that has had it.
    let mut values: BTreeMap<u32, Values> = BTreeMap::new();
    for process in shown(snapshot, detail) {
        let values = values.entry(process.id.pid).or_default();
        values.add(process, snapshot, detail.samples);
    }
    let nodes = values.into_iter().map(|(pid, values)| {
        let metrics = values.into_metrics(detail.metrics);
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
            metric_templates: &TEMPLATES,
            nodes: nodes.collect(),
        },
    }
}

/// The processes that are told of.
fn shown(snapshot: &Snapshot, detail: Detail) -> Vec<&ProcessSnapshot> {
    let processes = snapshot.processes.iter().map(Arc::as_ref);
    let is_idle = |it: &ProcessSnapshot| it.requests_per_second.peak == 0.0;
    let mut shown: Vec<_> = processes.filter(|it| detail.idle || !is_idle(it)).collect();
    if shown.len() > detail.nodes {
        let traffic = |it: &ProcessSnapshot| it.requests_per_second.sum;
        shown.sort_by(|a, b| traffic(b).total_cmp(&traffic(a)));
        shown.truncate(detail.nodes);
    }
    shown
}

/// To three digits after the point, which is more than Scope shows.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// The values of one node, by metric.
#[derive(Default)]
struct Values {
    requests: Series,
    failed_calls: Option<Series>,
    durations: BTreeMap<&'static str, Series>,
    responses: BTreeMap<&'static str, Series>,
}

impl Values {
    fn add(&mut self, process: &ProcessSnapshot, snapshot: &Snapshot, samples: usize) {
        self.requests
            .add(&process.requests_per_second, snapshot, samples);
        for (status, trend) in &process.responses_per_second {
            let series = self.responses.entry(template::responses(*status));
            series.or_default().add(trend, snapshot, samples);
        }
        if let Some(trend) = &process.failed_calls_per_second {
            let failed = self.failed_calls.get_or_insert_default();
            failed.add(trend, snapshot, samples);
        }
        let latency = process.latency.iter().flat_map(|latency| {
            [
                (template::DURATION_P50, &latency.p50_ms),
                (template::DURATION_P90, &latency.p90_ms),
                (template::DURATION_P99, &latency.p99_ms),
                (template::DURATION_MAX, &latency.max_ms),
            ]
        });
        for (id, durations) in latency {
            // They have no sum: the younger process takes over.
            let series = Series::of_durations(durations, snapshot, samples);
            self.durations.insert(id, series);
        }
    }

    fn into_metrics(self, most: usize) -> BTreeMap<&'static str, Metric> {
        let mut metrics = self.durations;
        metrics.insert(template::REQUESTS, self.requests);
        metrics.extend(self.failed_calls.map(|it| (template::GRPC_ERRORS, it)));
        let mut responses: Vec<_> = self.responses.into_iter().collect();
        responses.sort_by(|(_, a), (_, b)| b.traffic.total_cmp(&a.traffic));
        responses.truncate(most.saturating_sub(metrics.len()));
        metrics.extend(responses);
        let metrics = metrics.into_iter();
        metrics
            .map(|(id, series)| (id, series.into_metric()))
            .collect()
    }
}

/// Sums of rates.
#[derive(Default)]
struct Series {
    samples: BTreeMap<SystemTime, f64>,
    peak: f64,
    traffic: f64,
}

impl Series {
    fn add(&mut self, trend: &Trend, snapshot: &Snapshot, samples: usize) {
        for (date, value) in snapshot.dated(latest(&trend.values, samples)) {
            *self.samples.entry(date).or_default() += value;
        }
        self.peak += trend.peak;
        self.traffic += trend.sum;
    }

    fn of_durations(durations: &Durations, snapshot: &Snapshot, samples: usize) -> Self {
        let dated = snapshot.dated(latest(&durations.values, samples));
        Self {
            samples: dated.map(|(date, ms)| (date, ms.into())).collect(),
            peak: durations.peak.into(),
            traffic: 0.0,
        }
    }

    fn into_metric(self) -> Metric {
        let samples = self.samples.into_iter().map(|(date, value)| Sample {
            date: humantime::format_rfc3339_micros(date).to_string(),
            value: rounded(value),
        });
        Metric {
            samples: samples.collect(),
            min: 0.0,
            max: ceiling(self.peak),
        }
    }
}

fn latest<T>(values: &[T], count: usize) -> &[T] {
    &values[values.len().saturating_sub(count)..]
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
