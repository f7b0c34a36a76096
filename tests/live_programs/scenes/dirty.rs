// SPDX-License-Identifier: Apache-2.0
//! A server that receives into one buffer, which is larger than what comes and still holds what came before.

use std::io::{IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::sys::socket::{MsgFlags, MultiHeaders, recvmmsg, recvmsg};
use nix::sys::uio::readv;
use nix::unistd::read;

use super::cast::{ANSWER, REQUEST, Scene, tcp, unix};
use super::counts;

/// On each connection, of which there are two for each call.
const REQUESTS: u64 = 10;
const CALLS: [Call; 4] = [by_read, by_readv, by_recvmsg, by_recvmmsg];

/// Receives what has come into a buffer, which it fills from its beginning.
type Call = fn(BorrowedFd<'_>, &mut [u8]) -> usize;

pub fn what_a_buffer_held_before_is_no_request(backend: &str) {
    counts(backend, Scene::Dirty, 2 * CALLS.len() as u64 * REQUESTS);
}

pub fn act() {
    for call in CALLS {
        converse(tcp(), call);
        converse(unix(), call);
    }
}

/// Each head is cut behind its first letter: of the one before, all the others are still there.
fn converse<S: Read + Write + AsFd>((mut client, mut server): (S, S), call: Call) {
    let mut buffer = REQUEST.repeat(4);
    let (first, rest) = REQUEST.split_at(1);
    for _ in 0..REQUESTS {
        for part in [first, rest] {
            client.write_all(part).unwrap();
            buffer[..REQUEST.len()].copy_from_slice(REQUEST);
            assert_eq!(call(server.as_fd(), &mut buffer), part.len());
        }
        server.write_all(ANSWER).unwrap();
        client.read_exact(&mut [0; ANSWER.len()]).unwrap();
    }
}

fn by_read(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> usize {
    read(socket, buffer).unwrap()
}

fn by_readv(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> usize {
    readv(socket, &mut [IoSliceMut::new(buffer)]).unwrap()
}

fn by_recvmsg(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> usize {
    let mut vector = [IoSliceMut::new(buffer)];
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut vector, None, MsgFlags::empty());
    message.unwrap().bytes
}

fn by_recvmmsg(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> usize {
    let mut vectors = [[IoSliceMut::new(buffer)]];
    let mut headers = MultiHeaders::<()>::preallocate(vectors.len(), None);
    let flags = MsgFlags::empty();
    let messages = recvmmsg(
        socket.as_raw_fd(),
        &mut headers,
        vectors.iter_mut(),
        flags,
        None,
    );
    messages.unwrap().map(|message| message.bytes).sum()
}
