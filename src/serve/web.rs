// SPDX-License-Identifier: Apache-2.0
//! The TCP listener: metrics and the page, for scrapers and browsers.
//!
//! A browser may come on behalf of any web site. So nothing here changes anything, answers are for the page's own
//! origin only, and a name that a stranger's DNS made point to this host is not answered (DNS rebinding).

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HOST, USER_AGENT, VARY};
use hyper::http::uri::Authority;
use hyper::{Method, Request, Response, StatusCode};
use tokio::net::TcpListener;

use crate::api::routes::Api;
use crate::otlp::push::Pushes;
use crate::page::assets;
use crate::page::grouping::By;
use crate::page::live::Live;
use crate::prometheus::metrics::{Scrape, Vitals};
use crate::prometheus::protobuf;
use crate::prometheus::scrapers::Scrapers;
use crate::prometheus::series_lifetime::{ScrapeContent, ScrapeContents};
use crate::prometheus::text::{self, Format};
use crate::sampling::Failures;
use crate::scope::reports::Reduction;
use crate::serve::access::Access;
use crate::serve::guarded::Guarded;
use crate::serve::negotiate::{prefers_openmetrics, prefers_protobuf};
use crate::serve::probes;
use crate::serve::server::{Answer, Body, Clients, Endless, Routes, json, now, plain, whole};
use crate::serve::streamed_body::StreamedBodies;

/// With this Prometheus and those that follow it say how long they wait, and nobody else does.
const SCRAPE_TIMEOUT: &str = "x-prometheus-scrape-timeout-seconds";
/// What proxies say of whom they ask for.
const FORWARDED: [&str; 3] = ["forwarded", "via", "x-forwarded-for"];
/// Scrapes that are answered at the same time; others wait for their turn.
const SCRAPES: usize = 2;

/// Where to listen, if anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    None,
    On(SocketAddr),
}

/// Where it is by default.
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const PORT: u16 = 9476;

impl FromStr for Listen {
    type Err = String;

    /// Also what people write who mean this host: a port alone, or `localhost`. An empty text is none, as an empty variable is.
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => return Ok(Self::None),
            "" => return Ok(Self::On(SocketAddr::new(HERE, PORT))),
            _ => {}
        }
        let port = text.strip_prefix("localhost:");
        let port = port.or_else(|| text.strip_prefix(':')).unwrap_or(text);
        if let Ok(port) = port.parse() {
            return Ok(Self::On(SocketAddr::new(HERE, port)));
        }
        text.parse().map(Self::On).map_err(|_| {
            format!(
                "neither ADDRESS:PORT, as in 127.0.0.1:{PORT}, or 0.0.0.0:{PORT} and [::]:{PORT} for other hosts, nor none"
            )
        })
    }
}

/// How what the metrics do not show is doing.
#[derive(Clone, Debug, Default)]
pub struct Health {
    pub failures: Failures,
    pub reduction: Arc<Reduction>,
    pub pushes: Arc<Pushes>,
}

impl Health {
    pub fn vitals(&self, content: &ScrapeContent) -> Vitals {
        Vitals {
            snapshot_age: content.snapshot.age(Instant::now()),
            harvest_failures: self.failures.count(),
            report_reduction: self.reduction.level(),
            pushes: self.pushes.counts(),
        }
    }
}

/// To whom it is served.
#[derive(Clone, Default)]
pub struct Door {
    /// Names of this host that a proxy in front of it is asked by.
    pub hosts: Vec<String>,
    pub access: Access,
}

/// Serves for as long as it is polled.
pub async fn serve(
    listener: &TcpListener,
    live: Arc<Live>,
    api: Arc<Api>,
    scrape_contents: ScrapeContents,
    health: Health,
    door: Door,
) -> Result<()> {
    let address = listener
        .local_addr()
        .context("the listener has no address")?;
    let web = Web {
        live,
        api,
        scrape_contents,
        health,
        scrapes: StreamedBodies::new(SCRAPES),
        scrapers: Mutex::default(),
        loopback: address.ip().is_loopback(),
        hosts: door.hosts,
    };
    let mut clients = Clients::new(Guarded::new(web, door.access.clone()));
    loop {
        let accepted = listener.accept().await;
        let accepted = accepted.map(|(stream, from)| (door.access.secured(stream), from));
        clients.take(accepted).await;
    }
}

