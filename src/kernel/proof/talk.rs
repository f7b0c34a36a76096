// SPDX-License-Identifier: Apache-2.0
//! Holds a conversation, both ends of it. Nothing waits for long: what cannot be said in time is not said.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, connect,
    getsockname, listen, socket_with,
};

use crate::kernel::proof::calls::Server;
use crate::kernel::proof::conversations::{Conversation, Family};
use crate::kernel::proof::script::Step;

/// How long one step may take. What was sent is there as a rule before the call returns that sends it.
const PATIENCE: Duration = Duration::from_millis(10);
/// More than is ever said at once.
const ROOM: usize = 256;

/// Fails where it could not be held, which says nothing about whether it would have been counted.
pub fn hold(conversation: &Conversation) -> io::Result<()> {
    let (client, server) = ends(conversation.family)?;
    let mut server = Server::new(conversation.calls, server.as_fd())?;
    for step in conversation.script.steps {
        match *step {
            Step::Ask(text) => {
                whole(text, rustix::io::write(&client, text.as_bytes())?)?;
                gather(text, server.socket, || server.receive(ROOM))?;
            }
            Step::Answer(text) => {
                whole(text, server.send(text.as_bytes())?)?;
                hear(text, &client)?;
            }
            Step::AnswerFromFile(text) => {
                whole(text, server.send_from_file(text.as_bytes())?)?;
                hear(text, &client)?;
            }
        }
    }
    Ok(())
}

/// The client takes what it was sent.
fn hear(text: &str, client: &OwnedFd) -> io::Result<()> {
    let mut buffer = [0; ROOM];
    gather(text, client.as_fd(), || {
        Ok(rustix::io::read(client, &mut buffer)?)
    })
}

/// Receives until as much has come as was sent.
fn gather(
    text: &str,
    socket: BorrowedFd<'_>,
    mut receive: impl FnMut() -> io::Result<usize>,
) -> io::Result<()> {
    let mut received = 0;
    while received < text.len() {
        match receive() {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(more) => received += more,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => wait(socket)?,
            Err(error) => return Err(error),
        }
    }
    whole(text, received)
}

/// Fails unless as much was moved as there is.
fn whole(text: &str, moved: usize) -> io::Result<()> {
    if moved == text.len() {
        return Ok(());
    }
    let length = text.len();
    Err(io::Error::other(format!(
        "{moved} bytes instead of {length}"
    )))
}

/// Until there is something to receive.
fn wait(socket: BorrowedFd<'_>) -> io::Result<()> {
    let timeout = Timespec {
        tv_sec: 0,
        tv_nsec: PATIENCE.subsec_nanos().into(),
    };
    match poll(
        &mut [PollFd::from_borrowed_fd(socket, PollFlags::IN)],
        Some(&timeout),
    )? {
        0 => Err(io::ErrorKind::TimedOut.into()),
        _ => Ok(()),
    }
}

/// The client's end of a new connection, and the server's. Neither blocks.
fn ends(family: Family) -> io::Result<(OwnedFd, OwnedFd)> {
    match family {
        Family::Tcp => tcp((Ipv4Addr::LOCALHOST, 0).into()),
        Family::Tcp6 => tcp((Ipv6Addr::LOCALHOST, 0).into()),
        Family::Unix => unix(),
    }
}

fn tcp(address: SocketAddr) -> io::Result<(OwnedFd, OwnedFd)> {
    let listener = TcpListener::bind(address)?;
    let client = TcpStream::connect_timeout(&listener.local_addr()?, PATIENCE)?;
    wait(listener.as_fd())?;
    let (server, _) = listener.accept()?;
    for end in [&client, &server] {
        end.set_nonblocking(true)?;
        end.set_nodelay(true)?;
    }
    Ok((client.into(), server.into()))
}

/// By a name of the kernel's choice, which is none in a directory.
fn unix() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = || socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None);
    let listener = socket()?;
    bind(&listener, &SocketAddrUnix::new_unnamed())?;
    listen(&listener, 1)?;
    let client = socket()?;
    connect(&client, &getsockname(&listener)?)?;
    let server = accept_with(&listener, flags)?;
    Ok((client, server))
}

#[cfg(test)]
mod tests {
    use crate::kernel::backend::Backend;
    use crate::kernel::proof::conversations;

    use super::*;

    /// Whether or not anybody counts them.
    #[test]
    fn all_conversations_can_be_held_here() {
        for conversation in conversations::of(Backend::Sock) {
            if let Err(error) = hold(&conversation) {
                panic!("{conversation}: {error}");
            }
        }
    }

    /// The two that a kernel may lack.
    #[test]
    fn others_are_held_or_refused() {
        for conversation in conversations::of(Backend::Fexit) {
            match hold(&conversation) {
                Ok(()) => {}
                Err(error) => assert_ne!(error.kind(), io::ErrorKind::TimedOut, "{conversation}"),
            }
        }
    }
}
