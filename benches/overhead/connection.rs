// SPDX-License-Identifier: Apache-2.0
//! Client and server in one thread: a round trip is send, receive, send, receive and nothing else.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};

use anyhow::{Context, Result, ensure};
use rustix::net::sockopt;

use crate::messages::Exchange;

pub struct Connection<S> {
    pub client: S,
    pub server: S,
    buffer: Vec<u8>,
}

/// Two ends that are connected, the client's first.
pub trait Stream: Read + Write + AsFd + Sized {
    fn pair() -> Result<(Self, Self)>;
}

impl Stream for TcpStream {
    fn pair() -> Result<(Self, Self)> {
        let listener = TcpListener::bind("127.0.0.1:0").context("cannot listen on loopback")?;
        let client = Self::connect(listener.local_addr()?)?;
        let (server, _) = listener.accept()?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        Ok((client, server))
    }
}

impl Stream for UnixStream {
    /// The server's end has a name, as that of any server.
    fn pair() -> Result<(Self, Self)> {
        let folder = tempfile::tempdir().context("no temporary folder")?;
        let path = folder.path().join("socket");
        let listener = UnixListener::bind(&path)?;
        let client = Self::connect(&path)?;
        let (server, _) = listener.accept()?;
        Ok((client, server))
    }
}

impl<S: Stream> Connection<S> {
    pub fn open() -> Result<Self> {
        let (client, server) = S::pair()?;
        Ok(Self {
            client,
            server,
            buffer: vec![0; 64 << 10],
        })
    }

    /// Has room for so much on its way: who both sends and receives it must not wait for itself.
    pub fn with_room_for(self, bytes: usize) -> Result<Self> {
        for end in [&self.client, &self.server] {
            sockopt::set_socket_send_buffer_size_force(end, 2 * bytes)?;
            sockopt::set_socket_recv_buffer_size_force(end, 2 * bytes)?;
        }
        Ok(self)
    }

    pub fn round_trip(&mut self, exchange: &Exchange) -> Result<()> {
        self.ask(&exchange.request)?;
        let (server, client) = (&mut self.server, &mut self.client);
        pass(server, client, &exchange.response, &mut self.buffer)
    }

    /// Half of a round trip.
    pub fn ask(&mut self, request: &[u8]) -> Result<()> {
        pass(
            &mut self.client,
            &mut self.server,
            request,
            &mut self.buffer,
        )
    }
}

/// What is no longer than the buffer arrives at once, unless there is a reason.
fn pass<S: Stream>(from: &mut S, to: &mut S, message: &[u8], buffer: &mut [u8]) -> Result<()> {
    from.write_all(message)?;
    let mut received = 0;
    while received < message.len() {
        let more = to.read(buffer)?;
        ensure!(more > 0, "loopback lost a part of a message");
        received += more;
    }
    Ok(())
}