/// What is served to whom.
struct Web {
    live: Arc<Live>,
    api: Arc<Api>,
    scrape_contents: ScrapeContents,
    health: Health,
    scrapes: StreamedBodies,
    scrapers: Mutex<Scrapers>,
    /// Only programs of this host can connect.
    loopback: bool,
    /// Other names that it has.
    hosts: Vec<String>,
}

impl Routes for Web {
    const HEADERS: &'static [(&'static str, &'static str)] = &[
        (
            "content-security-policy",
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
        ("cross-origin-resource-policy", "same-origin"),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
        ("cache-control", "no-store"),
    ];

    fn answer<B>(&self, request: &Request<B>) -> Answer {
        if !self.is_meant(request) {
            return now(plain(
                StatusCode::MISDIRECTED_REQUEST,
                "not a name of this host: use its address, or localhost, or --allow-host\n",
            ));
        }
        match request.uri().path() {
            "/row" => self.row(request),
            "/command-line" => self.command_line(request),
            _ => now(self.route(request)),
        }
    }
}

impl Web {
    fn route<B>(&self, request: &Request<B>) -> Result<Response<Body>> {
        match request.uri().path() {
            "/metrics" => self.metrics(request),
            "/events" => self.events(request),
            path => match assets::asset(path) {
                Some(asset) => Response::builder()
                    .header(CONTENT_TYPE, asset.content_type)
                    .body(whole(Bytes::from_static(asset.text.as_bytes())))
                    .context("cannot build a response"),
                None => self.other(request),
            },
        }
    }

    fn other<B>(&self, request: &Request<B>) -> Result<Response<Body>> {
        let content = Arc::clone(&self.scrape_contents.borrow());
        let answer = probes::answer(request.method(), request.uri().path(), &content.snapshot);
        answer
            .or_else(|| self.api.answer(request))
            .unwrap_or_else(|| {
                plain(
                    StatusCode::NOT_FOUND,
                    "the page is at /, the metrics are at /metrics, JSON is at /api/v1\n",
                )
            })
    }

    /// A row of the page, opened.
    fn row<B>(&self, request: &Request<B>) -> Answer {
        let live = Arc::clone(&self.live);
        let by = by(request);
        let id = parameter(request, "id").map(str::to_owned);
        Box::pin(async move {
            let detail = match (by, id) {
                (Some(by), Some(id)) => live.detail(by, id).await?,
                _ => None,
            };
            match detail {
                Some(text) => json_text(text),
                None => plain(StatusCode::NOT_FOUND, "there is no such row\n"),
            }
        })
    }

    /// How a process of the page was started. Off loopback and through a proxy nobody is told: to those who may not look into `/proc` it
    /// may be a secret.
    fn command_line<B>(&self, request: &Request<B>) -> Answer {
        let is_handed_on = FORWARDED
            .iter()
            .any(|it| request.headers().contains_key(*it));
        if !self.loopback || !self.hosts.is_empty() || is_handed_on {
            return now(plain(StatusCode::FORBIDDEN, "shown on loopback only\n"));
        }
        let live = Arc::clone(&self.live);
        let id = parameter(request, "id").map(str::to_owned);
        Box::pin(async move {
            match live.command_line(id.unwrap_or_default()).await? {
                Some(text) => json_text(text),
                None => plain(StatusCode::NOT_FOUND, "not to be had\n"),
            }
        })
    }

    fn events<B>(&self, request: &Request<B>) -> Result<Response<Body>> {
        let body = if request.method() == Method::HEAD {
            whole(Bytes::new())
        } else {
            self.live.events(by(request).unwrap_or(By::Process))
        };
        Response::builder()
            .header(CONTENT_TYPE, "text/event-stream")
            .extension(Endless)
            .body(body)
            .context("cannot build a response")
    }

