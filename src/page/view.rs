// SPDX-License-Identifier: Apache-2.0
//! What is shown in the terminal: each process and its last minute.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::snapshot::ProcessSnapshot;
use crate::page::past::{Ages, Past};
use crate::page::row::series;
use crate::page::stretch::rounded;

#[derive(Debug, Default, Serialize, Deserialize)]
pub struct View {
    /// Milliseconds since 1970.
    pub date: u64,
    pub host: String,
    pub version: String,
    pub backend: String,
    /// By reason.
    pub missed: BTreeMap<String, u64>,
    /// The processes have all of their points.
    pub whole: bool,
    /// Processes that are left out because there are so many others that are busier.
    pub hidden: usize,
    pub processes: Vec<Process>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Process {
    pub pid: u32,
    /// Tells processes apart that have had the same pid.
    pub start_time: u64,
    pub name: String,
    pub container: Option<String>,
    pub exited: bool,
    /// Received since the process was first seen.
    pub requests: u64,
    pub requests_per_second: f64,
    /// TLS connections whose requests cannot be seen.
    #[serde(default, skip_serializing_if = "is_none")]
    pub tls_unseen: u64,
    /// Answers of the last minute by status code.
    pub answers: BTreeMap<u16, u64>,
    /// Of the answers of the last 15 seconds, if there were any.
    pub p50_ms: Option<f64>,
    pub p90_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    pub max_ms: Option<f64>,
    /// A point for each second, oldest first.
    pub points: Vec<Point>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub series: Option<Vec<Series>>,
}

/// What happened in one second, or in each of a minute.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Point {
    #[serde(skip_serializing_if = "is_zero")]
    pub requests: f64,
    /// Answers per second whose status begins with 1, 2, 3, 4, 5.
    #[serde(skip_serializing_if = "are_zero")]
    pub answers: [f64; 5],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p50_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p99_ms: Option<f64>,
}

// Most seconds of most processes are empty, and so is their JSON.
fn is_zero(value: &f64) -> bool {
    *value == 0.0
}

fn is_none(count: &u64) -> bool {
    *count == 0
}

fn are_zero(values: &[f64; 5]) -> bool {
    values.iter().all(is_zero)
}

/// Answers of one kind, since the process was first seen.
#[derive(Debug, Serialize, Deserialize)]
pub struct Series {
    /// `gRPC` of calls, whose status is gRPC's.
    pub method: String,
    pub status: u16,
    pub version: String,
    pub count: u64,
    pub mean_ms: f64,
    pub p50_ms: f64,
    pub p90_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
}

impl Process {
    pub fn of(process: &ProcessSnapshot, past: &Past, ages: &Ages) -> Self {
        let latency = process.latency.as_ref();
        let rates = &process.requests_per_second.values;
        let container = process.workload.cgroup.container_id.as_deref();
        Self {
            pid: process.id.pid,
            start_time: process.id.start_time,
            name: process.workload.name().to_owned(),
            container: container.map(str::to_owned),
            exited: process.exited,
            requests: process.totals.requests,
            requests_per_second: rates.last().copied().unwrap_or(0.0),
            tls_unseen: process.totals.tls_unseen,
            answers: past.answers(),
            p50_ms: latency.and_then(|it| it.p50_ms.last()).map(rounded),
            p90_ms: latency.and_then(|it| it.p90_ms.last()).map(rounded),
            p99_ms: latency.and_then(|it| it.p99_ms.last()).map(rounded),
            max_ms: latency.and_then(|it| it.max_ms.last()).map(rounded),
            points: past.seconds(ages).points,
            series: Some(series(&process.totals)),
        }
    }

    /// The share of the answers of the last minute that say the server failed.
    pub fn errors(&self) -> Option<f64> {
        let all: u64 = self.answers.values().sum();
        let failed: u64 = self.answers.range(500..).map(|(_, count)| count).sum();
        (all > 0).then(|| failed as f64 / all as f64)
    }
}
