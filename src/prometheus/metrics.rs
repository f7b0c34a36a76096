// SPDX-License-Identifier: Apache-2.0
//! The metrics of a [`ScrapeContent`], for Prometheus.
//!
//! What the processes do is named after OpenTelemetry's semantic conventions; what the agent does starts with
//! `scope_http_`.

use std::fmt::{Result, Write};
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeLabelSet, MetricEncoder,
    NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use crate::model::counters::SeriesKey;
use crate::model::histogram::{BOUNDS_US, Histogram};
use crate::prometheus::label_text::Labels;
use crate::prometheus::series_lifetime::{ProcessLabels, ScrapeContent};

/// The process that stands for all that have no labels of their own.
const OTHER: (&str, &str) = ("process_executable_name", "_other");

/// How the text is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' own, version 0.0.4.
    Text,
    OpenMetrics,
}

impl Format {
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Writes everything, part by part. It ends early where `out` does.
pub fn write(
    out: &mut impl Write,
    content: Arc<ScrapeContent>,
    vitals: Vitals,
    format: Format,
) -> Result {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Metrics {
        content,
        vitals,
        format,
    }));
    encode_registry(out, &registry)?;
    match format {
        Format::Text => Ok(()),
        Format::OpenMetrics => encode_eof(out),
    }
}

#[derive(Debug)]
pub(super) struct Metrics {
    pub(super) content: Arc<ScrapeContent>,
    pub(super) vitals: Vitals,
    pub(super) format: Format,
}

/// How the sampling is doing at the time of the scrape, which the latest snapshot cannot say.
#[derive(Clone, Copy, Debug, Default)]
pub struct Vitals {
    pub snapshot_age: Duration,
    pub harvest_failures: u64,
}

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result {
        self.requests(&mut encoder)?;
        self.durations(&mut encoder)?;
        self.status(&mut encoder)
    }
}

impl Metrics {
    fn requests(&self, encoder: &mut DescriptorEncoder<'_>) -> Result {
        let mut requests = self.format.counter(
            encoder,
            "http_server_requests",
            "http_server_requests_total",
            "HTTP requests received, answered or not",
        )?;
        for (labels, process) in self.content.processes() {
            let pid = labels.pid.to_string();
            let labels = Labels::new(&of_process(&pid, &labels));
            requests.count(&labels, process.requests_total)?;
        }
        match self.content.other.requests {
            0 => Ok(()),
            total => requests.count(&Labels::new(&[OTHER]), total),
        }
    }

    fn durations(&self, encoder: &mut DescriptorEncoder<'_>) -> Result {
        let mut durations = encoder.encode_descriptor(
            "http_server_request_duration",
            "Time from the request line to the final response",
            Some(&Unit::Seconds),
            MetricType::Histogram,
        )?;
        let mut encode = |key: &SeriesKey, process: &[(&str, &str)], histogram: &Histogram| {
            let status = key.status.to_string();
            let mut labels = vec![
                ("http_request_method", key.method),
                ("http_response_status_code", status.as_str()),
                ("url_scheme", "http"),
                ("network_protocol_version", key.version),
            ];
            labels.extend(process);
            let (seconds, buckets) = in_seconds(histogram);
            durations
                .encode_family(&Labels::new(&labels))?
                .encode_histogram::<NoLabelSet>(seconds, histogram.count(), &buckets, None)
        };
        for (labels, process) in self.content.processes() {
            let pid = labels.pid.to_string();
            let labels = of_process(&pid, &labels);
            for (key, histogram) in &process.series {
                encode(key, &labels, histogram)?;
            }
        }
        for (key, histogram) in &self.content.other.series {
            encode(key, &[OTHER], histogram)?;
        }
        Ok(())
    }
}

impl Format {
    /// Only `OpenMetrics` knows the counter by a name without the suffix that its samples have.
    pub(super) fn counter<'a>(
        self,
        encoder: &'a mut DescriptorEncoder<'_>,
        name: &'a str,
        sample: &'a str,
        help: &str,
    ) -> std::result::Result<Counter<'a>, std::fmt::Error> {
        let name = match self {
            Self::Text => sample,
            Self::OpenMetrics => name,
        };
        Ok(Counter {
            encoder: encoder.encode_descriptor(name, help, None, MetricType::Counter)?,
            format: self,
        })
    }
}

pub(super) struct Counter<'a> {
    encoder: MetricEncoder<'a>,
    format: Format,
}

impl Counter<'_> {
    pub(super) fn count<V>(&mut self, labels: &impl EncodeLabelSet, value: V) -> Result
    where
        V: EncodeCounterValue + EncodeGaugeValue,
    {
        let mut encoder = self.encoder.encode_family(labels)?;
        match self.format {
            // Its name has the suffix already, which is what encoding a gauge leaves alone.
            Format::Text => encoder.encode_gauge(&value),
            Format::OpenMetrics => encoder.encode_counter::<NoLabelSet, _, f64>(&value, None),
        }
    }
}

pub(super) fn gauge<L: EncodeLabelSet>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl IntoIterator<Item = (L, f64)>,
) -> Result {
    let mut gauge = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in values {
        gauge.encode_family(&labels)?.encode_gauge(&value)?;
    }
    Ok(())
}

/// The labels of a process, whose pid is put into words by the caller.
fn of_process<'a>(pid: &'a str, labels: &ProcessLabels<'a>) -> Vec<(&'static str, &'a str)> {
    let ProcessLabels {
        pid: _,
        name,
        cgroup,
    } = labels;
    let mut texts = vec![("process_pid", pid), ("process_executable_name", *name)];
    let of_cgroup = [
        ("container_id", &cgroup.container_id),
        ("k8s_pod_uid", &cgroup.k8s_pod_uid),
        ("systemd_unit_name", &cgroup.systemd_unit),
    ];
    for (label, text) in of_cgroup {
        texts.extend(text.as_deref().map(|text| (label, text)));
    }
    texts
}

