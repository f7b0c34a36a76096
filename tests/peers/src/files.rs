// SPDX-License-Identifier: Apache-2.0

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{ETAG, IF_NONE_MATCH};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;

pub async fn serve(address: SocketAddr, folder: &Path) {
    let listener = TcpListener::bind(address).await.unwrap();
    let folder: Arc<Path> = folder.into();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let folder = folder.clone();
        let answer = service_fn(move |request| answer(request, folder.clone()));
        tokio::spawn(
            http2::Builder::new(TokioExecutor::new())
                .max_header_list_size(1 << 17)
                .serve_connection(TokioIo::new(stream), answer),
        );
    }
}

async fn answer(
    request: Request<Incoming>,
    folder: Arc<Path>,
) -> hyper::Result<Response<Full<Bytes>>> {
    let (head, mut body) = request.into_parts();
    while let Some(frame) = body.frame().await {
        frame?;
    }
    let path = head.uri.path();
    let mut response = Response::builder();
    let mut content = Bytes::from_static(b"ok\n");
    if let Some(name) = path.strip_prefix("/files/") {
        let etag = format!("\"{name}\"");
        if head
            .headers
            .get(IF_NONE_MATCH)
            .is_some_and(|it| *it == *etag)
        {
            (response, content) = (response.status(304), Bytes::new());
        } else {
            content = fs::read(folder.join(name)).unwrap().into();
        }
        response = response.header(ETAG, etag);
    } else if let Some(status) = path.strip_prefix("/status/") {
        response = response.status(status.parse::<u16>().unwrap());
        if status == "204" {
            content = Bytes::new();
        }
    }
    if head.method == "HEAD" {
        content = Bytes::new();
    }
    let response = response.body(Full::new(content)).unwrap();
    let status = response.status().as_u16();
    eprintln!("\"{} {path} {:?}\" {status}", head.method, head.version);
    Ok(response)
}
