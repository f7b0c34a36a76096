// SPDX-License-Identifier: Apache-2.0
//! The metrics of a [`ScrapeContent`], for Prometheus.
//!
//! What the processes do is named after OpenTelemetry's semantic conventions; what the agent does starts with
//! `scope_http_`.

use std::fmt::{Result, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeLabelSet, MetricEncoder,
    NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use crate::model::buckets::BOUNDS_US;
use crate::model::histogram::Histogram;
use crate::prometheus::label_text::Labels;
use crate::prometheus::rows;
use crate::prometheus::series_lifetime::ScrapeContent;

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
    seen: Option<Instant>,
) -> Result {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Metrics {
        content,
        vitals,
        format,
        seen,
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
    /// When the counters were read that the scraper was shown the last time, if it is known.
    pub(super) seen: Option<Instant>,
}

/// How the sampling is doing at the time of the scrape, which the latest snapshot cannot say.
#[derive(Clone, Copy, Debug, Default)]
pub struct Vitals {
    pub snapshot_age: Duration,
    pub harvest_failures: u64,
    /// How much of the report to Weave Scope has been left out.
    pub report_reduction: usize,
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
        for row in self.content.rows() {
            let total = match self.is_new(row.since) {
                true => 0,
                false => row.totals.requests,
            };
            requests.count(&labels(&[], &row.labels), total)?;
        }
        Ok(())
    }

    fn durations(&self, encoder: &mut DescriptorEncoder<'_>) -> Result {
        let mut encoder = encoder.encode_descriptor(
            "http_server_request_duration",
            "Time from the request line to the final response",
            Some(&Unit::Seconds),
            MetricType::Histogram,
        )?;
        let nothing = Histogram::default();
        for row in self.content.rows() {
            for series in &row.totals.series {
                let key = &series.key;
                let status = match key.status {
                    0 => "_OTHER".to_owned(),
                    status => status.to_string(),
                };
                let answer = [
                    ("http_request_method", key.method),
                    ("http_response_status_code", status.as_str()),
                    ("url_scheme", "http"),
                    ("network_protocol_version", key.version),
                ];
                let durations = match self.is_new(Some(series.since)) {
                    true => &nothing,
                    false => &series.durations,
                };
                let (seconds, buckets) = in_seconds(durations);
                encoder
                    .encode_family(&labels(&answer, &row.labels))?
                    .encode_histogram::<NoLabelSet>(seconds, durations.count(), &buckets, None)?;
            }
        }
        Ok(())
    }

    /// Whether the scraper, which has been here before, has not seen it yet.
    fn is_new(&self, since: Option<Instant>) -> bool {
        let (Some(since), Some(seen)) = (since, self.seen) else {
            return false;
        };
        since > seen
    }
}

