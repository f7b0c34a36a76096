// SPDX-License-Identifier: Apache-2.0
//! A connection to the collector: HTTP/1.1, or HTTP/2 for gRPC, in plain text or within TLS.

use std::fs;
use std::io::{ErrorKind, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HOST, TE, USER_AGENT};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::certificates::certificates;
use crate::confine::Destination;
use crate::otlp::outcome::Outcome;
use crate::otlp::settings::{self, Protocol, Settings};

/// A collector says little.
const ANSWER_BYTES: usize = 64 * 1024;
/// Of the addresses of one name.
const MOST_ADDRESSES: usize = 8;

pub struct Client {
    settings: Arc<Settings>,
    tls: Option<TlsConnector>,
    /// Those that its name had when somebody could tell.
    addresses: Vec<SocketAddr>,
}

impl Client {
    /// Reads the certificates to trust, while they can be read.
    pub fn new(settings: Settings) -> Result<Self> {
        let tls = match settings.tls {
            true => Some(connector(&settings)?),
            false => None,
        };
        Ok(Self {
            settings: Arc::new(settings),
            tls,
            addresses: Vec::new(),
        })
    }

    pub fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    /// What has to be within reach for that.
    pub fn destination(&self) -> Destination {
        Destination {
            port: self.settings.port,
            by_name: self.settings.host.parse::<IpAddr>().is_err(),
        }
    }

    /// A new connection, within the time that a push has.
    pub async fn connect(&mut self) -> Result<Connection> {
        let limit = self.settings.timeout;
        let connecting = timeout(limit, self.try_connect());
        connecting.await.context("it does not answer in time")?
    }

    async fn try_connect(&mut self) -> Result<Connection> {
        let settings = Arc::clone(&self.settings);
        match lookup_host((settings.host.as_str(), settings.port)).await {
            Ok(addresses) => self.addresses = addresses.take(MOST_ADDRESSES).collect(),
            // It may be known no longer, and still be there.
            Err(error) if self.addresses.is_empty() => {
                return Err(error).with_context(|| format!("{} has no address", settings.host));
            }
            Err(error) => log::debug!("{} has no address: {error}", settings.host),
        }
        let stream = self.reach().await?;
        stream.set_nodelay(true)?;
        match &self.tls {
            None => Connection::on(stream, settings).await,
            Some(tls) => {
                let name = ServerName::try_from(settings.host.clone())?;
                let stream = tls.connect(name, stream).await.context("TLS")?;
                Connection::on(stream, settings).await
            }
        }
    }

    /// The first that is there.
    async fn reach(&self) -> Result<TcpStream> {
        let mut latest = std::io::Error::from(ErrorKind::AddrNotAvailable);
        for address in &self.addresses {
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => latest = error,
            }
        }
        Err(latest).context("it cannot be reached")
    }
}

fn connector(settings: &Settings) -> Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    match &settings.certificate {
        Some(path) => {
            let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            for certificate in certificates(path, &text)? {
                roots.add(certificate)?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            ensure!(
                !roots.is_empty(),
                "this host has no certificates to trust: name one by --otlp-certificate"
            );
        }
    }
    let provider = Arc::new(ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![match settings.protocol {
        Protocol::HttpProtobuf => b"http/1.1".to_vec(),
        Protocol::Grpc => b"h2".to_vec(),
    }];
    Ok(Arc::new(config).into())
}

/// It ends when this is dropped.
pub struct Connection {
    sender: Sender,
    driver: JoinHandle<()>,
    settings: Arc<Settings>,
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Connection {
    async fn on<S>(stream: S, settings: Arc<Settings>) -> Result<Self>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let stream = TokioIo::new(stream);
        let (sender, driver) = match settings.protocol {
            Protocol::HttpProtobuf => {
                let (sender, connection) = http1::handshake(stream).await?;
                // What goes wrong the one hears who has asked.
                let driver = tokio::spawn(async move { _ = connection.await });
                (Sender::Http1(sender), driver)
            }
            Protocol::Grpc => {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
                let driver = tokio::spawn(async move { _ = connection.await });
                (Sender::Http2(sender), driver)
            }
        };
        Ok(Self {
            sender,
            driver,
            settings,
        })
    }

    /// Pushes a body that [`body`] has made.
    pub async fn push(&mut self, body: Bytes) -> Outcome {
        let limit = self.settings.timeout;
        match timeout(limit, self.try_push(body)).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) => Outcome::failed(format!("{error:#}")),
            Err(_) => Outcome::failed("it does not answer in time"),
        }
    }

    async fn try_push(&mut self, body: Bytes) -> Result<Outcome> {
        let request = request(&self.settings, body)?;
        match &mut self.sender {
            Sender::Http1(sender) => {
                sender.ready().await?;
                let (response, body) = answer(sender.send_request(request).await?).await?;
                Ok(Outcome::of_http(&response, &body.to_bytes()))
            }
            Sender::Http2(sender) => {
                sender.ready().await?;
                let (response, body) = answer(sender.send_request(request).await?).await?;
                let trailers = body.trailers().cloned();
                Ok(Outcome::of_grpc(
                    &response,
                    &body.to_bytes(),
                    trailers.as_ref(),
                ))
            }
        }
    }
}

async fn answer(
    response: Response<Incoming>,
) -> Result<(Response<()>, http_body_util::Collected<Bytes>)> {
    let (parts, body) = response.into_parts();
    let body = Limited::new(body, ANSWER_BYTES).collect().await;
    let body = body.map_err(|error| anyhow!("its answer: {error}"))?;
    Ok((Response::from_parts(parts, ()), body))
}

fn request(settings: &Settings, body: Bytes) -> Result<Request<Full<Bytes>>> {
    let agent = concat!("scope-http-statistics/", env!("CARGO_PKG_VERSION"));
    let is_compressed = settings.compression == settings::Compression::Gzip;
    let mut request = Request::post(settings.url.clone()).header(USER_AGENT, agent);
    request = match settings.protocol {
        Protocol::HttpProtobuf => {
            let authority = settings.url.authority().map_or("", |it| it.as_str());
            let path = settings.url.path_and_query().map_or("/", |it| it.as_str());
            let request = request.uri(path).header(HOST, authority);
            let request = request.header(CONTENT_TYPE, "application/x-protobuf");
            match is_compressed {
                true => request.header(CONTENT_ENCODING, "gzip"),
                false => request,
            }
        }
        Protocol::Grpc => {
            let request = request
                .header(CONTENT_TYPE, "application/grpc")
                .header(TE, "trailers");
            let request = request.header("grpc-timeout", in_grpc(settings.timeout));
            match is_compressed {
                true => request.header("grpc-encoding", "gzip"),
                false => request,
            }
        }
    };
    for (name, value) in &settings.headers {
        request = request.header(name, value);
    }
    Ok(request.body(Full::new(body))?)
}

/// It has eight digits at most.
fn in_grpc(time: Duration) -> String {
    format!("{}m", time.as_millis().min(99_999_999))
}

/// A message as it is sent.
pub fn body(settings: &Settings, message: Vec<u8>) -> std::io::Result<Bytes> {
    let is_compressed = settings.compression == settings::Compression::Gzip;
    let message = match is_compressed {
        true => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(&message)?;
            encoder.finish()?
        }
        false => message,
    };
    if settings.protocol == Protocol::HttpProtobuf {
        return Ok(message.into());
    }
    let length = u32::try_from(message.len()).map_err(|_| ErrorKind::FileTooLarge)?;
    let head = [&[u8::from(is_compressed)][..], &length.to_be_bytes()].concat();
    Ok([head, message].concat().into())
}
