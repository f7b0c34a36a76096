// SPDX-License-Identifier: Apache-2.0
//! Exact counts out of the agent's reports, which hold only rates.
//!
//! A process first seen carries a sample of 0 at the tick before, then one for each tick, and a
//! report has the last few ticks. So the sum of rate × time since the sample before is the count,
//! as long as each report overlaps the one before: a gap is an error, and so is a part of a request.
//! One that was busy before there was an agent has no such 0, and what its first tick brought is left
//! out: it can only be in the first report that has any process.

use std::collections::BTreeMap;
use std::time::SystemTime;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// Of a report, what is counted here: to read all of each takes long in an emulated machine.
#[derive(Deserialize)]
struct Report {
    #[serde(rename = "Process")]
    process: Topology,
}

#[derive(Deserialize)]
struct Topology {
    nodes: BTreeMap<String, Node>,
}

#[derive(Debug, Deserialize)]
struct Node {
    metrics: Metrics,
}

#[derive(Debug, Deserialize)]
struct Metrics {
    http_requests_per_second: Metric,
}

#[derive(Debug, Deserialize)]
struct Metric {
    samples: Vec<Sample>,
}

#[derive(Debug, Deserialize)]
struct Sample {
    date: String,
    value: f64,
}

#[derive(Default)]
pub struct Ledger {
    processes: BTreeMap<u64, Counted>,
    /// The latest rate of each process in the latest report.
    listed: BTreeMap<u64, f64>,
}

struct Counted {
    last: SystemTime,
    requests: u64,
    ticks: u64,
}

impl Ledger {
    pub fn absorb(&mut self, report: &[u8]) -> Result<()> {
        let report: Report = serde_json::from_slice(report)?;
        let is_first = self.processes.is_empty();
        let mut listed = BTreeMap::new();
        for (key, node) in &report.process.nodes {
            let (_, pid) = key.rsplit_once(';').context("no pid in the key")?;
            let pid = pid.parse()?;
            let samples = samples(node).with_context(|| format!("node {key}: {node:?}"))?;
            self.follow(pid, &samples, is_first)
                .with_context(|| format!("node {key}: {node:?}"))?;
            listed.insert(pid, samples[samples.len() - 1].1);
        }
        self.listed = listed;
        Ok(())
    }

    fn follow(&mut self, pid: u64, samples: &[(SystemTime, f64)], is_first: bool) -> Result<()> {
        let (first, value) = samples[0];
        let counted = self.processes.entry(pid).or_insert(Counted {
            last: first,
            requests: 0,
            ticks: 0,
        });
        if self.listed.contains_key(&pid) {
            ensure!(first <= counted.last, "a tick was missed");
        } else {
            ensure!(value == 0.0 || is_first, "the first ticks were missed");
        }
        for pair in samples.windows(2) {
            let ((before, _), (date, rate)) = (pair[0], pair[1]);
            ensure!(rate >= 0.0, "a negative rate");
            if date > counted.last {
                let requests = rate * date.duration_since(before)?.as_secs_f64();
                let off = (requests - requests.round()).abs();
                ensure!(off < 0.2, "{requests} requests");
                counted.requests += requests.round() as u64;
                counted.ticks += 1;
                counted.last = date;
            }
        }
        Ok(())
    }

    pub fn count(&self, pid: u64) -> u64 {
        (self.processes.get(&pid)).map_or(0, |counted| counted.requests)
    }

    pub fn counts(&self) -> BTreeMap<u64, u64> {
        let processes = self.processes.iter();
        processes
            .map(|(pid, counted)| (*pid, counted.requests))
            .collect()
    }

    /// The ticks at which the process was seen.
    pub fn ticks(&self, pid: u64) -> u64 {
        self.processes.get(&pid).map_or(0, |counted| counted.ticks)
    }

    /// The latest tick at which the process was seen.
    pub fn last_seen(&self, pid: u64) -> Option<SystemTime> {
        self.processes.get(&pid).map(|counted| counted.last)
    }

    /// The latest rate of a process, if it is in the latest report.
    pub fn rate(&self, pid: u64) -> Option<f64> {
        self.listed.get(&pid).copied()
    }
}

