// SPDX-License-Identifier: Apache-2.0
//! Attributes of OpenTelemetry, from labels of Prometheus.

use std::fmt::Write;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};

use crate::prometheus::rows::Labels;

/// Labels whose name has its dots elsewhere than a label has its underscores.
const NAMES: [(&str, &str); 13] = [
    ("http_request_method", "http.request.method"),
    ("http_response_status_code", "http.response.status_code"),
    ("url_scheme", "url.scheme"),
    ("network_protocol_version", "network.protocol.version"),
    ("rpc_system", "rpc.system"),
    ("rpc_grpc_status_code", "rpc.grpc.status_code"),
    ("process_executable_name", "process.executable.name"),
    ("process_pid", "process.pid"),
    ("container_id", "container.id"),
    ("k8s_pod_uid", "k8s.pod.uid"),
    ("systemd_unit_name", "systemd.unit.name"),
    ("server_port", "server.port"),
    ("otel_metric_overflow", "otel.metric.overflow"),
];

/// Those that are numbers, where they are.
const NUMBERS: [&str; 4] = [
    "http.response.status_code",
    "rpc.grpc.status_code",
    "process.pid",
    "server.port",
];

/// What of a workload belongs to each of its points, as the conventions have it, and not to what it is.
const OF_POINTS: [&str; 2] = ["server_port", "otel_metric_overflow"];

pub const SERVICE: &str = "scope-http-statistics";

pub fn text(key: &str, value: impl Into<String>) -> KeyValue {
    attribute(key, Value::StringValue(value.into()))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

fn of_label(label: &str, value: &str) -> KeyValue {
    let name = NAMES.iter().find(|(it, _)| *it == label);
    let name = name.map_or(label, |(_, name)| *name);
    let value = match value.parse() {
        Ok(number) if NUMBERS.contains(&name) => Value::IntValue(number),
        _ if name == "otel.metric.overflow" => Value::BoolValue(true),
        _ => Value::StringValue(value.to_string()),
    };
    attribute(name, value)
}

/// Those of a point.
pub fn of_point(labels: &Labels<'_>) -> Vec<KeyValue> {
    labels
        .iter()
        .map(|(label, value)| of_label(label, value))
        .collect()
}

/// What a workload is or a process, and what of that belongs to its points.
pub fn of_resource(labels: &Labels<'_>, host: &str) -> (Vec<KeyValue>, Vec<KeyValue>) {
    let of_points = |label: &&str| OF_POINTS.contains(label);
    let (points, own): (Vec<_>, Vec<_>) = labels.iter().partition(|(label, _)| of_points(label));
    let name = labels
        .iter()
        .find(|(label, _)| *label == "process_executable_name");
    let name = name.map_or("unknown_service", |(_, name)| name);
    // Stores know a resource by its name and this, which is the same one after a restart.
    let mut instance = host.to_owned();
    for (_, value) in labels {
        let _ = write!(instance, "/{value}");
    }
    let mut resource = vec![
        text("service.name", name),
        text("service.instance.id", instance),
        text("host.name", host),
    ];
    resource.extend(own.into_iter().map(|(label, value)| of_label(label, value)));
    let points = points.into_iter();
    (
        resource,
        points
            .map(|(label, value)| of_label(label, value))
            .collect(),
    )
}

/// What the agent is.
pub fn of_agent(host: &str) -> Vec<KeyValue> {
    vec![
        text("service.name", SERVICE),
        text("service.version", env!("CARGO_PKG_VERSION")),
        text("service.instance.id", format!("{host}/{SERVICE}")),
        text("host.name", host),
    ]
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    fn words(attributes: &[KeyValue]) -> Vec<String> {
        let words = |it: &KeyValue| match it.value.as_ref().unwrap().value.as_ref().unwrap() {
            Value::StringValue(text) => format!("{}={text:?}", it.key),
            Value::IntValue(number) => format!("{}={number}", it.key),
            Value::BoolValue(is_so) => format!("{}={is_so}", it.key),
            other => panic!("{other:?}"),
        };
        attributes.iter().map(words).collect()
    }

    fn labels(labels: &[(&'static str, &'static str)]) -> Labels<'static> {
        labels
            .iter()
            .map(|(label, value)| (*label, Cow::Borrowed(*value)))
            .collect()
    }

    #[test]
    fn names_and_kinds_are_those_of_the_conventions() {
        let point = labels(&[
            ("http_request_method", "GET"),
            ("http_response_status_code", "200"),
            ("network_protocol_version", "2"),
            ("reason", "too_long"),
        ]);
        assert_eq!(
            words(&of_point(&point)),
            [
                "http.request.method=\"GET\"",
                "http.response.status_code=200",
                "network.protocol.version=\"2\"",
                "reason=\"too_long\""
            ]
        );
        let unknown = labels(&[("http_response_status_code", "_OTHER")]);
        assert_eq!(
            words(&of_point(&unknown)),
            ["http.response.status_code=\"_OTHER\""]
        );
    }

    #[test]
    fn what_a_workload_is_is_a_resource_and_its_port_is_not() {
        let nginx = labels(&[
            ("process_executable_name", "nginx"),
            ("systemd_unit_name", "a.service"),
            ("server_port", "80"),
        ]);
        let (resource, points) = of_resource(&nginx, "node-7");
        assert_eq!(
            words(&resource),
            [
                "service.name=\"nginx\"",
                "service.instance.id=\"node-7/nginx/a.service/80\"",
                "host.name=\"node-7\"",
                "process.executable.name=\"nginx\"",
                "systemd.unit.name=\"a.service\""
            ]
        );
        assert_eq!(words(&points), ["server.port=80"]);
        let (resource, points) =
            of_resource(&labels(&[("otel_metric_overflow", "true")]), "node-7");
        assert_eq!(words(&resource)[0], "service.name=\"unknown_service\"");
        assert_eq!(words(&points), ["otel.metric.overflow=true"]);
    }
}
