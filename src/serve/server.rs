// SPDX-License-Identifier: Apache-2.0
//! HTTP/1.1 on one connection, and the limits within which a client may use the agent.
//!
//! No client may hold up another: each connection is a task of its own, there are only so many of them, and all that
//! one waits for is limited.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;
use tokio_io_timeout::TimeoutStream;

/// The probe needs one, a browser six. Whoever comes when so many others are connected is refused.
pub const CONNECTIONS: usize = 64;
/// To send a request in, and to be idle between two.
const READ_LIMIT: Duration = Duration::from_secs(10);
/// To take in a part of an answer.
const WRITE_LIMIT: Duration = Duration::from_secs(5);
const HEAD_BYTES: usize = 16 * 1024;
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

pub type Body = UnsyncBoxBody<Bytes, io::Error>;

/// What is served: an answer to each request, found without waiting. A long body may follow by and by.
pub trait Routes: Send + Sync + 'static {
    /// Sent with every answer, whoever gives it.
    const HEADERS: &'static [(&'static str, &'static str)];

    fn answer(&self, request: &Request<Incoming>) -> Result<Response<Body>>;
}

/// The clients of one listener.
pub struct Clients<R> {
    routes: Arc<R>,
    slots: Arc<Semaphore>,
}

impl<R: Routes> Clients<R> {
    pub fn new(routes: R) -> Self {
        Self {
            routes: Arc::new(routes),
            slots: Arc::new(Semaphore::new(CONNECTIONS)),
        }
    }

    /// Serves a client that a listener has accepted, in a task of its own.
    pub async fn take<S, A>(&self, accepted: io::Result<(S, A)>)
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        match accepted {
            Ok((stream, _)) => match Arc::clone(&self.slots).try_acquire_owned() {
                Ok(slot) => {
                    tokio::spawn(converse(stream, Arc::clone(&self.routes), slot));
                }
                Err(_) => log::debug!("refused a client: {CONNECTIONS} others are connected"),
            },
            Err(error) => {
                log::warn!("cannot accept a client: {error}");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn converse<S>(stream: S, routes: Arc<impl Routes>, _slot: OwnedSemaphorePermit)
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(WRITE_LIMIT));
    let service = service_fn(|request| std::future::ready(answer(&*routes, &request)));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(READ_LIMIT)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(Box::pin(stream)), service);
    if let Err(error) = connection.await {
        log::debug!("a client was left: {error}");
    }
}

/// The only place that answers come from, so that none is without the headers. (What is no HTTP at all hyper refuses
/// itself, in a status line without a body.)
fn answer<R: Routes>(routes: &R, request: &Request<Incoming>) -> Result<Response<Body>> {
    let read_only = [Method::GET, Method::HEAD].contains(request.method());
    let mut response = if read_only {
        routes.answer(request)
    } else {
        not_allowed()
    }?;
    for (name, value) in R::HEADERS {
        let value = HeaderValue::from_static(value);
        response.headers_mut().insert(*name, value);
    }
    Ok(response)
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

        fn answer(&self, _: &Request<Incoming>) -> Result<Response<Body>> {
            plain(StatusCode::OK, "nothing\n")
        }
    }

    /// The end of a client that has just connected.
    async fn connect(clients: &Clients<Nothing>) -> UnixStream {
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
    async fn so_many_are_served_one_more_is_refused_and_a_place_is_given_on() {
        assert!(PATIENCE < READ_LIMIT);
        let clients = Clients::new(Nothing);
        let mut crowd = Vec::new();
        for _ in 0..CONNECTIONS {
            let client = connect(&clients).await;
            assert!(is_served(&client).await);
            crowd.push(client);
        }
        // Each of them has had an answer, and keeps its place.
        assert!(!is_served(&connect(&clients).await).await);
        assert!(is_served(&crowd[CONNECTIONS - 1]).await);

        drop(crowd.pop());
        let given_on = async {
            while !is_served(&connect(&clients).await).await {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, given_on).await.expect("a free place");
    }
}
