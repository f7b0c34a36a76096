// SPDX-License-Identifier: Apache-2.0
//! Asks a running agent.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use crate::api::VERSION;
use crate::api::document::Document;
use crate::page::view::View;
use crate::terminal::address::{Address, Url};
use crate::terminal::table::printable;

const PATIENCE: Duration = Duration::from_secs(5);
/// Far more than an agent says, whoever answers.
const MOST_BYTES: usize = 64 << 20;
/// Of why it does not answer.
const LONGEST: usize = 200;

pub const BUSIEST: &str = "/api/v1";
pub const ALL: &str = "/api/v1?limit=10000";

/// The report, as the probe gets it.
pub async fn report(socket: &Path) -> Result<Bytes> {
    get(&Address::Socket(socket.to_owned()), "/report").await
}

/// Processes and workloads, as text.
pub async fn json(agent: &Address) -> Result<Bytes> {
    get(agent, ALL).await
}

/// The same as it is looked at: the busiest, or as many as there may be.
pub async fn document(agent: &Address, all: bool) -> Result<Document> {
    let text = get(agent, if all { ALL } else { BUSIEST }).await?;
    let document: Document =
        serde_json::from_slice(&text).context("the agent is of another version")?;
    ensure!(
        document.api_version == VERSION,
        "the agent is of another version"
    );
    Ok(document)
}

/// The last minute of each process, which only the socket has.
pub async fn view(socket: &Path) -> Result<View> {
    let text = get(&Address::Socket(socket.to_owned()), "/view").await?;
    serde_json::from_slice(&text).context("the agent is of another version")
}

/// Whether an agent is there: its socket may be a killed one's.
pub fn is_running(socket: &Path) -> bool {
    let connected = std::os::unix::net::UnixStream::connect(socket);
    !connected.is_err_and(|error| is_nobody(&error))
}

fn is_nobody(error: &io::Error) -> bool {
    [ErrorKind::NotFound, ErrorKind::ConnectionRefused].contains(&error.kind())
}

async fn get(agent: &Address, path: &str) -> Result<Bytes> {
    let answer = async {
        match agent {
            Address::Socket(socket) => exchange(connect(socket).await?, path, "plugin").await,
            Address::Url(url) => exchange(reach(url).await?, path, &url.authority()).await,
        }
    };
    timeout(PATIENCE, answer)
        .await
        .with_context(|| format!("the agent does not answer in {PATIENCE:?}"))?
}

async fn connect(socket: &Path) -> Result<UnixStream> {
    match UnixStream::connect(socket).await {
        Ok(stream) => Ok(stream),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => bail!(
            "{} is closed to this user: run as the user that the agent runs as, or give the address of its page with --url",
            socket.display()
        ),
        Err(error) => bail!(
            "no agent is running behind {} ({error}): start it with `sudo scope-http-statistics`, or name its --plugins-root or --url",
            socket.display()
        ),
    }
}

async fn reach(url: &Url) -> Result<TcpStream> {
    TcpStream::connect((url.name(), url.port))
        .await
        .with_context(|| {
            format!("no agent is reached at {url}: its log says where its page is, and --listen moves it")
        })
}

async fn exchange<S>(stream: S, path: &str, host: &str) -> Result<Bytes>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = Request::get(path)
        .header("Host", host)
        .body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MOST_BYTES);
    let text = body
        .collect()
        .await
        .map_err(|error| anyhow!(error))?
        .to_bytes();
    connection.abort();
    let said = String::from_utf8_lossy(&text);
    ensure!(
        status.is_success(),
        "the agent answers {status}: {}",
        printable(said.lines().next().unwrap_or_default(), LONGEST)
    );
    Ok(text)
}
