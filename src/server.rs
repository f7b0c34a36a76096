// SPDX-License-Identifier: Apache-2.0
//! Serves the report over HTTP/1.1 on the plugin's socket.
//!
//! The probe gives all of its plugins together little time, so that no client may hold up another: each connection is
//! a task of its own, all that it waits for is limited, and a report is put into words once for all who ask.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT_ENCODING, ALLOW, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, VARY};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::UnixStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_io_timeout::TimeoutStream;

use crate::report::report;
use crate::sampler::Snapshots;
use crate::snapshot::Snapshot;
use crate::socket::{BoundSocket, Endpoint};

/// The probe needs one. Whoever has opened so many others is refused.
const CONNECTIONS: usize = 64;
/// To send a request in, and to be idle between two.
const READ_LIMIT: Duration = Duration::from_secs(10);
const WRITE_LIMIT: Duration = Duration::from_secs(5);
const HEAD_BYTES: usize = 16 * 1024;
/// How often the socket is looked after: one that was wiped away is back within two seconds.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves on `socket`, and on a new one wherever it disappears, for as long as it is polled.
pub async fn serve(mut socket: BoundSocket, endpoint: &Endpoint, reports: Arc<Reports>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let mut check = interval(CHECK_INTERVAL);
    check.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failing = false;
    loop {
        tokio::select! {
            accepted = socket.listener.accept() => match accepted {
                Ok((stream, _)) => match Arc::clone(&slots).try_acquire_owned() {
                    Ok(slot) => {
                        tokio::spawn(converse(stream, Arc::clone(&reports), slot));
                    }
                    Err(_) => log::debug!("refused a client: {CONNECTIONS} others are connected"),
                },
                Err(error) => {
                    log::warn!("cannot accept a client: {error}");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
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

async fn converse(stream: UnixStream, reports: Arc<Reports>, _slot: OwnedSemaphorePermit) {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(WRITE_LIMIT));
    let service = service_fn(|request| std::future::ready(answer(&request, &reports)));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(READ_LIMIT)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(Box::pin(stream)), service);
    if let Err(error) = connection.await {
        log::debug!("a client was left: {error}");
    }
}

fn answer(request: &Request<Incoming>, reports: &Reports) -> Result<Response<Full<Bytes>>> {
    let response = Response::builder();
    let response = if request.uri().path() != "/report" {
        response.status(StatusCode::NOT_FOUND).body(Full::default())
    } else if request.method() != Method::GET && request.method() != Method::HEAD {
        response
            .status(StatusCode::METHOD_NOT_ALLOWED)
            .header(ALLOW, "GET, HEAD")
            .body(Full::default())
    } else {
        let text = reports.latest()?;
        let response = response
            .header(CONTENT_TYPE, "application/json")
            .header(VARY, "Accept-Encoding");
        if accepts_gzip(request.headers()) {
            response
                .header(CONTENT_ENCODING, "gzip")
                .body(Full::new(text.gzip))
        } else {
            response.body(Full::new(text.json))
        }
    };
    response.context("cannot build a response")
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    headers
        .get_all(ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|coding| {
            let mut parts = coding.split(';').map(str::trim);
            let is_gzip = parts
                .next()
                .is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
            let is_refused = parts
                .filter_map(|weight| weight.strip_prefix("q="))
                .any(|weight| weight.parse() == Ok(0.0));
            is_gzip && !is_refused
        })
}

/// The report of the latest snapshot as text, made when it is first asked for.
pub struct Reports {
    host: String,
    snapshots: Snapshots,
    latest: Mutex<Option<Text>>,
}

#[derive(Clone)]
struct Text {
    snapshot: Arc<Snapshot>,
    json: Bytes,
    gzip: Bytes,
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

    fn latest(&self) -> Result<Text> {
        let snapshot = Arc::clone(&self.snapshots.borrow());
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(text) = &*latest
            && Arc::ptr_eq(&text.snapshot, &snapshot)
        {
            return Ok(text.clone());
        }
        let text = Text::new(snapshot, &self.host)?;
        *latest = Some(text.clone());
        Ok(text)
    }
}

impl Text {
    fn new(snapshot: Arc<Snapshot>, host: &str) -> Result<Self> {
        let json =
            serde_json::to_vec(&report(&snapshot, host)).context("cannot write the report")?;
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&json)?;
        let gzip = encoder.finish()?;
        Ok(Self {
            snapshot,
            json: json.into(),
            gzip: gzip.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use hyper::header::HeaderValue;
    use tokio::sync::watch;

    use super::*;

    #[test]
    fn gzip_only_where_asked() {
        let cases = [
            ("gzip", true),
            ("deflate, GZIP;q=0.5", true),
            ("gzip; q=1.0", true),
            ("gzip;q=0", false),
            ("gzip; q=0.000, deflate", false),
            ("x-gzip2, identity", false),
            ("", false),
        ];
        for (value, expected) in cases {
            let headers =
                HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(value))]);
            assert_eq!(accepts_gzip(&headers), expected, "{value:?}");
        }
        assert!(!accepts_gzip(&HeaderMap::new()));
    }

    #[test]
    fn a_snapshot_is_put_into_words_once() {
        let empty = || {
            Arc::new(Snapshot {
                date: SystemTime::now(),
                processes: Vec::new(),
                missed: Vec::new(),
            })
        };
        let (publisher, snapshots) = watch::channel(empty());
        let reports = Reports::new("host".to_owned(), snapshots);
        let first = reports.latest().unwrap();
        let again = reports.latest().unwrap();
        assert_eq!(first.json.as_ptr(), again.json.as_ptr());
        publisher.send_replace(empty());
        let next = reports.latest().unwrap();
        assert!(!Arc::ptr_eq(&next.snapshot, &first.snapshot));
    }
}
