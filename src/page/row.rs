// SPDX-License-Identifier: Apache-2.0
//! What the page is told each second, and of a row that is opened.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::model::histogram::Histogram;
use crate::model::increment::Totals;
use crate::model::quantile::{max_ms, quantile_ms};
use crate::model::snapshot::{Latency, ProcessSnapshot};
use crate::model::tick::rate;
use crate::model::workload::Workload;
use crate::page::past::{Ages, Past, Points};
use crate::page::stretch::rounded;
use crate::page::view::{Point, Series};

/// One second.
#[derive(Serialize)]
pub struct Event {
    /// Milliseconds since 1970.
    pub date: u64,
    pub host: String,
    pub version: &'static str,
    pub backend: &'static str,
    /// What has been missed at all.
    pub missed: Vec<MissedCount>,
    /// Whether all rows are here, with all of their points, or just the latest point of those that are not as they were.
    pub whole: bool,
    /// Whether those that are not here have gone.
    pub complete: bool,
    /// Rows that are left out because there are so many others that are busier.
    pub hidden: usize,
    pub total: Total,
    pub rows: Vec<Row>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct MissedCount {
    pub reason: &'static str,
    pub total: u64,
    /// In the last minute.
    pub lately: u64,
}

/// Everything together.
#[derive(Serialize)]
pub struct Total {
    pub requests_per_second: f64,
    /// Those that have not exited.
    pub processes: usize,
    /// Of the last minute.
    pub answers: BTreeMap<u16, u64>,
    pub failed_calls: u64,
    pub seconds: Vec<Point>,
    pub minutes: Vec<Point>,
}

impl Total {
    pub fn of(past: &Past, ages: &Ages, processes: usize) -> Self {
        Self {
            requests_per_second: rate(past.requests_in(ages.tick), ages.elapsed()),
            processes,
            answers: past.answers(),
            failed_calls: past.failed_calls(),
            seconds: past.seconds(ages).points,
            minutes: past.minutes(ages).points,
        }
    }
}

/// What there is to a row beside what it is of.
#[derive(Default, Serialize)]
pub struct Row {
    pub id: String,
    /// Of what is in no container or unit there is none.
    pub name: Option<String>,
    /// Of a process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Those of several that have not exited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processes: Option<usize>,
    /// Some of those that are in it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub executables: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    pub exited: bool,
    /// Received since it was first seen.
    pub requests: u64,
    pub requests_per_second: f64,
    /// TLS connections whose requests cannot be seen.
    pub tls_unseen: u64,
    /// Answers of the last minute by status code.
    pub answers: BTreeMap<u16, u64>,
    /// gRPC calls of the last minute with another status than OK.
    pub failed_calls: u64,
    /// Of the answers of the last 15 seconds, if there were any.
    pub p50_ms: Option<f64>,
    pub p90_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    pub max_ms: Option<f64>,
    /// Requests in each second, oldest first.
    pub points: Vec<f64>,
}

impl Row {
    /// With all of its seconds, or the last one alone.
    pub fn of(past: &Past, latency: Option<&Latency>, ages: &Ages, whole: bool) -> Self {
        let latest = |of: fn(&Latency) -> Option<f64>| latency.and_then(of).map(rounded);
        Self {
            requests_per_second: rounded(rate(past.requests_in(ages.tick), ages.elapsed())),
            answers: past.answers(),
            failed_calls: past.failed_calls(),
            p50_ms: latest(|it| it.p50_ms.last()),
            p90_ms: latest(|it| it.p90_ms.last()),
            p99_ms: latest(|it| it.p99_ms.last()),
            max_ms: latest(|it| it.max_ms.last()),
            points: past.rates(ages, whole),
            ..Self::default()
        }
    }

    pub fn of_process(process: &ProcessSnapshot, past: &Past, ages: &Ages, whole: bool) -> Self {
        let mut row = Self::of(past, process.latency.as_deref(), ages, whole);
        let id = format!("{}-{}", process.id.pid, process.id.start_time);
        row.identify(id, &process.workload);
        row.name = Some(process.workload.name().to_owned());
        row.pid = Some(process.id.pid);
        row.exited = process.exited;
        row.requests = process.totals.requests;
        row.tls_unseen = process.totals.tls_unseen;
        row
    }

    pub fn identify(&mut self, id: String, workload: &Workload) {
        let owned = |text: &Option<std::sync::Arc<str>>| text.as_deref().map(str::to_owned);
        self.id = id;
        self.container = owned(&workload.cgroup.container_id);
        self.pod = owned(&workload.cgroup.k8s_pod_uid);
        self.unit = owned(&workload.cgroup.systemd_unit);
        self.port = workload.port;
    }
}

/// A row that is opened.
#[derive(Serialize)]
pub struct Detail {
    /// Milliseconds since 1970, as of which it is.
    pub date: u64,
    pub seconds: Points,
    pub minutes: Points,
    /// Since it was first seen.
    pub series: Vec<Series>,
}

impl Detail {
    pub fn of(past: &Past, series: Vec<Series>, ages: &Ages) -> Self {
        Self {
            date: ages.date,
            seconds: past.seconds(ages),
            minutes: past.minutes(ages),
            series,
        }
    }
}

pub fn series(totals: &Totals) -> Vec<Series> {
    let answers = totals.series.iter().filter_map(|it| {
        let key = &it.key;
        series_of(
            (key.method.name(), key.status, &key.in_words()),
            &it.durations,
        )
    });
    let calls = totals.calls.iter();
    let calls = calls.filter_map(|it| series_of(("gRPC", it.status, "2"), &it.durations));
    answers.chain(calls).collect()
}

fn series_of(
    (method, status, version): (&str, u16, &str),
    histogram: &Histogram,
) -> Option<Series> {
    let quantile = |q| quantile_ms(q, histogram).map(rounded);
    Some(Series {
        method: method.to_owned(),
        status,
        version: version.to_owned(),
        count: histogram.count(),
        mean_ms: histogram.sum_ns as f64 / histogram.count().max(1) as f64 / 1e6,
        p50_ms: quantile(0.5)?,
        p90_ms: quantile(0.9)?,
        p99_ms: quantile(0.99)?,
        max_ms: max_ms(histogram).map(rounded)?,
    })
}
