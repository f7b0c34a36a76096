// SPDX-License-Identifier: Apache-2.0

use std::net::SocketAddr;

use bytes::Bytes;
use hyper::http::uri::PathAndQuery;
use tokio::task::JoinSet;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status, Streaming};

use crate::FORMS;
use crate::plain::Plain;

const COUNTS: [usize; 5] = [2, 3, 5, 7, 11];

pub async fn call(address: SocketAddr) {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let client = Grpc::new(endpoint.connect().await.unwrap());
    // Whatever the harness of the tests has begun a line with.
    println!();
    for form in FORMS {
        for status in 0..=16 {
            let mut calls = JoinSet::new();
            for _ in 0..COUNTS[usize::from(status) % 5] {
                calls.spawn(ended(client.clone(), form, status));
            }
            for end in calls.join_all().await {
                let end = end.map_or_else(|status| status.code() as i32, |()| 0);
                println!("POST 2 200 {end}");
            }
        }
    }
}

async fn ended(mut client: Grpc<Channel>, form: &'static str, status: u8) -> Result<(), Status> {
    client
        .ready()
        .await
        .map_err(|error| Status::unknown(error.to_string()))?;
    let path: PathAndQuery = format!("/test.Calls/{form}").parse().unwrap();
    let message = Bytes::from(vec![status]);
    let messages = tokio_stream::iter(vec![message.clone(); 3]);
    match form {
        "unary_unary" => {
            client.unary(Request::new(message), path, Plain).await?;
            Ok(())
        }
        "unary_stream" => {
            let answers = client.server_streaming(Request::new(message), path, Plain);
            all(answers.await?.into_inner()).await
        }
        "stream_unary" => {
            let answer = client.client_streaming(Request::new(messages), path, Plain);
            answer.await?;
            Ok(())
        }
        _ => {
            let answers = client.streaming(Request::new(messages), path, Plain);
            all(answers.await?.into_inner()).await
        }
    }
}

async fn all(mut answers: Streaming<Bytes>) -> Result<(), Status> {
    while answers.message().await?.is_some() {}
    Ok(())
}
