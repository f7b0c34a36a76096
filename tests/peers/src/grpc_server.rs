// SPDX-License-Identifier: Apache-2.0

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::http;
use tokio_stream::StreamExt;
use tonic::body::Body;
use tonic::server::{Grpc, NamedService};
use tonic::transport::Server;
use tonic::{Code, Request, Response, Status, Streaming};
use tower::{Service, service_fn};

use crate::FORMS;
use crate::plain::Plain;

#[derive(Clone)]
struct Calls;

impl NamedService for Calls {
    const NAME: &'static str = "test.Calls";
}

impl Service<http::Request<Body>> for Calls {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move { Ok(answer(request).await) })
    }
}

async fn answer(request: http::Request<Body>) -> http::Response<Body> {
    let mut grpc = Grpc::new(Plain);
    let form = FORMS
        .into_iter()
        .find(|form| request.uri().path().ends_with(form))
        .unwrap();
    match form {
        "unary_unary" => {
            let one = async move |request: Request<Bytes>| {
                one(form, request.into_inner().first().copied())
            };
            grpc.unary(service_fn(one), request).await
        }
        "unary_stream" => {
            let some = async move |request: Request<Bytes>| {
                some(form, request.into_inner().first().copied())
            };
            grpc.server_streaming(service_fn(some), request).await
        }
        "stream_unary" => {
            let one = async move |request: Request<Streaming<Bytes>>| {
                one(form, first(request.into_inner()).await?)
            };
            grpc.client_streaming(service_fn(one), request).await
        }
        _ => {
            let some = async move |request: Request<Streaming<Bytes>>| {
                some(form, first(request.into_inner()).await?)
            };
            grpc.streaming(service_fn(some), request).await
        }
    }
}

/// Takes all messages.
async fn first(mut messages: Streaming<Bytes>) -> Result<Option<u8>, Status> {
    let mut first = None;
    while let Some(message) = messages.message().await? {
        first = first.or(message.first().copied());
    }
    Ok(first)
}

fn end(form: &str, status: Option<u8>) -> Result<(), Status> {
    let status = status.unwrap();
    eprintln!("\"POST /test.Calls/{form} HTTP/2.0\" 200 {status}");
    match Code::from_i32(status.into()) {
        Code::Ok => Ok(()),
        code => Err(Status::new(code, "as asked")),
    }
}

fn one(form: &str, status: Option<u8>) -> Result<Response<Bytes>, Status> {
    end(form, status)?;
    Ok(Response::new(Bytes::from_static(b"answer")))
}

type Answers = Pin<Box<dyn tokio_stream::Stream<Item = Result<Bytes, Status>> + Send>>;

fn some(form: &str, status: Option<u8>) -> Result<Response<Answers>, Status> {
    let answers = std::iter::repeat_n(Ok(Bytes::from_static(b"answer")), 3);
    let end = end(form, status).err().map(Err);
    let answers = tokio_stream::iter(answers).chain(tokio_stream::iter(end));
    Ok(Response::new(Box::pin(answers)))
}

pub async fn serve(address: SocketAddr) {
    Server::builder()
        .add_service(Calls)
        .serve(address)
        .await
        .unwrap();
}
