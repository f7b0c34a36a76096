// SPDX-License-Identifier: Apache-2.0
//! The report of Weave Scope's plugin interface, as a pure function of a [`Snapshot`].
//!
//! Processes are told of by their pids, containers and the host as sums of their workloads: Scope opens with its containers.
//!
//! Field names, node keys and the form of dates are those of the original plugin. Nodes carry neither `id` nor
//! `topology`: the one makes the probe draw ghosts, the other can crash it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use crate::model::snapshot::{ProcessSnapshot, Snapshot, WorkloadSnapshot};
use crate::scope::template::{OF_HOSTS, ROLLED_UP, TABLES, TEMPLATES, TableTemplate, Template};
use crate::scope::values::{Metric, Text, Values};

/// Plugin id; the socket has to be named after it.
pub const PLUGIN_ID: &str = "http-statistics";

/// How much is told.
#[derive(Clone, Copy, Debug)]
pub struct Detail {
    /// Of a metric, the latest ones.
    samples: usize,
    /// Also of processes that have not been asked for a minute.
    idle: bool,
    /// Of a process: single codes as metrics, those with the most traffic. Scope makes a column and a button of each code that anybody
    /// has, and with more than four or five they leave its page; classes and a table have all.
    codes: usize,
    /// All codes of a process as a table.
    table: bool,
    /// Processes, and containers: the busiest.
    nodes: usize,
}

const fn shorter(samples: usize, idle: bool, codes: usize, table: bool, nodes: usize) -> Detail {
    Detail {
        samples,
        idle,
        codes,
        table,
        nodes,
    }
}

/// From everything to what a probe can decode in time whatever a host runs.
pub const DETAILS: [Detail; 8] = [
    shorter(5, true, 4, true, usize::MAX),
    shorter(1, true, 4, true, usize::MAX),
    shorter(1, false, 4, true, usize::MAX),
    shorter(1, false, 2, false, 2500),
    shorter(1, false, 1, false, 1000),
    shorter(1, false, 1, false, 500),
    shorter(1, false, 0, false, 300),
    shorter(1, false, 0, false, 100),
];

#[derive(Serialize)]
pub struct Report {
    #[serde(rename = "Plugins")]
    plugins: [Plugin; 1],
    #[serde(rename = "Process")]
    process: Topology,
    #[serde(rename = "Container")]
    container: Topology,
    #[serde(rename = "Host")]
    host: Topology,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    table_templates: Option<&'static BTreeMap<&'static str, TableTemplate>>,
    nodes: BTreeMap<String, Node>,
}

#[derive(Serialize)]
struct Node {
    metrics: BTreeMap<&'static str, Metric>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    latest: BTreeMap<String, Text>,
}

/// Builds the report of the host that the probe calls `host`.
pub fn report(snapshot: &Snapshot, host: &str, detail: Detail) -> Report {
    let rolled_up = |metric_templates, nodes| Topology {
        metric_templates,
        table_templates: None,
        nodes,
    };
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
            table_templates: Some(&TABLES),
            nodes: processes(snapshot, host, detail),
        },
        container: rolled_up(&ROLLED_UP, containers(snapshot, detail)),
        host: rolled_up(&OF_HOSTS, whole_host(snapshot, host, detail)),
    }
}

fn processes(snapshot: &Snapshot, host: &str, detail: Detail) -> BTreeMap<String, Node> {
    // The probe knows only the pid: a node has the values of every process that has had it.
    let mut values: BTreeMap<u32, Values> = BTreeMap::new();
    for process in shown(snapshot, detail) {
        let values = values.entry(process.id.pid).or_default();
        values.add_process(process, snapshot, detail.samples);
    }
    let nodes = values.into_iter().map(|(pid, values)| {
        let latest = if detail.table {
            values.table(snapshot.date)
        } else {
            BTreeMap::new()
        };
        let metrics = values.into_metrics(detail.codes);
        (format!("{host};{pid}"), Node { metrics, latest })
    });
    nodes.collect()
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

/// What the workloads of each container have done together. It knows also of processes that have no node.
fn containers(snapshot: &Snapshot, detail: Detail) -> BTreeMap<String, Node> {
    let mut containers: BTreeMap<&str, Vec<&WorkloadSnapshot>> = BTreeMap::new();
    for workload in &snapshot.workloads {
        let is_idle = workload.lately.requests_per_second.peak == 0.0;
        if let Some(id) = &workload.workload.cgroup.container_id
            && (detail.idle || !is_idle)
        {
            containers.entry(id).or_default().push(workload);
        }
    }
    let mut containers: Vec<_> = containers.into_iter().collect();
    if containers.len() > detail.nodes {
        let traffic = |workloads: &[&WorkloadSnapshot]| -> f64 {
            let each = workloads.iter();
            each.map(|it| it.lately.requests_per_second.sum).sum()
        };
        containers.sort_by(|(_, a), (_, b)| traffic(b).total_cmp(&traffic(a)));
        containers.truncate(detail.nodes);
    }
    let nodes = containers.into_iter().map(|(id, workloads)| {
        let node = sum(&workloads, snapshot, detail);
        (format!("{id};<container>"), node)
    });
    nodes.collect()
}

/// What all workloads have done together, as soon as there are any.
fn whole_host(snapshot: &Snapshot, host: &str, detail: Detail) -> BTreeMap<String, Node> {
    if snapshot.workloads.is_empty() {
        return BTreeMap::new();
    }
    let workloads: Vec<_> = snapshot.workloads.iter().map(Arc::as_ref).collect();
    let node = sum(&workloads, snapshot, detail);
    BTreeMap::from([(format!("{host};<host>"), node)])
}

fn sum(workloads: &[&WorkloadSnapshot], snapshot: &Snapshot, detail: Detail) -> Node {
    let mut values = Values::default();
    for workload in workloads {
        values.add_workload(workload, snapshot, detail.samples);
    }
    // Percentiles have no sum: only where one workload has them all they are told.
    let mut latencies = workloads.iter().filter_map(|it| it.lately.latency.as_ref());
    if let (Some(latency), None) = (latencies.next(), latencies.next()) {
        values.set_latency(latency, snapshot, detail.samples);
    }
    Node {
        metrics: values.into_metrics(0),
        latest: BTreeMap::new(),
    }
}
