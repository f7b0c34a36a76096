// SPDX-License-Identifier: Apache-2.0
//! The plugin's socket: serves the report, and has the socket back in its place wherever it disappears.
//!
//! The probe gives all of its plugins together little time, so that a report is put into words once for all who ask.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, VARY};
use hyper::http::response::Builder;
use hyper::{Request, Response, StatusCode};
use tokio::time::{MissedTickBehavior, interval};

use crate::model::snapshot::Snapshot;
use crate::page::live::Live;
use crate::report::report;
use crate::sampler::Snapshots;
use crate::scope::bound::BoundSocket;
use crate::scope::socket::Endpoint;
use crate::serve::negotiate::accepts_gzip;
use crate::serve::server::{Body, Clients, Routes, plain, whole};

/// How often the socket is looked after: one that was wiped away is back within two seconds.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// A snapshot comes each second. One that is older than this is no news any more, and whoever asks should hear that.
const STALE: Duration = Duration::from_secs(10);

/// Serves on `socket`, and on a new one wherever it disappears, for as long as it is polled.
pub async fn serve(mut socket: BoundSocket, endpoint: &Endpoint, plugin: Plugin) {
    let mut clients = Clients::new(plugin);
    let mut check = interval(CHECK_INTERVAL);
    check.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failing = false;
    loop {
        tokio::select! {
            accepted = socket.listener.accept() => clients.take(accepted).await,
            _ = check.tick() => {
                if socket.is_in_place() {
                    continue;
                }
                match endpoint.bind().await {
                    Ok(bound) => {
                        log::warn!("{} had disappeared and is back", endpoint.path().display());
                        socket = bound;
                        failing = false;
                    }
                    Err(error) if failing => log::debug!("still no socket: {error:#}"),
                    Err(error) => {
                        log::warn!("the socket has disappeared, trying again: {error:#}");
                        failing = true;
                    }
                }
            }
        }
    }
}

/// What is served on the socket.
pub struct Plugin {
    pub reports: Reports,
    pub live: Arc<Live>,
}

impl Routes for Plugin {
    /// Browsers cannot reach it.
    const HEADERS: &'static [(&'static str, &'static str)] = &[];

    fn answer(&self, request: &Request<Incoming>) -> Result<Response<Body>> {
        let response = Response::builder().header(CONTENT_TYPE, "application/json");
        match request.uri().path() {
            "/report" | "/view" if self.reports.are_stale() => plain(
                StatusCode::SERVICE_UNAVAILABLE,
                "the kernel's counters are out of reach: the agent's log says why\n",
            ),
            "/report" => self.reports.answer(request, response),
            // For the agent's own subcommands.
            "/view" => response
                .body(whole(self.live.json()?))
                .context("cannot build a response"),
            _ => plain(StatusCode::NOT_FOUND, "the report is at /report\n"),
        }
    }
}

impl Reports {
    fn answer(&self, request: &Request<Incoming>, response: Builder) -> Result<Response<Body>> {
        let response = response.header(VARY, "Accept-Encoding");
        let gzip = accepts_gzip(request.headers());
        let response = if gzip {
            response.header(CONTENT_ENCODING, "gzip")
        } else {
            response
        };
        let response = response.body(whole(self.latest(gzip)?));
        response.context("cannot build a response")
    }
}

/// The report of the latest snapshot as text, made when it is first asked for.
pub struct Reports {
    host: String,
    snapshots: Snapshots,
    latest: Mutex<Option<Text>>,
}

struct Text {
    snapshot: Arc<Snapshot>,
    json: Bytes,
    /// Once it is asked for.
    gzip: Option<Bytes>,
}

impl Reports {
    /// `host` is what the probe calls this host.
    pub fn new(host: String, snapshots: Snapshots) -> Self {
        Self {
            host,
            snapshots,
            latest: Mutex::new(None),
        }
    }

    fn are_stale(&self) -> bool {
        self.snapshots.borrow().age(Instant::now()) > STALE
    }

    fn latest(&self, gzip: bool) -> Result<Bytes> {
        let snapshot = Arc::clone(&self.snapshots.borrow());
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let text = match latest.take() {
            Some(text) if Arc::ptr_eq(&text.snapshot, &snapshot) => text,
            _ => Text::new(snapshot, &self.host)?,
        };
        let text = latest.insert(text);
        if gzip {
            text.gzip()
        } else {
            Ok(text.json.clone())
        }
    }
}

impl Text {
    fn new(snapshot: Arc<Snapshot>, host: &str) -> Result<Self> {
        let json =
            serde_json::to_vec(&report(&snapshot, host)).context("cannot write the report")?;
        Ok(Self {
            snapshot,
            json: json.into(),
            gzip: None,
        })
    }

    fn gzip(&mut self) -> Result<Bytes> {
        if let Some(gzip) = &self.gzip {
            return Ok(gzip.clone());
        }
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&self.json)?;
        Ok(self.gzip.insert(encoder.finish()?.into()).clone())
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use tokio::sync::watch;

    use crate::model::counters::KernelState;
    use crate::model::reason::Missed;
    use crate::model::snapshot::AgentState;

    use super::*;

    fn empty(taken: Instant) -> Arc<Snapshot> {
        Arc::new(Snapshot {
            date: SystemTime::now(),
            taken,
            elapsed: Duration::ZERO,
            processes: Vec::new(),
            missed: Missed::default(),
            kernel: KernelState::default(),
            agent: AgentState::default(),
        })
    }

    #[test]
    fn what_is_old_is_told_from_what_is_late() {
        let now = Instant::now();
        let (publisher, snapshots) = watch::channel(empty(now));
        let reports = Reports::new("host".to_owned(), snapshots);
        assert!(!reports.are_stale());
        publisher.send_replace(empty(now.checked_sub(STALE / 2).unwrap()));
        assert!(!reports.are_stale());
        publisher.send_replace(empty(now.checked_sub(2 * STALE).unwrap()));
        assert!(reports.are_stale());
    }

    #[test]
    fn a_snapshot_is_put_into_words_once() {
        let empty = || empty(Instant::now());
        let (publisher, snapshots) = watch::channel(empty());
        let reports = Reports::new("host".to_owned(), snapshots);
        let both = || [false, true].map(|gzip| reports.latest(gzip).unwrap());
        let places = |texts: &[Bytes; 2]| texts.each_ref().map(|text| text.as_ptr());
        let (first, again) = (both(), both());
        assert_eq!(places(&first), places(&again));
        publisher.send_replace(empty());
        let next = both();
        for (next, first) in places(&next).into_iter().zip(places(&first)) {
            assert_ne!(next, first);
        }
    }
}
