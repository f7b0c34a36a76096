// SPDX-License-Identifier: Apache-2.0
//! HTTP/1.1 on one connection, and the limits within which a client may use the agent.
//!
//! No client may hold up another: each connection is a task of its own, there are only so many of them, and all that
//! one waits for is limited.

use std::future::ready;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::http::response::Builder;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep};
use tokio_io_timeout::TimeoutStream;

use crate::serve::descriptors;
use crate::serve::seats::{Seat, Seats};
use crate::serve::watched::{WatchedBody, WatchedStream};

/// The probe needs one, a browser six. When so many are connected, one of them makes room for whoever comes.
const CONNECTIONS: usize = 64;
/// Pages that are open at the same time.
const ENDLESS: usize = 16;
/// To send a request in, and to be idle between two.
const READ_LIMIT: Duration = Duration::from_secs(10);
/// To take in a part of an answer.
const WRITE_LIMIT: Duration = Duration::from_secs(5);
const HEAD_BYTES: usize = 16 * 1024;
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// From one warning that nobody can be accepted to the next.
const WARNING_PAUSE: Duration = Duration::from_secs(60);

pub type Body = UnsyncBoxBody<Bytes, io::Error>;

/// An extension of responses whose bodies have no end.
#[derive(Clone, Copy)]
pub struct Endless;

/// A response that may have to be waited for, which holds up nobody else.
pub type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>>> + Send>>;

/// One that is there already.
pub fn now(response: Result<Response<Body>>) -> Answer {
    Box::pin(ready(response))
}

/// What is served: an answer to each request. A long body may follow by and by.
pub trait Routes: Send + Sync + 'static {
    /// Sent with every answer, whoever gives it.
    const HEADERS: &'static [(&'static str, &'static str)];

    fn answer<B>(&self, request: &Request<B>) -> Answer;
}

/// The clients of one listener.
pub struct Clients<R> {
    routes: Arc<R>,
    seats: Seats,
    warned: Option<Instant>,
}

impl<R: Routes> Clients<R> {
    pub fn new(routes: R) -> Self {
        Self {
            routes: Arc::new(routes),
            seats: Seats::new(descriptors::room_for(CONNECTIONS), ENDLESS),
            warned: None,
        }
    }

