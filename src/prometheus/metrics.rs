// SPDX-License-Identifier: Apache-2.0
//! What one scrape shows, whatever the format.
//!
//! What the processes do is named after OpenTelemetry's semantic conventions; what the agent does starts with
//! `scope_http_`.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::model::counters::{GRPC_OTHER, GRPC_UNKNOWN};
use crate::model::histogram::Histogram;
use crate::model::increment::{Calls, Series};
use crate::model::series_key::SeriesKey;
use crate::otlp::push::PushCounts;
use crate::prometheus::rows::{Labels, Row};
use crate::prometheus::series_lifetime::ScrapeContent;

pub const REQUESTS: (&str, &str) = (
    "http_server_requests_total",
    "HTTP requests received, answered or not",
);
pub const TLS_UNSEEN: (&str, &str) = (
    "scope_http_tls_unseen_connections_total",
    "TLS connections whose requests cannot be seen",
);
pub const DURATIONS: (&str, &str) = (
    "http_server_request_duration_seconds",
    "Time from the request line to the final response",
);

pub const CALLS: (&str, &str) = (
    "rpc_server_duration_seconds",
    "Time from the request to the end of a gRPC call",
);

#[derive(Debug)]
pub struct Scrape {
    pub content: Arc<ScrapeContent>,
    pub vitals: Vitals,
    /// When the counters were read that the scraper was shown the last time, if it is known.
    pub seen: Option<Instant>,
}

/// How the sampling is doing at the time of the scrape, which the latest snapshot cannot say.
#[derive(Clone, Copy, Debug, Default)]
pub struct Vitals {
    pub snapshot_age: Duration,
    pub harvest_failures: u64,
    /// How much of the report to Weave Scope has been left out.
    pub report_reduction: usize,
    /// If anything is pushed.
    pub pushes: Option<PushCounts>,
}

impl Scrape {
    pub(super) fn requests(&self, row: &Row<'_>) -> u64 {
        match self.is_new(row.since) {
            true => 0,
            false => row.totals.requests,
        }
    }

    /// `None` of most, which have none: there is no series for these.
    pub(super) fn tls_unseen(&self, row: &Row<'_>) -> Option<u64> {
        (row.totals.tls_unseen > 0).then(|| match self.is_new(row.since) {
            true => 0,
            false => row.totals.tls_unseen,
        })
    }

    /// All answers of a row, by their labels. `None` where there are none yet as far as the scraper is concerned.
    pub(super) fn durations<'a>(&self, row: &Row<'a>) -> impl Iterator<Item = Durations<'a>> {
        let series = row.totals.series.iter();
        series.map(|it| (answer(it), self.seen(&it.durations, it.since)))
    }

    /// The same of gRPC calls.
    pub(super) fn calls<'a>(&self, row: &Row<'a>) -> impl Iterator<Item = Durations<'a>> {
        let calls = row.totals.calls.iter();
        calls.map(|it| (call(it), self.seen(&it.durations, it.since)))
    }

    fn seen<'a>(&self, durations: &'a Histogram, since: Instant) -> Option<&'a Histogram> {
        (!self.is_new(Some(since))).then_some(durations)
    }

    /// Whether the scraper, which has been here before, has not seen it yet.
    fn is_new(&self, since: Option<Instant>) -> bool {
        let (Some(since), Some(seen)) = (since, self.seen) else {
            return false;
        };
        since > seen
    }
}

pub(super) type Durations<'a> = (Labels<'a>, Option<&'a Histogram>);

/// Of gRPC calls with one end.
pub(crate) fn call(calls: &Calls) -> Labels<'_> {
    let status = match calls.status {
        GRPC_OTHER => Cow::Borrowed("_OTHER"),
        GRPC_UNKNOWN => Cow::Borrowed("unknown"),
        status => Cow::Owned(status.to_string()),
    };
    vec![
        ("rpc_system", Cow::Borrowed("grpc")),
        ("rpc_grpc_status_code", status),
    ]
}

/// Of answers of one kind.
pub(crate) fn answer(series: &Series) -> Labels<'_> {
    let key = &series.key;
    let status = match key.status {
        0 => Cow::Borrowed("_OTHER"),
        SeriesKey::UNKNOWN_STATUS => Cow::Borrowed("unknown"),
        status => Cow::Owned(status.to_string()),
    };
    vec![
        ("http_request_method", Cow::Borrowed(key.method.name())),
        ("http_response_status_code", status),
        ("url_scheme", Cow::Borrowed(key.scheme.name())),
        (
            "network_protocol_version",
            Cow::Borrowed(key.version.name()),
        ),
    ]
}
