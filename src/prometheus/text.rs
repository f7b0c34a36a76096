// SPDX-License-Identifier: Apache-2.0
//! A [`Scrape`] as text.

use std::fmt::{Result, Write};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use crate::model::buckets::{BOUNDS_US, CLASSICS};
use crate::model::histogram::Histogram;
use crate::prometheus::family::{Kind, Number};
use crate::prometheus::label_text;
use crate::prometheus::metrics::{CALLS, DURATIONS, REQUESTS, Scrape};
use crate::prometheus::rows::Labels;

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
pub fn write(out: &mut impl Write, scrape: Scrape, format: Format) -> Result {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Text { scrape, format }));
    encode_registry(out, &registry)?;
    match format {
        Format::Text => Ok(()),
        Format::OpenMetrics => encode_eof(out),
    }
}

#[derive(Debug)]
struct Text {
    scrape: Scrape,
    format: Format,
}

impl Collector for Text {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result {
        let rows = self.scrape.content.rows();
        let requests = rows.iter().map(|row| {
            let labels = in_words(&Vec::new(), &row.labels);
            (labels, self.scrape.requests(row).into())
        });
        self.family(&mut encoder, REQUESTS, Kind::Counter, requests)?;
        let durations = rows.iter().flat_map(|row| {
            let durations = self.scrape.durations(row);
            durations.map(|(labels, it)| (in_words(&labels, &row.labels), it))
        });
        histogram(&mut encoder, DURATIONS, durations)?;
        let calls = rows.iter().flat_map(|row| {
            let calls = self.scrape.calls(row);
            calls.map(|(labels, it)| (in_words(&labels, &row.labels), it))
        });
        histogram(&mut encoder, CALLS, calls)?;
        for family in self.scrape.status() {
            let named = (family.name, family.help);
            self.family(&mut encoder, named, family.kind, family.samples)?;
        }
        Ok(())
    }
}

impl Text {
    fn family<L: EncodeLabelSet>(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        (name, help): (&str, &str),
        kind: Kind,
        samples: impl IntoIterator<Item = (L, Number)>,
    ) -> Result {
        // Only `OpenMetrics` knows a counter by a name without the suffix that its samples have. For the other format it gets
        // that name, and is written as a gauge is, which leaves the name alone.
        let has_suffix = kind == Kind::Counter && self.format == Format::OpenMetrics;
        let (name, of_kind) = match kind {
            Kind::Counter if has_suffix => (name.trim_end_matches("_total"), MetricType::Counter),
            Kind::Counter => (name, MetricType::Counter),
            Kind::Gauge => (name, MetricType::Gauge),
        };
        let mut encoder = encoder.encode_descriptor(name, help, None, of_kind)?;
        for (labels, number) in samples {
            let mut encoder = encoder.encode_family(&labels)?;
            match (has_suffix, number) {
                (true, Number::Whole(value)) => {
                    encoder.encode_counter::<NoLabelSet, _, f64>(&value, None)?;
                }
                (true, Number::Real(value)) => {
                    encoder.encode_counter::<NoLabelSet, _, f64>(&value, None)?;
                }
                (false, Number::Whole(value)) => encoder.encode_gauge(&value)?,
                (false, Number::Real(value)) => encoder.encode_gauge(&value)?,
            }
        }
        Ok(())
    }
}

fn histogram<'a>(
    encoder: &mut DescriptorEncoder<'_>,
    (name, help): (&str, &str),
    all: impl Iterator<Item = (label_text::Labels, Option<&'a Histogram>)>,
) -> Result {
    let name = name.trim_end_matches("_seconds");
    let mut encoder =
        encoder.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Histogram)?;
    let nothing = Histogram::default();
    for (labels, durations) in all {
        let durations = durations.unwrap_or(&nothing);
        let (seconds, buckets) = in_seconds(durations);
        encoder
            .encode_family(&labels)?
            .encode_histogram::<NoLabelSet>(seconds, durations.count(), &buckets, None)?;
    }
    Ok(())
}

fn in_words(answer: &Labels<'_>, row: &Labels<'_>) -> label_text::Labels {
    let labels = answer.iter().chain(row);
    label_text::Labels::new(labels.map(|(name, value)| (*name, &**value)))
}

type Buckets = [(f64, u64); CLASSICS];

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
    use std::sync::Arc;
    use std::time::{Duration, Instant, SystemTime};

    use crate::identity::cgroup::Cgroup;
    use crate::model::counters::KernelState;
    use crate::model::increment::{Increment, Series, Totals};
    use crate::model::reason::Missed;
    use crate::model::series_key::{Method, Scheme, SeriesKey, Version};
    use crate::model::snapshot::{AgentState, Lately, Snapshot, WorkloadSnapshot};
    use crate::model::workload::Workload;
    use crate::prometheus::metrics::Vitals;
    use crate::prometheus::series_lifetime::SeriesLifetimes;

    use super::*;

    /// Of three workloads, of which one stands for others, each has received more than the one before and has answered
    /// twice; the second one was first seen a second later.
    fn text_since(format: Format, seen: Option<Instant>, start: Instant) -> Vec<String> {
        let key = SeriesKey {
            method: Method::Get,
            status: 200,
            version: Version::V1_1,
            scheme: Scheme::Http,
        };
        let mut durations = Histogram::of(1, 200_000);
        durations += &Histogram::of(1, 1_500_000_000);
        let workload = |requests, workload: Workload, since| {
            let series = Series {
                key,
                durations: durations.clone(),
                since,
            };
            Arc::new(WorkloadSnapshot {
                workload: Arc::new(workload),
                totals: Totals {
                    requests,
                    series: vec![series],
                    ..Totals::default()
                },
                lately: Lately::default(),
                rest: Totals::default(),
                increment: Increment::default(),
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
        let scrape = Scrape {
            content: Arc::new(content),
            vitals: Vitals::default(),
            seen,
        };
        write(&mut text, scrape, format).unwrap();
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
