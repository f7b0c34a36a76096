// SPDX-License-Identifier: Apache-2.0
//! The document, as whoever asks has it in hand. Fields that it does not know are left alone.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::counters::{GRPC_OTHER, GRPC_UNKNOWN, GrpcStatus};
use crate::model::histogram::Histogram;
use crate::model::increment::Totals;
use crate::model::quantile::{max_ms, quantile_ms};
use crate::model::series_key::SeriesKey;
use crate::model::snapshot::{Latency, ProcessSnapshot, Trend, WorkloadSnapshot};
use crate::model::workload::Workload as WorkloadKey;

#[derive(Debug, Default, Deserialize)]
pub struct Document {
    pub api_version: u32,
    pub host: String,
    /// Of the tick that it is of, as in RFC 3339.
    pub date: String,
    pub backend: String,
    /// By reason, since the agent's start.
    pub missed: BTreeMap<String, u64>,
    #[serde(default)]
    pub processes: Vec<Process>,
    #[serde(default)]
    pub processes_omitted: usize,
    #[serde(default)]
    pub workloads: Vec<Workload>,
    #[serde(default)]
    pub workloads_omitted: usize,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Process {
    pub pid: u32,
    /// Tells apart what has had the same pid, and the programs that one process has executed.
    pub id: String,
    pub exited: bool,
    #[serde(flatten)]
    pub identity: Identity,
    #[serde(flatten)]
    pub traffic: Traffic,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Workload {
    /// That have not exited.
    pub processes: usize,
    #[serde(flatten)]
    pub identity: Identity,
    #[serde(flatten)]
    pub traffic: Traffic,
}

/// What tells workloads apart.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Identity {
    /// The executable's. There is none where one stands for all others.
    pub name: Option<String>,
    pub port: Option<u16>,
    pub container_id: Option<String>,
    pub k8s_pod_uid: Option<String>,
    pub systemd_unit: Option<String>,
}

/// What was asked, and what was answered.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Traffic {
    pub requests: u64,
    pub requests_per_second: f64,
    /// Of the last ticks, oldest first.
    pub recent_requests_per_second: Vec<f64>,
    /// Of the last 15 seconds, by status.
    pub responses_per_second: BTreeMap<String, f64>,
    pub grpc_errors_per_second: f64,
    /// Of the last 15 seconds, and those of them with a 5xx status.
    pub answers_15s: f64,
    pub server_errors_15s: f64,
    /// Of the answers of the last 15 seconds.
    pub latency_ms: Option<Quantiles>,
    /// Connections of TLS that are not seen into.
    pub tls_unseen: u64,
    pub answers: Vec<Answers>,
    pub grpc_calls: Vec<Calls>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub max: f64,
}

/// Answers of one kind, since the first.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Answers {
    pub method: String,
    pub status: String,
    pub version: String,
    pub scheme: String,
    pub count: u64,
    pub mean_ms: f64,
    pub latency_ms: Quantiles,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Calls {
    /// gRPC's.
    pub status: String,
    pub count: u64,
    pub mean_ms: f64,
    pub latency_ms: Quantiles,
}

impl Process {
    pub fn of(process: &ProcessSnapshot) -> Self {
        Self {
            pid: process.id.pid,
            id: format!("{}.{}", process.id.pid, process.id.start_time),
            exited: process.exited,
            identity: Identity::of(&process.workload),
            traffic: Traffic::of(
                &process.totals,
                &process.requests_per_second,
                &process.responses_per_second,
                process.failed_calls_per_second.as_deref(),
                process.latency.as_deref(),
            ),
        }
    }
}

impl Workload {
    pub fn of(workload: &WorkloadSnapshot) -> Self {
        let lately = &workload.lately;
        Self {
            processes: workload.processes,
            identity: Identity::of(&workload.workload),
            traffic: Traffic::of(
                &workload.totals,
                &lately.requests_per_second,
                &lately.responses_per_second,
                lately.failed_calls_per_second.as_deref(),
                lately.latency.as_deref(),
            ),
        }
    }
}

