// SPDX-License-Identifier: Apache-2.0
//! A collector of OTLP, made of what others have generated from the official protocol files: it keeps what it is sent.

use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use flate2::read::GzDecoder;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
pub use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
pub use opentelemetry_proto::tonic::{common, metrics};
use prost::Message;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::codec::CompressionEncoding;
use tonic::transport::Server;
use tonic::{Request as Call, Response as Answer, Status};

/// What it was sent, with the headers that came with it.
#[derive(Clone, Debug)]
pub struct Push {
    pub request: ExportMetricsServiceRequest,
    /// As the sender has named it; `None`: there is no such header.
    pub authorization: Option<String>,
    pub is_compressed: bool,
}

#[derive(Clone, Default)]
pub struct Kept(Arc<Mutex<Vec<Push>>>);

impl Kept {
    pub fn all(&self) -> Vec<Push> {
        self.0.lock().unwrap().clone()
    }

    fn keep(&self, push: Push) {
        self.0.lock().unwrap().push(push);
    }
}

/// Until it is dropped; another one may be at the same address after that.
pub struct Collector {
    pub address: SocketAddr,
    pub kept: Kept,
    runtime: Option<Runtime>,
}

impl Drop for Collector {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Collector {
    fn start<F, S>(address: SocketAddr, serve: F) -> Self
    where
        F: FnOnce(TcpListener, Kept) -> S,
        S: Future<Output = ()> + Send + 'static,
    {
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind(address)).unwrap();
        let kept = Kept::default();
        let address = listener.local_addr().unwrap();
        runtime.spawn(serve(listener, kept.clone()));
        Self {
            address,
            kept,
            runtime: Some(runtime),
        }
    }

    /// Over HTTP/1.1 within TLS, with the certificate and the key of two files.
    pub fn https(address: SocketAddr, certificate: &Path, key: &Path) -> Self {
        let chain = CertificateDer::pem_file_iter(certificate).unwrap();
        let chain = chain.map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_file(key).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Self::start(address, |listener, kept| async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, kept) = (acceptor.clone(), kept.clone());
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        converse(stream, kept).await;
                    }
                });
            }
        })
    }

    /// As a service of gRPC.
    pub fn grpc(address: SocketAddr) -> Self {
        Self::start(address, |listener, kept| async move {
            let service = MetricsServiceServer::new(kept)
                .accept_compressed(CompressionEncoding::Gzip)
                .send_compressed(CompressionEncoding::Gzip);
            let server = Server::builder().add_service(service);
            let incoming = TcpListenerStream::new(listener);
            server.serve_with_incoming(incoming).await.unwrap();
        })
    }
}

#[tonic::async_trait]
impl MetricsService for Kept {
    async fn export(
        &self,
        call: Call<ExportMetricsServiceRequest>,
    ) -> Result<Answer<ExportMetricsServiceResponse>, Status> {
        let header = |name: &str| {
            let value = call.metadata().get(name)?;
            Some(value.to_str().unwrap().to_owned())
        };
        let (authorization, encoding) = (header("authorization"), header("grpc-encoding"));
        self.keep(Push {
            authorization,
            is_compressed: encoding.as_deref() == Some("gzip"),
            request: call.into_inner(),
        });
        Ok(Answer::new(ExportMetricsServiceResponse::default()))
    }
}

async fn converse(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, kept: Kept) {
    let service = service_fn(|request| answer(request, kept.clone()));
    // Who leaves early is left.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn answer(request: Request<Incoming>, kept: Kept) -> io::Result<Response<Full<Bytes>>> {
    assert_eq!(
        (request.method().as_str(), request.uri().path()),
        ("POST", "/v1/metrics")
    );
    assert_eq!(request.headers()["content-type"], "application/x-protobuf");
    let header = |name: &str| {
        let value = request.headers().get(name)?;
        Some(value.to_str().unwrap().to_owned())
    };
    let authorization = header("authorization");
    let is_compressed = header("content-encoding").as_deref() == Some("gzip");
    let body = request.into_body().collect().await;
    let mut body = body.map_err(io::Error::other)?.to_bytes().to_vec();
    if is_compressed {
        let coded = std::mem::take(&mut body);
        GzDecoder::new(&*coded).read_to_end(&mut body)?;
    }
    kept.keep(Push {
        request: ExportMetricsServiceRequest::decode(&*body)?,
        authorization,
        is_compressed,
    });
    let answer = ExportMetricsServiceResponse::default().encode_to_vec();
    Ok(Response::new(Full::new(answer.into())))
}
