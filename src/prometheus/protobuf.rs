// SPDX-License-Identifier: Apache-2.0
//! A [`Scrape`] as Prometheus' protocol buffers, which alone have native histograms.
//!
//! The messages are those of <https://github.com/prometheus/client_model/blob/master/io/prometheus/client/metrics.proto>; what is
//! never sent is left out.

use std::io::{Result, Write};

use prost::Message;

use crate::model::buckets::{BOUNDS_US, BUCKETS, SCHEMA, zero_threshold};
use crate::model::histogram::Histogram;
use crate::prometheus::family::{Family, Kind};
use crate::prometheus::metrics::{CALLS, DURATIONS, Durations, REQUESTS, Scrape};
use crate::prometheus::rows::{Labels, Row};

pub const CONTENT_TYPE: &str = "application/vnd.google.protobuf; \
     proto=io.prometheus.client.MetricFamily; encoding=delimited";

/// A family is one message, or several where it has more samples than this: it is never held whole.
const SAMPLES: usize = 256;

#[derive(Clone, PartialEq, Message)]
struct MetricFamily {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    help: String,
    #[prost(enumeration = "MetricType", optional, tag = "3")]
    r#type: Option<i32>,
    #[prost(message, repeated, tag = "4")]
    metric: Vec<Metric>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
enum MetricType {
    Counter = 0,
    Gauge = 1,
    Histogram = 4,
}

#[derive(Clone, PartialEq, Message)]
struct Metric {
    #[prost(message, repeated, tag = "1")]
    label: Vec<LabelPair>,
    #[prost(message, optional, tag = "2")]
    gauge: Option<Value>,
    #[prost(message, optional, tag = "3")]
    counter: Option<Value>,
    #[prost(message, optional, tag = "7")]
    histogram: Option<NativeHistogram>,
}

#[derive(Clone, PartialEq, Message)]
struct LabelPair {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

/// A counter, and a gauge.
#[derive(Clone, Copy, PartialEq, Message)]
struct Value {
    #[prost(double, optional, tag = "1")]
    value: Option<f64>,
}

/// With classic buckets, for whoever does not want native ones.
#[derive(Clone, PartialEq, Message)]
struct NativeHistogram {
    #[prost(uint64, tag = "1")]
    sample_count: u64,
    #[prost(double, tag = "2")]
    sample_sum: f64,
    #[prost(message, repeated, tag = "3")]
    bucket: Vec<Bucket>,
    #[prost(sint32, optional, tag = "5")]
    schema: Option<i32>,
    #[prost(double, tag = "6")]
    zero_threshold: f64,
    #[prost(uint64, tag = "7")]
    zero_count: u64,
    #[prost(message, repeated, tag = "12")]
    positive_span: Vec<BucketSpan>,
    #[prost(sint64, repeated, tag = "13")]
    positive_delta: Vec<i64>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Bucket {
    #[prost(uint64, tag = "1")]
    cumulative_count: u64,
    #[prost(double, tag = "2")]
    upper_bound: f64,
}

/// Buckets that follow one another, so many after the end of the span before.
#[derive(Clone, Copy, PartialEq, Message)]
struct BucketSpan {
    #[prost(sint32, tag = "1")]
    offset: i32,
    #[prost(uint32, tag = "2")]
    length: u32,
}

/// Writes everything, part by part. It ends early where `out` does.
pub fn write(out: &mut impl Write, scrape: &Scrape) -> Result<()> {
    let rows = scrape.content.rows();
    let requests = rows.iter().map(|row| {
        let labels = pairs([&row.labels]);
        sample(labels, Kind::Counter, scrape.requests(row) as f64)
    });
    write_family(out, REQUESTS, MetricType::Counter, requests)?;
    let nothing = Histogram::default();
    let sample = |row: &Row<'_>, (labels, durations): Durations<'_>| Metric {
        label: pairs([&labels, &row.labels]),
        histogram: Some(native(durations.unwrap_or(&nothing))),
        ..Metric::default()
    };
    let durations = rows.iter();
    let durations = durations.flat_map(|row| scrape.durations(row).map(|it| sample(row, it)));
    write_family(out, DURATIONS, MetricType::Histogram, durations)?;
    let calls = rows.iter();
    let calls = calls.flat_map(|row| scrape.calls(row).map(|it| sample(row, it)));
    write_family(out, CALLS, MetricType::Histogram, calls)?;
    for family in scrape.status() {
        write_status(out, &family)?;
    }
    Ok(())
}

fn write_status(out: &mut impl Write, family: &Family<'_>) -> Result<()> {
    let kind = match family.kind {
        Kind::Counter => MetricType::Counter,
        Kind::Gauge => MetricType::Gauge,
    };
    let samples = family.samples.iter();
    let samples = samples.map(|(labels, value)| sample(pairs([labels]), family.kind, value.real()));
    write_family(out, (family.name, family.help), kind, samples)
}

fn write_family(
    out: &mut impl Write,
    (name, help): (&str, &str),
    kind: MetricType,
    samples: impl Iterator<Item = Metric>,
) -> Result<()> {
    let mut samples = samples.peekable();
    while samples.peek().is_some() {
        let family = MetricFamily {
            name: name.to_owned(),
            help: help.to_owned(),
            r#type: Some(kind.into()),
            metric: samples.by_ref().take(SAMPLES).collect(),
        };
        out.write_all(&family.encode_length_delimited_to_vec())?;
    }
    Ok(())
}

fn pairs<const N: usize>(labels: [&Labels<'_>; N]) -> Vec<LabelPair> {
    let labels = labels.into_iter().flatten();
    labels
        .map(|(name, value)| LabelPair {
            name: (*name).to_owned(),
            value: value.to_string(),
        })
        .collect()
}

fn sample(label: Vec<LabelPair>, kind: Kind, value: f64) -> Metric {
    let value = Some(Value { value: Some(value) });
    let (counter, gauge) = match kind {
        Kind::Counter => (value, None),
        Kind::Gauge => (None, value),
    };
    Metric {
        label,
        counter,
        gauge,
        histogram: None,
    }
}

fn native(histogram: &Histogram) -> NativeHistogram {
    let mut native = NativeHistogram {
        sample_count: histogram.count(),
        sample_sum: histogram.sum_ns as f64 / 1e9,
        bucket: classic(histogram),
        schema: Some(SCHEMA),
        zero_threshold: zero_threshold(),
        ..NativeHistogram::default()
    };
    // The index of the latest bucket, and what is in it.
    let mut latest: Option<(i32, i64)> = None;
    for (bucket, count) in histogram.filled() {
        let Some(index) = BUCKETS.native(bucket) else {
            native.zero_count += count;
            continue;
        };
        let count = count as i64;
        match &mut latest {
            // The same one, in another of ours.
            Some((last, sum)) if *last == index => {
                *sum += count;
                if let Some(delta) = native.positive_delta.last_mut() {
                    *delta += count;
                }
            }
            _ => {
                let gap = latest.map_or(index, |(last, _)| index - last - 1);
                match native.positive_span.last_mut() {
                    Some(span) if gap == 0 => span.length += 1,
                    _ => native.positive_span.push(BucketSpan {
                        offset: gap,
                        length: 1,
                    }),
                }
                let before = latest.map_or(0, |(_, count)| count);
                native.positive_delta.push(count - before);
                latest = Some((index, count));
            }
        }
    }
    native
}

/// All but the last, which all have.
fn classic(histogram: &Histogram) -> Vec<Bucket> {
    let mut cumulative_count = 0;
    let buckets = histogram.classic().into_iter().zip(BOUNDS_US);
    buckets
        .map(|(count, bound)| {
            cumulative_count += count;
            Bucket {
                cumulative_count,
                upper_bound: bound as f64 / 1e6,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts by the index of their bucket.
    fn decoded(native: &NativeHistogram) -> Vec<(i32, i64)> {
        let mut buckets = Vec::new();
        let (mut index, mut count) = (0, 0);
        let mut deltas = native.positive_delta.iter();
        for span in &native.positive_span {
            index += span.offset;
            for _ in 0..span.length {
                count += deltas.next().unwrap();
                buckets.push((index, count));
                index += 1;
            }
        }
        assert_eq!(deltas.next(), None);
        buckets
    }

    #[test]
    fn buckets_are_where_prometheus_expects_them() {
        let mut histogram = Histogram::of(3, 1_000_000_000);
        // In one native bucket, and in two of ours: 100 ms is a bound of the classic ones.
        histogram += &Histogram::of(5, 99_900_000);
        histogram += &Histogram::of(7, 100_100_000);
        histogram += &Histogram::of(11, 1_040_000_000);
        histogram += &Histogram::of(13, 1_500);
        let native = native(&histogram);
        assert_eq!(native.zero_count, 13);
        assert_eq!(native.sample_count, 39);
        assert_eq!(decoded(&native), [(-53, 12), (0, 3), (1, 11)]);
        assert_eq!(native.positive_span.len(), 2);
        let below = |bound: f64| {
            let bucket = native.bucket.iter().find(|it| it.upper_bound == bound);
            bucket.unwrap().cumulative_count
        };
        assert_eq!([0.1, 0.25, 1.0, 2.5].map(below), [18, 25, 28, 39]);
    }

    #[test]
    fn one_without_anything_is_native_as_well() {
        let native = native(&Histogram::default());
        assert!(native.zero_threshold > 0.0 && native.schema == Some(4));
        assert_eq!((native.sample_count, decoded(&native)), (0, Vec::new()));
    }
}