impl Identity {
    fn of(key: &WorkloadKey) -> Self {
        let cgroup = &key.cgroup;
        Self {
            name: key.executable.as_deref().map(str::to_owned),
            port: key.port,
            container_id: cgroup.container_id.as_deref().map(str::to_owned),
            k8s_pod_uid: cgroup.k8s_pod_uid.as_deref().map(str::to_owned),
            systemd_unit: cgroup.systemd_unit.as_deref().map(str::to_owned),
        }
    }
}

impl Traffic {
    fn of(
        totals: &Totals,
        requests: &Trend,
        responses: &[(u16, Trend)],
        failed_calls: Option<&Trend>,
        latency: Option<&Latency>,
    ) -> Self {
        let last = |trend: &Trend| rounded(trend.values.last().copied().unwrap_or(0.0));
        let sum = |of: &dyn Fn(u16) -> bool| -> f64 {
            let some = responses.iter().filter(|(status, _)| of(*status));
            some.map(|(_, trend)| trend.sum).sum()
        };
        Self {
            requests: totals.requests,
            requests_per_second: last(requests),
            recent_requests_per_second: requests.values.iter().copied().map(rounded).collect(),
            responses_per_second: responses
                .iter()
                .map(|(status, trend)| (status_name(*status), last(trend)))
                .collect(),
            grpc_errors_per_second: failed_calls.map_or(0.0, last),
            answers_15s: rounded(sum(&|_| true)),
            server_errors_15s: rounded(sum(&|status| status >= 500)),
            latency_ms: latency.and_then(Quantiles::of_late),
            tls_unseen: totals.tls_unseen,
            answers: totals
                .series
                .iter()
                .filter_map(|it| Answers::of(it.key, &it.durations))
                .collect(),
            grpc_calls: totals
                .calls
                .iter()
                .filter_map(|it| Calls::of(it.status, &it.durations))
                .collect(),
        }
    }
}

impl Quantiles {
    fn of_late(latency: &Latency) -> Option<Self> {
        Some(Self {
            p50: rounded(latency.p50_ms.last()?),
            p90: rounded(latency.p90_ms.last()?),
            p99: rounded(latency.p99_ms.last()?),
            max: rounded(latency.max_ms.last()?),
        })
    }

    fn of(durations: &Histogram) -> Option<Self> {
        let quantile = |q| quantile_ms(q, durations).map(rounded);
        Some(Self {
            p50: quantile(0.5)?,
            p90: quantile(0.9)?,
            p99: quantile(0.99)?,
            max: max_ms(durations).map(rounded)?,
        })
    }
}

impl Answers {
    fn of(key: SeriesKey, durations: &Histogram) -> Option<Self> {
        Some(Self {
            method: key.method.name().to_owned(),
            status: status_name(key.status),
            version: key.version.name().to_owned(),
            scheme: key.scheme.name().to_owned(),
            count: durations.count(),
            mean_ms: mean_ms(durations),
            latency_ms: Quantiles::of(durations)?,
        })
    }
}

impl Calls {
    fn of(status: GrpcStatus, durations: &Histogram) -> Option<Self> {
        Some(Self {
            status: match status {
                GRPC_OTHER => "_OTHER".to_owned(),
                GRPC_UNKNOWN => "unknown".to_owned(),
                status => status.to_string(),
            },
            count: durations.count(),
            mean_ms: mean_ms(durations),
            latency_ms: Quantiles::of(durations)?,
        })
    }
}

/// A status code, or why there is none.
fn status_name(status: u16) -> String {
    match status {
        0 => "_OTHER".to_owned(),
        SeriesKey::UNKNOWN_STATUS => "unknown".to_owned(),
        status => status.to_string(),
    }
}

fn mean_ms(durations: &Histogram) -> f64 {
    rounded(durations.sum_ns as f64 / durations.count().max(1) as f64 / 1e6)
}

/// To three digits after the point: of milliseconds, that is microseconds.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
