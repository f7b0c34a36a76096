// SPDX-License-Identifier: Apache-2.0
//! The load: processes that have served one request, and connections that have carried one.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::thread;

use anyhow::{Context, Result, ensure};
use nix::libc::linger;
use nix::sys::socket::{setsockopt, sockopt};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::agent::Agent;
use crate::crowd::{Crowd, Gate};

pub const PROCESSES: usize = 10_000;
pub const CONNECTIONS: usize = 100_000;
/// Few ports and descriptors for each, so that the usual limits do.
const HOLDERS: usize = 20;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// Processes that each serve one request, on a pair of unix sockets of their own.
pub fn processes() -> Result<Crowd> {
    Crowd::start(PROCESSES, |_| {
        let (mut client, mut server) = UnixStream::pair()?;
        exchange(&mut client, &mut server)?;
        Ok((client, server))
    })
}

/// Connections on loopback TCP that carry one request each, once the gate is open.
pub fn connections() -> Result<Crowd> {
    Crowd::start(HOLDERS, |gate| hold(gate, CONNECTIONS / HOLDERS))
}

/// Reads the events of the page for as long as this is kept.
pub fn look_at(agent: &Agent) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(agent.page()?)?;
    write!(stream, "GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    let mut reader = stream.try_clone()?;
    thread::spawn(move || while reader.read(&mut [0; 1 << 16]).is_ok_and(|read| read > 0) {});
    Ok(stream)
}

fn hold(gate: &Gate, count: usize) -> Result<Vec<(TcpStream, TcpStream)>> {
    allow_files(2 * count as u64 + 64)?;
    let listener = TcpListener::bind("127.0.0.1:0").context("cannot listen on loopback")?;
    let mut pairs = (0..count)
        .map(|_| {
            let client = TcpStream::connect(listener.local_addr()?)?;
            let (server, _) = listener.accept()?;
            // The end of so many must not leave the host with as many in TIME_WAIT.
            let reset = linger {
                l_onoff: 1,
                l_linger: 0,
            };
            setsockopt(&client, sockopt::Linger, &reset)?;
            setsockopt(&server, sockopt::Linger, &reset)?;
            Ok((client, server))
        })
        .collect::<Result<Vec<_>>>()
        .context("cannot open so many connections")?;
    gate.pass()?;
    for (client, server) in &mut pairs {
        exchange(client, server)?;
    }
    Ok(pairs)
}

fn allow_files(count: u64) -> Result<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit {
        current: Some(count),
        maximum: maximum.map(|maximum| maximum.max(count)),
    };
    setrlimit(Resource::Nofile, limit)
        .with_context(|| format!("cannot open {count} files: raise ulimit -Hn"))
}

/// A request that is answered with this status.
pub fn exchange_of<S: Read + Write>(client: &mut S, server: &mut S, status: u16) -> Result<()> {
    pass(client, server, REQUEST)?;
    let response = format!("HTTP/1.1 {status} OK\r\nContent-Length: 0\r\n\r\n");
    pass(server, client, response.as_bytes())
}

fn exchange<S: Read + Write>(client: &mut S, server: &mut S) -> Result<()> {
    pass(client, server, REQUEST)?;
    pass(server, client, RESPONSE)
}

fn pass(from: &mut impl Write, to: &mut impl Read, message: &[u8]) -> Result<()> {
    let mut buffer = [0; 256];
    from.write_all(message)?;
    let received = to.read(&mut buffer)?;
    ensure!(received == message.len(), "a message was split");
    Ok(())
}
