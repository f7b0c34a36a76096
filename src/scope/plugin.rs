// SPDX-License-Identifier: Apache-2.0
//! The plugin's socket: serves the report, and has the socket back in its place wherever it disappears.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use hyper::body::Bytes;
use hyper::header::{CONTENT_ENCODING, VARY};
use hyper::{Request, Response, StatusCode};
use tokio::net::UnixStream;
use tokio::net::unix::SocketAddr;
use tokio::time::{MissedTickBehavior, interval};

use crate::api::routes::Api;
use crate::page::live::Live;
use crate::scope::bound::BoundSocket;
use crate::scope::probe::{Peer, Probe};
use crate::scope::reports::Reports;
use crate::scope::socket::Endpoint;
use crate::serve::negotiate::accepts_gzip;
use crate::serve::probes;
use crate::serve::server::{Answer, Body, Clients, Routes, json, now, out_of_reach, plain, whole};

/// How often the socket is looked after: one that was wiped away is back within two seconds.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// Serves on `socket`, and on a new one wherever it disappears, for as long as it is polled.
pub async fn serve(mut socket: BoundSocket, endpoint: &Endpoint, plugin: Plugin) {
    let probe = Arc::clone(&plugin.probe);
    let mut clients = Clients::new(plugin);
    let mut check = interval(CHECK_INTERVAL);
    check.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failing = false;
    loop {
        tokio::select! {
            accepted = socket.listener.accept() => clients.take(accepted.map(with_peer)).await,
            _ = check.tick() => {
                probe.look();
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

/// With who has connected in place of an address, which unix sockets of clients do not have.
fn with_peer((stream, _): (UnixStream, SocketAddr)) -> (UnixStream, Peer) {
    let credentials = stream.peer_cred().ok();
    let pid = credentials.and_then(|it| it.pid()).filter(|pid| *pid > 0);
    (stream, Peer { pid })
}

/// What is served on the socket.
pub struct Plugin {
    pub probe: Arc<Probe>,
    pub reports: Arc<Reports>,
    pub live: Arc<Live>,
    pub api: Arc<Api>,
}

impl Routes for Plugin {
    /// Browsers cannot reach it.
    const HEADERS: &'static [(&'static str, &'static str)] = &[];

    fn answer<B>(&self, request: &Request<B>) -> Answer {
        match request.uri().path() {
            "/report" | "/view" if self.reports.are_stale() => now(out_of_reach()),
            "/report" => {
                if let Some(peer) = request.extensions().get::<Arc<Peer>>() {
                    self.probe.asks(request.uri().query(), **peer);
                }
                let gzip = accepts_gzip(request.headers());
                let reports = Arc::clone(&self.reports);
                Box::pin(async move { report(reports.text(gzip).await?, gzip) })
            }
            // The last minute of each process, for the agent's own `top`.
            "/view" => {
                let live = Arc::clone(&self.live);
                Box::pin(async move {
                    let view = whole(live.json().await?);
                    json().body(view).context("cannot build a response")
                })
            }
            path => now(
                probes::answer(request.method(), path, &self.reports.snapshot())
                    .or_else(|| self.api.answer(request))
                    .unwrap_or_else(|| {
                        plain(
                            StatusCode::NOT_FOUND,
                            "the report is at /report, and JSON for other programs at /api/v1\n",
                        )
                    }),
            ),
        }
    }
}

fn report(text: Bytes, gzip: bool) -> Result<Response<Body>> {
    let response = json().header(VARY, "Accept-Encoding");
    let response = if gzip {
        response.header(CONTENT_ENCODING, "gzip")
    } else {
        response
    };
    response
        .body(whole(text))
        .context("cannot build a response")
}