fn samples(node: &Node) -> Result<Vec<(SystemTime, f64)>> {
    let samples = &node.metrics.http_requests_per_second.samples;
    let samples: Vec<_> = (samples.iter())
        .map(|sample| Ok((humantime::parse_rfc3339(&sample.date)?, sample.value)))
        .collect::<Result<_>>()?;
    ensure!(!samples.is_empty(), "an empty list of samples");
    ensure!(samples.is_sorted_by(|a, b| a.0 < b.0), "not oldest first");
    Ok(samples)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// A report of process 42 with these (second, rate) pairs.
    fn report(samples: &[(u32, f64)]) -> Value {
        let samples: Vec<_> = samples
            .iter()
            .map(|(second, value)| {
                let date = format!("2016-09-21T07:22:{second:02}.293175Z");
                json!({"date": date, "value": value})
            })
            .collect();
        let metrics = json!({"http_requests_per_second": {"samples": samples}});
        json!({"Process": {"nodes": {"a;host;42": {"metrics": metrics}}}})
    }

    fn count(reports: &[Value]) -> Result<u64> {
        let mut ledger = Ledger::default();
        for report in reports {
            ledger.absorb(report.to_string().as_bytes())?;
        }
        assert_eq!(ledger.counts(), BTreeMap::from([(42, ledger.count(42))]));
        Ok(ledger.count(42))
    }

    #[test]
    fn overlapping_reports_count_each_sample_once_and_by_its_time() {
        let first = report(&[(1, 0.0), (2, 7.0), (4, 2.5)]);
        let second = report(&[(2, 7.0), (4, 2.5), (5, 0.0), (6, 11.0)]);
        assert_eq!(count(&[first.clone(), first, second]).unwrap(), 7 + 5 + 11);
    }

    #[test]
    fn a_reused_pid_goes_on_from_its_new_first_sample() {
        let none = json!({"Process": {"nodes": {}}});
        let old = report(&[(1, 0.0), (2, 7.0)]);
        let new = report(&[(8, 0.0), (9, 11.0)]);
        assert_eq!(count(&[old, none, new]).unwrap(), 18);
    }

    #[test]
    fn what_the_first_tick_brought_to_one_that_was_busy_before_is_left_out() {
        let first = report(&[(1, 3.0), (2, 7.0)]);
        let second = report(&[(1, 3.0), (2, 7.0), (3, 5.0)]);
        assert_eq!(count(&[first, second]).unwrap(), 7 + 5);
    }

    #[test]
    fn what_was_not_seen_whole_is_an_error() {
        let start = report(&[(1, 0.0), (2, 7.0)]);
        let gap = report(&[(4, 0.0), (5, 0.0)]);
        let other =
            json!({"Process": {"nodes": {"a;host;7": start["Process"]["nodes"]["a;host;42"]}}});
        let errors = [
            (vec![start, gap], "a tick was missed"),
            (
                vec![other, report(&[(1, 3.0)])],
                "the first ticks were missed",
            ),
            (vec![report(&[(1, 0.0), (2, -1.0)])], "a negative rate"),
            (vec![report(&[(1, 0.0), (2, 1.5)])], "1.5 requests"),
            (vec![report(&[(2, 0.0), (1, 1.0)])], "not oldest first"),
            (vec![report(&[])], "an empty list of samples"),
        ];
        for (reports, expected) in errors {
            let error = format!("{:#}", count(&reports).unwrap_err());
            assert!(error.ends_with(expected), "{error}");
        }
    }

    #[test]
    fn only_the_latest_report_lists() {
        let mut ledger = Ledger::default();
        let listing = report(&[(1, 0.0), (2, 7.0)]).to_string();
        ledger.absorb(listing.as_bytes()).unwrap();
        assert_eq!((ledger.rate(42), ledger.ticks(42)), (Some(7.0), 1));
        let empty = json!({"Process": {"nodes": {}}}).to_string();
        ledger.absorb(empty.as_bytes()).unwrap();
        assert_eq!((ledger.rate(42), ledger.count(42)), (None, 7));
    }
}