type Buckets = [(f64, u64); BOUNDS_US.len() + 1];

fn in_seconds(histogram: &Histogram) -> (f64, Buckets) {
    let bounds = BOUNDS_US.into_iter().map(|bound| bound as f64 / 1e6);
    let mut bounds = bounds.chain([f64::INFINITY]);
    let buckets = histogram
        .buckets
        .map(|count| (bounds.next().unwrap_or(f64::INFINITY), count));
    (histogram.sum_ns as f64 / 1e9, buckets)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, VecDeque};
    use std::time::{Instant, SystemTime};

    use crate::identity::cgroup::Cgroup;
    use crate::model::counters::{KernelState, ProcessId};
    use crate::model::reason::Missed;
    use crate::model::snapshot::{AgentState, Increment, ProcessSnapshot, Snapshot};
    use crate::prometheus::series_lifetime::SeriesLifetimes;

    use super::*;

    /// Of three processes, of which two have labels of their own, each has received more than the one before, and has
    /// answered twice.
    fn text(format: Format) -> Vec<String> {
        let key = SeriesKey {
            method: "GET",
            status: 200,
            version: "1.1",
        };
        let mut durations = Histogram {
            sum_ns: 1_500_200_000,
            ..Histogram::default()
        };
        durations.buckets[1] = 1;
        durations.buckets[15] = 1;
        let process = |pid: u32, cgroup: Cgroup| ProcessSnapshot {
            id: ProcessId { pid, start_time: 1 },
            name: "server".into(),
            cgroup,
            exited: false,
            increment: Increment::default(),
            requests_total: pid.into(),
            series: BTreeMap::from([(key.clone(), durations)]),
            requests_per_second: VecDeque::new(),
            requests_per_second_peak: 0.0,
            responses_per_second: BTreeMap::new(),
            duration_p50_ms: None,
            duration_p99_ms: None,
        };
        let inside = Cgroup {
            container_id: Some("abc".into()),
            k8s_pod_uid: Some("1-2".into()),
            systemd_unit: Some("a.service".into()),
        };
        let snapshot = Snapshot {
            date: SystemTime::now(),
            taken: Instant::now(),
            elapsed: Duration::from_secs(1),
            processes: vec![
                process(2, Cgroup::default()),
                process(3, inside),
                process(5, Cgroup::default()),
            ],
            missed: Missed::default(),
            kernel: KernelState::default(),
            agent: AgentState::default(),
        };
        let content = SeriesLifetimes::new(2).tick(Arc::new(snapshot), Instant::now());
        let mut text = String::new();
        write(&mut text, Arc::new(content), Vitals::default(), format).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    fn starting<'t>(text: &'t [String], with: &str) -> Vec<&'t str> {
        let lines = text.iter().map(String::as_str);
        lines.filter(|line| line.starts_with(with)).collect()
    }

    #[test]
    fn requests_are_told_by_process_and_of_the_others_together() {
        for format in [Format::Text, Format::OpenMetrics] {
            assert_eq!(
                starting(&text(format), "http_server_requests_total{"),
                [
                    r#"http_server_requests_total{process_pid="2",process_executable_name="server"} 2"#,
                    r#"http_server_requests_total{process_pid="3",process_executable_name="server",container_id="abc",k8s_pod_uid="1-2",systemd_unit_name="a.service"} 3"#,
                    r#"http_server_requests_total{process_executable_name="_other"} 5"#,
                ]
            );
        }
    }

    #[test]
    fn durations_are_in_seconds() {
        let text = text(Format::Text);
        let name = "http_server_request_duration_seconds";
        let answer = r#"http_request_method="GET",http_response_status_code="200",url_scheme="http",network_protocol_version="1.1""#;
        let other = format!(r#"{answer},process_executable_name="_other""#);
        let second = format!(r#"{answer},process_pid="2",process_executable_name="server""#);
        for labels in [other, second] {
            assert_eq!(
                starting(&text, &format!("{name}_sum{{{labels}}}")),
                [format!("{name}_sum{{{labels}}} 1.5002")]
            );
            assert_eq!(
                starting(&text, &format!("{name}_count{{{labels}}}")),
                [format!("{name}_count{{{labels}}} 2")]
            );
            for (bound, count) in [
                ("0.0001", 0),
                ("0.00025", 1),
                ("1.0", 1),
                ("2.5", 2),
                ("10.0", 2),
                ("+Inf", 2),
            ] {
                let bucket = format!(r#"{name}_bucket{{le="{bound}",{labels}}} {count}"#);
                assert_eq!(starting(&text, &bucket), [&bucket]);
            }
        }
        assert_eq!(starting(&text, &format!("{name}_count")).len(), 3);
    }

    #[test]
    fn each_format_names_counters_and_ends_in_its_own_way() {
        let (plain, open) = (text(Format::Text), text(Format::OpenMetrics));
        assert!(plain.contains(&"# TYPE http_server_requests_total counter".to_owned()));
        assert!(open.contains(&"# TYPE http_server_requests counter".to_owned()));
        assert_eq!(open.last().unwrap(), "# EOF");
        assert!(!plain.contains(&"# EOF".to_owned()));
        assert!(Format::Text.content_type().starts_with("text/plain;"));
        let type_of_open = Format::OpenMetrics.content_type();
        assert!(type_of_open.starts_with("application/openmetrics-text;"));
    }
}
