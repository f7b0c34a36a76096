// SPDX-License-Identifier: Apache-2.0
//! What there is to push: each number with its name, as OpenTelemetry has it, and what it is of.

use std::borrow::Cow;
use std::fmt::Write;
use std::time::Instant;

use opentelemetry_proto::tonic::common::v1::KeyValue;

use crate::model::histogram::Histogram;
use crate::otlp::attributes;
use crate::prometheus::family::{Family, Kind, Number};
use crate::prometheus::metrics::{CALLS, DURATIONS, REQUESTS, answer, call};
use crate::prometheus::rows::{Labels, Row};

/// Of the resource that the points of one group are of.
pub struct Group<'a> {
    pub resource: Vec<KeyValue>,
    /// Those of one metric follow one another.
    pub points: Vec<Point<'a>>,
}

pub struct Point<'a> {
    pub name: Cow<'static, str>,
    pub unit: &'static str,
    pub description: &'static str,
    pub attributes: Vec<KeyValue>,
    pub value: Value<'a>,
    /// When what it counts was first seen; `None`: it is as old as the agent.
    pub since: Option<Instant>,
    /// By which it is found again.
    pub key: String,
}

#[derive(Clone, Copy)]
pub enum Value<'a> {
    Gauge(f64),
    Count(Number),
    Durations(&'a Histogram),
}

/// Of a workload or a process.
pub fn of_row<'a>(row: &Row<'a>, host: &str) -> Group<'a> {
    let (resource, of_points) = attributes::of_resource(&row.labels, host);
    let point = |name: &'static str, unit, description, labels: Labels<'_>, value, since| {
        let mut attributes = attributes::of_point(&labels);
        attributes.extend(of_points.iter().cloned());
        Point {
            name: Cow::Borrowed(name),
            unit,
            description,
            attributes,
            value,
            since,
            key: key(name, [&row.labels, &labels]),
        }
    };
    let requests = Value::Count(Number::Whole(row.totals.requests));
    let requests = point(
        "http.server.requests",
        "{request}",
        REQUESTS.1,
        Labels::new(),
        requests,
        row.since,
    );
    let durations = row.totals.series.iter().map(|it| {
        let value = Value::Durations(&it.durations);
        let name = "http.server.request.duration";
        point(name, "s", DURATIONS.1, answer(it), value, Some(it.since))
    });
    let calls = row.totals.calls.iter().map(|it| {
        let value = Value::Durations(&it.durations);
        let name = "rpc.server.duration";
        point(name, "s", CALLS.1, call(it), value, Some(it.since))
    });
    Group {
        resource,
        points: [requests]
            .into_iter()
            .chain(durations)
            .chain(calls)
            .collect(),
    }
}

/// Of the agent itself.
pub fn of_agent(families: &[Family<'_>], host: &str) -> Group<'static> {
    let points = families.iter().flat_map(|family| {
        let (name, unit) = named(family.name);
        family.samples.iter().map(move |(labels, number)| Point {
            key: key(&name, [labels]),
            name: Cow::Owned(name.clone()),
            unit,
            description: family.help,
            attributes: attributes::of_point(labels),
            value: match family.kind {
                Kind::Gauge => Value::Gauge(number.real()),
                Kind::Counter => Value::Count(*number),
            },
            since: None,
        })
    });
    Group {
        resource: attributes::of_agent(host),
        points: points.collect(),
    }
}

/// A name of Prometheus in OpenTelemetry's way, from which a collector makes the former again; with its unit.
fn named(name: &str) -> (String, &'static str) {
    let name = name.strip_suffix("_total").unwrap_or(name);
    let units = [("_seconds", "s"), ("_bytes", "By")].into_iter();
    let (name, unit) = units
        .filter_map(|(suffix, unit)| Some((name.strip_suffix(suffix)?, unit)))
        .next()
        .unwrap_or((name, ""));
    (name.replacen("scope_http_", "scope.http.", 1), unit)
}

fn key<const N: usize>(name: &str, labels: [&Labels<'_>; N]) -> String {
    let mut key = name.to_owned();
    for (label, value) in labels.into_iter().flatten() {
        let _ = write!(key, "\0{label}\0{value}");
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_their_units_beside_them() {
        for (name, expected, unit) in [
            ("scope_http_missed_total", "scope.http.missed", ""),
            (
                "scope_http_snapshot_age_seconds",
                "scope.http.snapshot_age",
                "s",
            ),
            (
                "scope_http_bpf_run_time_seconds_total",
                "scope.http.bpf_run_time",
                "s",
            ),
            (
                "scope_http_resident_memory_bytes",
                "scope.http.resident_memory",
                "By",
            ),
        ] {
            assert_eq!(named(name), (expected.to_owned(), unit));
        }
    }
}