    fn metrics<B>(&self, request: &Request<B>) -> Result<Response<Body>> {
        let headers = request.headers();
        // None of the texts has native histograms.
        let format = match (prefers_protobuf(headers), prefers_openmetrics(headers)) {
            (true, _) => None,
            (false, true) => Some(Format::OpenMetrics),
            (false, false) => Some(Format::Text),
        };
        let body = if request.method() == Method::HEAD {
            whole(Bytes::new())
        } else {
            let content = Arc::clone(&self.scrape_contents.borrow());
            let vitals = self.health.vitals(&content);
            let seen = self.seen_before(request, content.snapshot.taken);
            let scrape = Scrape {
                content,
                vitals,
                seen,
            };
            self.scrapes.body(move |out| match format {
                Some(format) => text::write(out, scrape, format).map_err(io::Error::other),
                None => protobuf::write(out, &scrape),
            })
        };
        Response::builder()
            .header(
                CONTENT_TYPE,
                format.map_or(protobuf::CONTENT_TYPE, Format::content_type),
            )
            .header(VARY, "Accept")
            .body(body)
            .context("cannot build a response")
    }

    /// When the counters were read that a scraper has seen before, if this is one: people see what there is.
    fn seen_before<B>(&self, request: &Request<B>, taken: Instant) -> Option<Instant> {
        request.headers().get(SCRAPE_TIMEOUT)?;
        let address = request.extensions().get::<Arc<SocketAddr>>()?;
        let agent = request.headers().get(USER_AGENT)?.to_str().ok()?;
        let scrapers = self.scrapers.lock();
        scrapers
            .unwrap_or_else(PoisonError::into_inner)
            .scrape(**address, agent, taken)
    }

    /// Whether the client means this host. Off loopback the host has names that the agent cannot know.
    fn is_meant<B>(&self, request: &Request<B>) -> bool {
        let mut named = request.headers().get_all(HOST).iter();
        let host = match (request.uri().authority(), named.next(), named.next()) {
            (_, _, Some(_)) => return false,
            (Some(authority), ..) => Some(authority.clone()),
            (None, Some(host), None) => Authority::try_from(host.as_bytes()).ok(),
            (None, None, None) => None,
        };
        let is_ours = |host: &str| {
            let mut allowed = self.hosts.iter();
            is_own(host) || allowed.any(|it| it.eq_ignore_ascii_case(host))
        };
        !self.loopback || host.is_some_and(|host| is_ours(host.host()))
    }
}

fn json_text(text: Bytes) -> Result<Response<Body>> {
    json().body(whole(text)).context("cannot build a response")
}

/// What the page's rows are of.
fn by<B>(request: &Request<B>) -> Option<By> {
    parameter(request, "by")?.parse().ok()
}

/// As it is written: what the page sends has nothing to escape.
fn parameter<'a, B>(request: &'a Request<B>, name: &str) -> Option<&'a str> {
    let query = request.uri().query()?;
    let pairs = query.split('&').filter_map(|it| it.split_once('='));
    let mut values = pairs.filter(|(key, _)| *key == name);
    Some(values.next()?.1)
}

/// An address cannot be made to point elsewhere, and browsers resolve `localhost` themselves.
fn is_own(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listens_on_an_address_or_not_at_all() {
        let on = |text: &str| Listen::On(text.parse().unwrap());
        assert_eq!("none".parse(), Ok(Listen::None));
        assert_eq!("127.0.0.1:9476".parse(), Ok(on("127.0.0.1:9476")));
        assert_eq!("[::]:80".parse(), Ok(on("[::]:80")));
        for here in ["9999", ":9999", "localhost:9999"] {
            assert_eq!(here.parse(), Ok(on("127.0.0.1:9999")), "{here}");
        }
        assert_eq!("".parse(), Ok(on("127.0.0.1:9476")));
        for wrong in [
            "127.0.0.1",
            "::1:9476:",
            "None",
            "localhost",
            "node-7:9476",
            ":99999",
            "::9476",
        ] {
            assert!(wrong.parse::<Listen>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_strangers_name_is_not_answered() {
        for own in ["localhost", "LOCALHOST", "127.0.0.1", "[::1]", "10.1.2.3"] {
            assert!(is_own(own), "{own}");
        }
        for other in [
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "",
            "127.1",
        ] {
            assert!(!is_own(other), "{other}");
        }
    }
}
