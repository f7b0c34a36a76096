// SPDX-License-Identifier: Apache-2.0
//! What one node of the report has, as metrics and as a table: sums of whatever it stands for.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::Serialize;

use crate::model::increment::Totals;
use crate::model::snapshot::WorkloadSnapshot;
use crate::model::snapshot::{Durations, Latency, ProcessSnapshot, Snapshot, Trend};
use crate::scope::template;

#[derive(Serialize)]
pub struct Metric {
    samples: Vec<Sample>,
    min: f64,
    max: f64,
}

#[derive(Serialize)]
struct Sample {
    date: String,
    value: f64,
}

/// A row of a table.
#[derive(Serialize)]
pub struct Text {
    timestamp: String,
    value: String,
}

/// The values of one node, by metric.
#[derive(Default)]
pub struct Values {
    requests: Series,
    failed_calls: Option<Series>,
    durations: BTreeMap<&'static str, Series>,
    classes: BTreeMap<&'static str, Series>,
    codes: BTreeMap<&'static str, Series>,
    /// Answers by status: all that there were, and those of a second.
    answers: BTreeMap<u16, (u64, f64)>,
}

impl Values {
    /// Of the latest ticks, so many.
    pub fn add_process(&mut self, process: &ProcessSnapshot, snapshot: &Snapshot, samples: usize) {
        let requests = &process.requests_per_second;
        self.requests.add(requests, snapshot, samples);
        let failed = process.failed_calls_per_second.as_deref();
        self.add_failed_calls(failed, snapshot, samples);
        self.add_responses(&process.responses_per_second, snapshot, samples);
        for (status, trend) in &process.responses_per_second {
            let series = self.codes.entry(template::responses(*status));
            series.or_default().add(trend, snapshot, samples);
        }
        self.add_answers(&process.totals, &process.responses_per_second);
        if let Some(latency) = &process.latency {
            // They have no sum: the younger process takes over.
            self.set_latency(latency, snapshot, samples);
        }
    }

    pub fn add_workload(
        &mut self,
        workload: &WorkloadSnapshot,
        snapshot: &Snapshot,
        samples: usize,
    ) {
        let lately = &workload.lately;
        let requests = &lately.requests_per_second;
        self.requests.add(requests, snapshot, samples);
        let failed = lately.failed_calls_per_second.as_deref();
        self.add_failed_calls(failed, snapshot, samples);
        self.add_responses(&lately.responses_per_second, snapshot, samples);
    }

    fn add_failed_calls(&mut self, trend: Option<&Trend>, snapshot: &Snapshot, samples: usize) {
        if let Some(trend) = trend {
            let failed = self.failed_calls.get_or_insert_default();
            failed.add(trend, snapshot, samples);
        }
    }

    fn add_responses(&mut self, responses: &[(u16, Trend)], snapshot: &Snapshot, samples: usize) {
        for (status, trend) in responses {
            if let Some(class) = template::class(*status) {
                let series = self.classes.entry(class);
                series.or_default().add(trend, snapshot, samples);
            }
        }
    }

    fn add_answers(&mut self, totals: &Totals, lately: &[(u16, Trend)]) {
        for series in &totals.series {
            let (count, _) = self.answers.entry(series.key.status).or_default();
            *count += series.durations.count();
        }
        for (status, trend) in lately {
            let (_, rate) = self.answers.entry(*status).or_default();
            *rate += trend.values.last().copied().unwrap_or(0.0);
        }
    }

    pub fn set_latency(&mut self, latency: &Latency, snapshot: &Snapshot, samples: usize) {
        for (id, durations) in [
            (template::DURATION_P50, &latency.p50_ms),
            (template::DURATION_P90, &latency.p90_ms),
            (template::DURATION_P99, &latency.p99_ms),
            (template::DURATION_MAX, &latency.max_ms),
        ] {
            let series = Series::of_durations(durations, snapshot, samples);
            self.durations.insert(id, series);
        }
    }

    /// Answers by status, as a table.
    pub fn table(&self, date: SystemTime) -> BTreeMap<String, Text> {
        let timestamp = date_text(date);
        let rows = self.answers.iter().filter(|(_, (count, _))| *count > 0);
        rows.map(|(status, (count, rate))| {
            let value = match *rate {
                0.0 => count.to_string(),
                rate => format!("{count} ({rate:.1}/s)"),
            };
            let timestamp = timestamp.clone();
            (template::row(*status), Text { timestamp, value })
        })
        .collect()
    }

    /// With at most so many codes by themselves, those with the most traffic.
    pub fn into_metrics(self, most_codes: usize) -> BTreeMap<&'static str, Metric> {
        let mut metrics = self.durations;
        metrics.insert(template::REQUESTS, self.requests);
        metrics.extend(self.failed_calls.map(|it| (template::GRPC_ERRORS, it)));
        metrics.extend(self.classes);
        let mut codes: Vec<_> = self.codes.into_iter().collect();
        codes.sort_by(|(_, a), (_, b)| b.traffic.total_cmp(&a.traffic));
        codes.truncate(most_codes);
        metrics.extend(codes);
        let metrics = metrics.into_iter();
        metrics
            .map(|(id, series)| (id, series.into_metric()))
            .collect()
    }
}

/// Sums of rates.
#[derive(Default)]
struct Series {
    samples: BTreeMap<SystemTime, f64>,
    peak: f64,
    traffic: f64,
}

impl Series {
    fn add(&mut self, trend: &Trend, snapshot: &Snapshot, samples: usize) {
        for (date, value) in snapshot.dated(latest(&trend.values, samples)) {
            *self.samples.entry(date).or_default() += value;
        }
        self.peak += trend.peak;
        self.traffic += trend.sum;
    }

    fn of_durations(durations: &Durations, snapshot: &Snapshot, samples: usize) -> Self {
        let dated = snapshot.dated(latest(&durations.values, samples));
        Self {
            samples: dated.map(|(date, ms)| (date, ms.into())).collect(),
            peak: durations.peak.into(),
            traffic: 0.0,
        }
    }

    fn into_metric(self) -> Metric {
        let samples = self.samples.into_iter().map(|(date, value)| Sample {
            date: date_text(date),
            value: rounded(value),
        });
        Metric {
            samples: samples.collect(),
            min: 0.0,
            max: ceiling(self.peak),
        }
    }
}

fn date_text(date: SystemTime) -> String {
    humantime::format_rfc3339_micros(date).to_string()
}

/// To three digits after the point, which is more than Scope shows.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

fn latest<T>(values: &[T], count: usize) -> &[T] {
    &values[values.len().saturating_sub(count)..]
}

/// The least of 1, 2, 5, 10, 20, 50, … above `peak`. The UI fills a node by value over `max`, so that it must be
/// steady, and a value that equals it looks like a limit.
fn ceiling(peak: f64) -> f64 {
    (0..30)
        .flat_map(|exponent| [1.0, 2.0, 5.0].map(|step| step * 10f64.powi(exponent)))
        .find(|&limit| limit > peak)
        .unwrap_or(f64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ceiling_is_round_and_above() {
        let cases = [
            (0.0, 1.0),
            (0.99, 1.0),
            (1.0, 2.0),
            (4.2, 5.0),
            (5.0, 10.0),
            (99.0, 100.0),
            (130_000.0, 200_000.0),
            (f64::MAX, f64::MAX),
        ];
        for (peak, expected) in cases {
            assert_eq!(ceiling(peak), expected, "of {peak}");
        }
    }
}