pub(super) fn labels(answer: &[(&'static str, &str)], row: &rows::Labels<'_>) -> Labels {
    let row = row.iter().map(|(name, value)| (*name, &**value));
    Labels::new(answer.iter().copied().chain(row))
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

type Buckets = [(f64, u64); BOUNDS_US.len() + 1];

fn in_seconds(histogram: &Histogram) -> (f64, Buckets) {
    let bounds = BOUNDS_US.into_iter().map(|bound| bound as f64 / 1e6);
    let mut bounds = bounds.chain([f64::INFINITY]);
    let buckets = histogram
        .classic()
        .map(|count| (bounds.next().unwrap_or(f64::INFINITY), count));
    (histogram.sum_ns as f64 / 1e9, buckets)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use crate::identity::cgroup::Cgroup;
    use crate::model::counters::{KernelState, SeriesKey};
    use crate::model::increment::{Series, Totals};
    use crate::model::reason::Missed;
    use crate::model::snapshot::{AgentState, Snapshot, WorkloadSnapshot};
    use crate::model::workload::Workload;
    use crate::prometheus::series_lifetime::SeriesLifetimes;

    use super::*;

    /// Of three workloads, of which one stands for others, each has received more than the one before and has answered
    /// twice; the second one was first seen a second later.
    fn text_since(format: Format, seen: Option<Instant>, start: Instant) -> Vec<String> {
        let key = SeriesKey {
            method: "GET",
            status: 200,
            version: "1.1",
        };
        let mut durations = Histogram::of(1, 200_000);
        durations += &Histogram::of(1, 1_500_000_000);
        let workload = |requests, workload: Workload, since| {
            let series = Series {
                key: key.clone(),
                durations: durations.clone(),
                since,
            };
            Arc::new(WorkloadSnapshot {
                workload: Arc::new(workload),
                totals: Totals {
                    requests,
                    series: vec![series],
                },
                rest: Totals::default(),
                unlisted: 0,
                processes: 1,
                since,
            })
        };
        let named = |cgroup, port| Workload {
            executable: Some("server".into()),
            cgroup,
            port,
        };
        let inside = Cgroup {
            container_id: Some("abc".into()),
            k8s_pod_uid: Some("1-2".into()),
            systemd_unit: Some("a.service".into()),
        };
        let snapshot = Snapshot {
            date: SystemTime::now(),
            taken: start,
            elapsed: Duration::from_secs(1),
            dates: Vec::new(),
            processes: Arc::default(),
            workloads: vec![
                workload(2, named(Cgroup::default(), None), start),
                workload(3, named(inside, Some(80)), start + Duration::from_secs(1)),
                workload(5, Workload::default(), start),
            ],
            missed: Missed::default(),
            kernel: KernelState::default(),
            agent: AgentState::default(),
        };
        let content = SeriesLifetimes::by_workload().tick(Arc::new(snapshot), start);
        let mut text = String::new();
        let vitals = Vitals::default();
        write(&mut text, Arc::new(content), vitals, format, seen).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    fn text(format: Format) -> Vec<String> {
        text_since(format, None, Instant::now())
    }

    fn starting<'t>(text: &'t [String], with: &str) -> Vec<&'t str> {
        let lines = text.iter().map(String::as_str);
        lines.filter(|line| line.starts_with(with)).collect()
    }

    #[test]
    fn requests_are_told_by_workload() {
        for format in [Format::Text, Format::OpenMetrics] {
            assert_eq!(
                starting(&text(format), "http_server_requests_total{"),
                [
                    r#"http_server_requests_total{process_executable_name="server"} 2"#,
                    r#"http_server_requests_total{process_executable_name="server",container_id="abc",k8s_pod_uid="1-2",systemd_unit_name="a.service",server_port="80"} 3"#,
                    r#"http_server_requests_total{otel_metric_overflow="true"} 5"#,
                ]
            );
        }
    }

    #[test]
    fn who_has_been_here_before_sees_what_is_new_at_zero_first() {
        let start = Instant::now();
        let seen = |seconds| {
            let seen = start + Duration::from_secs(seconds);
            text_since(Format::Text, Some(seen), start)
        };
        let last = |lines: Vec<&str>| -> Vec<String> {
            let last = lines.iter().map(|line| line.rsplit(' ').next().unwrap());
            last.map(str::to_owned).collect()
        };
        let requests = |text: &[String]| last(starting(text, "http_server_requests_total{"));
        let answers =
            |text: &[String]| last(starting(text, "http_server_request_duration_seconds_count"));
        assert_eq!(requests(&seen(0)), ["2", "0", "5"]);
        assert_eq!(answers(&seen(0)), ["2", "0", "2"]);
        assert_eq!(requests(&seen(1)), ["2", "3", "5"]);
        assert_eq!(answers(&seen(1)), ["2", "2", "2"]);
    }

    #[test]
    fn durations_are_in_seconds() {
        let text = text(Format::Text);
        let name = "http_server_request_duration_seconds";
        let answer = r#"http_request_method="GET",http_response_status_code="200",url_scheme="http",network_protocol_version="1.1""#;
        let other = format!(r#"{answer},otel_metric_overflow="true""#);
        let first = format!(r#"{answer},process_executable_name="server""#);
        for labels in [other, first] {
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
