// SPDX-License-Identifier: Apache-2.0
//! The metrics of a [`ScrapeContent`], for Prometheus.
//!
//! What the processes do is named after OpenTelemetry's semantic conventions; what the agent does starts with
//! `scope_http_`.

use std::fmt::{Result, Write};
use std::sync::Arc;

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
use crate::model::snapshot::ProcessSnapshot;
use crate::prometheus::labels::Labels;
use crate::prometheus::series_lifetime::ScrapeContent;

/// The process that stands for all that have no labels of their own.
const OTHER: (&str, &str) = ("process_executable_name", "_other");

const NO_LABELS: [(&str, &str); 0] = [];

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
pub fn write(out: &mut impl Write, content: Arc<ScrapeContent>, format: Format) -> Result {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Metrics { content, format }));
    encode_registry(out, &registry)?;
    match format {
        Format::Text => Ok(()),
        Format::OpenMetrics => encode_eof(out),
    }
}

#[derive(Debug)]
struct Metrics {
    content: Arc<ScrapeContent>,
    format: Format,
}

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result {
        self.requests(&mut encoder)?;
        self.durations(&mut encoder)?;
        self.missed(&mut encoder)?;
        self.agent(&mut encoder)?;
        self.kernel(&mut encoder)
    }
}

impl Metrics {
    fn requests(&self, encoder: &mut DescriptorEncoder<'_>) -> Result {
        let mut requests = self.counter(
            encoder,
            "http_server_requests",
            "http_server_requests_total",
            "HTTP requests received, answered or not",
        )?;
        for process in self.content.processes() {
            let pid = process.id.pid.to_string();
            let labels = Labels::new(&of_process(&pid, process));
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
        for process in self.content.processes() {
            let pid = process.id.pid.to_string();
            let labels = of_process(&pid, process);
            for (key, histogram) in &process.series {
                encode(key, &labels, histogram)?;
            }
        }
        for (key, histogram) in &self.content.other.series {
            encode(key, &[OTHER], histogram)?;
        }
        Ok(())
    }

    fn missed(&self, encoder: &mut DescriptorEncoder<'_>) -> Result {
        let mut missed = self.counter(
            encoder,
            "scope_http_missed",
            "scope_http_missed_total",
            "What was not seen or not counted, by reason",
        )?;
        for (reason, count) in self.content.snapshot.missed.iter() {
            missed.count(&[("reason", reason.label())], count)?;
        }
        Ok(())
    }

    fn agent(&self, encoder: &mut DescriptorEncoder<'_>) -> Result {
        let snapshot = &self.content.snapshot;
        gauge(
            encoder,
            "scope_http_build_info",
            "The agent's version",
            [([("version", env!("CARGO_PKG_VERSION"))], 1.0)],
        )?;
        gauge(
            encoder,
            "scope_http_backend_info",
            "How the agent sees the bytes of sockets, and why in that way",
            [(
                [
                    ("backend", snapshot.kernel.backend),
                    ("reason", &*snapshot.kernel.reason),
                ],
                1.0,
            )],
        )?;
        gauge(
            encoder,
            "scope_http_proof",
            "1 if the agent's own last request, which it sends once a minute, was counted, else 0",
            [(NO_LABELS, f64::from(u8::from(snapshot.kernel.counts)))],
        )?;
        gauge(
            encoder,
            "scope_http_processes",
            "Processes that have served HTTP and have not exited",
            [(
                NO_LABELS,
                snapshot.processes.iter().filter(|it| !it.exited).count() as f64,
            )],
        )?;
        gauge(
            encoder,
            "scope_http_connections",
            "Connections whose state is kept, as of some seconds ago at most",
            [(NO_LABELS, snapshot.kernel.connections as f64)],
        )?;
        gauge(
            encoder,
            "scope_http_other_processes",
            "Processes over --max-processes, which are shown together as _other",
            [(NO_LABELS, self.content.others() as f64)],
        )?;
        let resident = snapshot.agent.resident_bytes;
        gauge(
            encoder,
            "scope_http_resident_memory_bytes",
            "Resident memory of the agent",
            resident.map(|bytes| (NO_LABELS, bytes as f64)),
        )
    }

    fn kernel(&self, encoder: &mut DescriptorEncoder<'_>) -> Result {
        let kernel = &self.content.snapshot.kernel;
        gauge(
            encoder,
            "scope_http_harvest_seconds",
            "Time that reading the kernel's counters took",
            [(NO_LABELS, kernel.harvest.as_secs_f64())],
        )?;
        let by_map = kernel.maps.iter().map(|map| ([("map", map.name)], map));
        gauge(
            encoder,
            "scope_http_map_entries",
            "Entries in a map of the kernel",
            by_map
                .clone()
                .map(|(labels, map)| (labels, map.entries as f64)),
        )?;
        gauge(
            encoder,
            "scope_http_map_capacity",
            "Entries that a map of the kernel has room for",
            by_map.map(|(labels, map)| (labels, f64::from(map.capacity))),
        )?;
        // The kernel does not measure unless it is told to.
        let measured = kernel
            .program_stats
            .iter()
            .filter(|(_, stats)| stats.runs > 0);
        let measured = measured.map(|(program, stats)| ([("program", program.as_str())], stats));
        let mut times = self.counter(
            encoder,
            "scope_http_bpf_run_time_seconds",
            "scope_http_bpf_run_time_seconds_total",
            "Time spent in a BPF program while kernel.bpf_stats_enabled is set",
        )?;
        for (program, stats) in measured.clone() {
            times.count(&program, stats.run_time.as_secs_f64())?;
        }
        let mut runs = self.counter(
            encoder,
            "scope_http_bpf_runs",
            "scope_http_bpf_runs_total",
            "Runs of a BPF program while kernel.bpf_stats_enabled is set",
        )?;
        for (program, stats) in measured {
            runs.count(&program, stats.runs)?;
        }
        Ok(())
    }
}

impl Metrics {
    /// Only `OpenMetrics` knows the counter by a name without the suffix that its samples have.
    fn counter<'a>(
        &self,
        encoder: &'a mut DescriptorEncoder<'_>,
        name: &'a str,
        sample: &'a str,
        help: &str,
    ) -> std::result::Result<Counter<'a>, std::fmt::Error> {
        let name = match self.format {
            Format::Text => sample,
            Format::OpenMetrics => name,
        };
        Ok(Counter {
            encoder: encoder.encode_descriptor(name, help, None, MetricType::Counter)?,
            format: self.format,
        })
    }
}

struct Counter<'a> {
    encoder: MetricEncoder<'a>,
    format: Format,
}

impl Counter<'_> {
    fn count<V>(&mut self, labels: &impl EncodeLabelSet, value: V) -> Result
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

fn gauge<L: EncodeLabelSet>(
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

fn of_process<'a>(pid: &'a str, process: &'a ProcessSnapshot) -> Vec<(&'static str, &'a str)> {
    let mut labels = vec![
        ("process_pid", pid),
        ("process_executable_name", &*process.name),
    ];
    if let Some(container) = &process.container {
        labels.push(("container_id", container));
    }
    labels
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
