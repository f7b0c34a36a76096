// SPDX-License-Identifier: Apache-2.0
//! The document as text, row by row: however many there are, one is in memory.

use std::cmp::Reverse;
use std::sync::Arc;

use serde::ser::{Serialize, SerializeStruct, Serializer};

use crate::api::VERSION;
use crate::api::document::{Process, Workload};
use crate::api::query::Query;
use crate::model::snapshot::{ProcessSnapshot, Snapshot, Trend, WorkloadSnapshot};

/// What is answered.
pub struct Text<'a> {
    pub snapshot: &'a Snapshot,
    pub host: &'a str,
    pub query: Query,
}

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self {
            snapshot,
            host,
            query,
        } = self;
        let mut text = serializer.serialize_struct("Document", 11)?;
        text.serialize_field("api_version", &VERSION)?;
        text.serialize_field("agent_version", env!("CARGO_PKG_VERSION"))?;
        text.serialize_field("host", host)?;
        text.serialize_field("backend", snapshot.kernel.backend)?;
        let date = humantime::format_rfc3339_millis(snapshot.date).to_string();
        text.serialize_field("date", &date)?;
        text.serialize_field("interval_seconds", &snapshot.elapsed.as_secs_f64())?;
        text.serialize_field("missed", &Missed(snapshot))?;
        if query.processes {
            let (rows, omitted) = busiest(&snapshot.processes, query.limit, pace_of_process);
            text.serialize_field("processes_omitted", &omitted)?;
            text.serialize_field("processes", &Rows(&rows, Process::of))?;
        }
        if query.workloads {
            let (rows, omitted) = busiest(&snapshot.workloads, query.limit, pace_of_workload);
            text.serialize_field("workloads_omitted", &omitted)?;
            text.serialize_field("workloads", &Rows(&rows, Workload::of))?;
        }
        text.end()
    }
}

fn pace_of_process(process: &ProcessSnapshot) -> &Trend {
    &process.requests_per_second
}

fn pace_of_workload(workload: &WorkloadSnapshot) -> &Trend {
    &workload.lately.requests_per_second
}

/// Those with the most traffic of the last minute, in the order in which they were, and how many others there are.
fn busiest<T>(all: &[Arc<T>], limit: usize, pace: fn(&T) -> &Trend) -> (Vec<&T>, usize) {
    let mut rows: Vec<_> = all.iter().map(Arc::as_ref).enumerate().collect();
    let omitted = rows.len().saturating_sub(limit);
    if omitted > 0 {
        // Rates are not negative, of which the bits have the same order.
        rows.sort_by_key(|(_, row)| Reverse(pace(row).sum.to_bits()));
        rows.truncate(limit);
        rows.sort_by_key(|(index, _)| *index);
    }
    (rows.into_iter().map(|(_, row)| row).collect(), omitted)
}

struct Missed<'a>(&'a Snapshot);

impl Serialize for Missed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let missed = self.0.missed.iter();
        serializer.collect_map(missed.map(|(reason, count)| (reason.label(), count)))
    }
}

struct Rows<'a, T, Row>(&'a [&'a T], fn(&T) -> Row);

impl<T, Row: Serialize> Serialize for Rows<'_, T, Row> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|row| self.1(row)))
    }
}