    /// Serves a client that a listener has accepted, in a task of its own. Its address, in an [`Arc`], is an extension of
    /// its requests.
    pub async fn take<S, A>(&mut self, accepted: io::Result<(S, A)>)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
        A: Send + Sync + 'static,
    {
        match accepted {
            Ok((stream, address)) => {
                let seat = Arc::new(self.seats.take());
                let routes = Arc::clone(&self.routes);
                tokio::spawn(converse(stream, Arc::new(address), routes, seat));
                // Whoever has had to make room goes before the next one comes.
                yield_now().await;
            }
            Err(error) => {
                self.warn(&error);
                // As a rule there are too many open files.
                self.seats.free_one();
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }

    fn warn(&mut self, error: &io::Error) {
        let now = Instant::now();
        let is_news = |warned| now.duration_since(warned) > WARNING_PAUSE;
        if self.warned.is_none_or(is_news) {
            log::warn!("cannot accept a client, so that another one has to go: {error}");
            self.warned = Some(now);
        } else {
            log::debug!("cannot accept a client: {error}");
        }
    }
}

async fn converse<S, A>(stream: S, address: Arc<A>, routes: Arc<impl Routes>, seat: Arc<Seat>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    A: Send + Sync + 'static,
{
    let mut stream = TimeoutStream::new(WatchedStream::new(stream, Arc::clone(&seat)));
    stream.set_write_timeout(Some(WRITE_LIMIT));
    let service = service_fn(|mut request: Request<Incoming>| {
        request.extensions_mut().insert(Arc::clone(&address));
        seat.asked(false);
        let answer = answer(&*routes, &request);
        let seat = Arc::clone(&seat);
        async move { answer.await.map(|answer| watched(answer, &seat)) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(READ_LIMIT)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(Box::pin(stream)), service);
    tokio::select! {
        outcome = connection => {
            if let Err(error) = outcome {
                log::debug!("a client was left: {error}");
            }
        }
        () = seat.given_away() => log::debug!("a client was left for another one"),
    }
}

fn watched(answer: Response<Body>, seat: &Arc<Seat>) -> Response<WatchedBody> {
    let is_endless = answer.extensions().get::<Endless>().is_some();
    seat.asked(is_endless && !answer.body().is_end_stream());
    answer.map(|body| WatchedBody::new(body, Arc::clone(seat)))
}

/// The only place that answers come from, so that none is without the headers. (What is no HTTP at all hyper refuses
/// itself, in a status line without a body.)
fn answer<R: Routes>(routes: &R, request: &Request<Incoming>) -> Answer {
    let read_only = [Method::GET, Method::HEAD].contains(request.method());
    let answer = if read_only {
        routes.answer(request)
    } else {
        now(not_allowed())
    };
    Box::pin(async move {
        let mut response = answer.await?;
        for (name, value) in R::HEADERS {
            let value = HeaderValue::from_static(value);
            response.headers_mut().insert(*name, value);
        }
        Ok(response)
    })
}

fn not_allowed() -> Result<Response<Body>> {
    Response::builder()
        .status(StatusCode::METHOD_NOT_ALLOWED)
        .header(ALLOW, "GET, HEAD")
        .body(whole(Bytes::new()))
        .context("cannot build a response")
}

/// An answer in one line of text.
pub fn plain(status: StatusCode, text: &'static str) -> Result<Response<Body>> {
    Response::builder()
        .status(status)
        .header(CONTENT_TYPE, "text/plain; charset=utf-8")
        .body(whole(Bytes::from_static(text.as_bytes())))
        .context("cannot build a response")
}

/// To those who ask for what the counters say.
pub fn out_of_reach() -> Result<Response<Body>> {
    plain(
        StatusCode::SERVICE_UNAVAILABLE,
        "the kernel's counters are out of reach: the agent's log says why\n",
    )
}

/// The beginning of an answer in JSON.
pub fn json() -> Builder {
    Response::builder().header(CONTENT_TYPE, "application/json")
}

/// A body that is there already.
pub fn whole(bytes: Bytes) -> Body {
    Full::new(bytes)
        .map_err(|never| match never {})
        .boxed_unsync()
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixStream;
    use tokio::time::timeout;

    use super::*;

    /// Far more than anything here needs, and far less than the time after which an idle client is left.
    const PATIENCE: Duration = Duration::from_secs(5);

    struct Nothing;

    impl Routes for Nothing {
        const HEADERS: &'static [(&'static str, &'static str)] = &[];

        fn answer<B>(&self, _: &Request<B>) -> Answer {
            now(plain(StatusCode::OK, "nothing\n"))
        }
    }

    /// The end of a client that has just connected.
    async fn connect(clients: &mut Clients<Nothing>) -> UnixStream {
        let (client, server) = UnixStream::pair().unwrap();
        clients.take(Ok((server, ()))).await;
        client
    }

    async fn read(client: &UnixStream) -> io::Result<usize> {
        loop {
            client.readable().await?;
            match client.try_read(&mut [0; 512]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                outcome => return outcome,
            }
        }
    }

    /// Whether the client gets an answer; if not, then it is told so at once.
    async fn is_served(client: &UnixStream) -> bool {
        // Whoever is refused may hear of it now.
        let _ = client.try_write(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n");
        let answer = timeout(PATIENCE, read(client)).await;
        matches!(answer.expect("an answer or the end"), Ok(length) if length > 0)
    }

    #[tokio::test]
    async fn so_many_are_served_and_the_oldest_makes_room_for_one_more() {
        assert!(PATIENCE < READ_LIMIT);
        let mut clients = Clients::new(Nothing);
        let mut crowd = Vec::new();
        for _ in 0..CONNECTIONS {
            let client = connect(&mut clients).await;
            assert!(is_served(&client).await);
            crowd.push(client);
        }
        assert!(is_served(&connect(&mut clients).await).await);
        assert!(!is_served(&crowd[0]).await);
        for client in &crowd[1..] {
            assert!(is_served(client).await);
        }
    }

    #[tokio::test]
    async fn who_only_begins_a_request_keeps_nobody_out() {
        let mut clients = Clients::new(Nothing);
        let served = connect(&mut clients).await;
        let mut crowd = Vec::new();
        for _ in 0..3 * CONNECTIONS {
            let client = connect(&mut clients).await;
            client.try_write(b"GET / HTTP/1.1\r\nHo").unwrap();
            crowd.push(client);
            tokio::task::yield_now().await;
            assert!(is_served(&connect(&mut clients).await).await);
        }
        drop(served);
    }
}
