// SPDX-License-Identifier: Apache-2.0
//! Asks the running agent, by its socket.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::page::view::View;

const PATIENCE: Duration = Duration::from_secs(5);

/// The report, as the probe gets it.
pub async fn report(socket: &Path) -> Result<Bytes> {
    get(socket, "/report").await
}

/// What there is to see.
pub async fn view(socket: &Path) -> Result<View> {
    let text = get(socket, "/view").await?;
    serde_json::from_slice(&text).context("the running agent is of another version: restart it")
}

async fn get(socket: &Path, path: &str) -> Result<Bytes> {
    let stream = match UnixStream::connect(socket).await {
        Ok(stream) => stream,
        Err(error) if error.kind() == ErrorKind::PermissionDenied => bail!(
            "{} is closed to this user: run as the user that the agent runs as",
            socket.display()
        ),
        Err(error) => bail!(
            "no agent is running behind {} ({error}): start it with `sudo scope-http-statistics`, or name its --plugins-root",
            socket.display()
        ),
    };
    timeout(PATIENCE, exchange(stream, path))
        .await
        .with_context(|| format!("the agent does not answer in {PATIENCE:?}"))?
}

async fn exchange(stream: UnixStream, path: &str) -> Result<Bytes> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = Request::get(path)
        .header("Host", "plugin")
        .body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let text = response.into_body().collect().await?.to_bytes();
    connection.abort();
    let said = String::from_utf8_lossy(&text);
    ensure!(
        status.is_success(),
        "the agent answers {status}: {}",
        said.trim_end()
    );
    Ok(text)
}
