// SPDX-License-Identifier: Apache-2.0
//! The system calls that move bytes over a socket, each with buffers of random sizes.

use std::fs::File;
use std::io::{IoSlice, IoSliceMut, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use fastrand::Rng;
use nix::fcntl::{SpliceFFlags, splice};
use nix::sys::sendfile::sendfile;
use nix::sys::socket::{MsgFlags, MultiHeaders, recv, recvmmsg, recvmsg, send, sendmmsg, sendmsg};
use nix::sys::uio::{readv, writev};
use nix::unistd::{read, write};

/// What a pipe holds, and some room for partly filled pages.
const PIPE: usize = 32 * 1024;

/// Sizes that add up to `total`. One is 0, as an empty iovec is allowed to be.
fn split(rng: &mut Rng, total: usize, most: usize) -> Vec<usize> {
    let mut sizes = Vec::new();
    let mut rest = total;
    while rest > 0 && sizes.len() + 1 < most {
        let size = rng.usize(1..=rest);
        sizes.push(size);
        rest -= size;
    }
    sizes.push(rest);
    rng.shuffle(&mut sizes);
    sizes
}

/// A socket, and the randomness of the program that uses it.
pub struct Caller<'a> {
    pub socket: BorrowedFd<'a>,
    pub rng: Rng,
    /// How many transfers one call may make.
    pub messages: usize,
}

impl Caller<'_> {
    /// Receives `length` bytes, which have arrived. More than `spare` must not: there is room for it.
    pub fn receive(&mut self, length: usize, spare: usize) -> Vec<u8> {
        let fd = self.socket.as_raw_fd();
        let call = self.rng.u8(..5);
        if call == 4 {
            return self.receive_messages(length);
        }
        let mut sizes = match call {
            0 | 1 => vec![length],
            _ => split(&mut self.rng, length, 8),
        };
        *sizes.last_mut().unwrap() += spare;
        let mut buffers = used(&sizes);
        let mut slices: Vec<_> = buffers.iter_mut().map(|b| IoSliceMut::new(b)).collect();
        let received = match call {
            0 => read(self.socket, &mut slices[0]),
            1 => recv(fd, &mut slices[0], MsgFlags::empty()),
            2 => readv(self.socket, &mut slices),
            _ => {
                recvmsg::<()>(fd, &mut slices, None, MsgFlags::empty()).map(|message| message.bytes)
            }
        };
        assert_eq!(received.unwrap(), length);
        let mut bytes = buffers.concat();
        bytes.truncate(length);
        bytes
    }

    fn receive_messages(&mut self, length: usize) -> Vec<u8> {
        let mut buffers: Vec<_> = self.messages_of(length);
        let mut slices: Vec<Vec<_>> = (buffers.iter_mut())
            .map(|message| message.iter_mut().map(|b| IoSliceMut::new(b)).collect())
            .collect();
        let mut headers = MultiHeaders::<()>::preallocate(slices.len(), None);
        let received: usize = recvmmsg(
            self.socket.as_raw_fd(),
            &mut headers,
            slices.iter_mut(),
            MsgFlags::empty(),
            None,
        )
        .unwrap()
        .map(|message| message.bytes)
        .sum();
        assert_eq!(received, length);
        buffers.into_iter().flatten().flatten().collect()
    }

    /// Buffers for several messages, none of which is empty: that would be the end of the stream.
    fn messages_of(&mut self, length: usize) -> Vec<Vec<Vec<u8>>> {
        let mut lengths = split(&mut self.rng, length, self.messages);
        lengths.retain(|length| *length > 0);
        lengths
            .into_iter()
            .map(|length| used(&split(&mut self.rng, length, 4)))
            .collect()
    }

    /// Receives bytes that nobody sees.
    pub fn discard(&mut self, length: usize) {
        let mut buffer = vec![0; length];
        let received = recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_TRUNC);
        assert_eq!(received.unwrap(), length);
    }

    pub fn send(&mut self, bytes: &[u8]) {
        let fd = self.socket.as_raw_fd();
        let sizes = split(&mut self.rng, bytes.len(), 8);
        let slices = slices(bytes, &sizes);
        let sent = match self.rng.u8(..5) {
            0 => write(self.socket, bytes),
            1 => send(fd, bytes, MsgFlags::empty()),
            2 => writev(self.socket, &slices),
            3 => sendmsg::<()>(fd, &slices, &[], MsgFlags::empty(), None),
            _ => Ok(self.send_messages(bytes)),
        };
        assert_eq!(sent.unwrap(), bytes.len());
    }

    fn send_messages(&mut self, mut bytes: &[u8]) -> usize {
        let mut messages = Vec::new();
        for length in split(&mut self.rng, bytes.len(), self.messages) {
            let (message, rest) = bytes.split_at(length);
            let sizes = split(&mut self.rng, length, 4);
            messages.push(slices(message, &sizes));
            bytes = rest;
        }
        messages.retain(|message| message.iter().any(|slice| !slice.is_empty()));
        let mut headers = MultiHeaders::<()>::preallocate(messages.len(), None);
        let nowhere = vec![None; messages.len()];
        sendmmsg(
            self.socket.as_raw_fd(),
            &mut headers,
            &messages,
            nowhere,
            [],
            MsgFlags::empty(),
        )
        .unwrap()
        .map(|message| message.bytes)
        .sum()
    }

    /// Sends bytes that never lie in the memory of this process.
    pub fn send_unseen(&mut self, bytes: &[u8]) {
        if self.rng.bool() {
            self.send_file(bytes);
        } else {
            bytes.chunks(PIPE).for_each(|bytes| self.send_pipe(bytes));
        }
    }

    fn send_file(&self, bytes: &[u8]) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        let mut offset = 0;
        while let rest @ 1.. = bytes.len() - usize::try_from(offset).unwrap() {
            assert!(sendfile(self.socket, &file, Some(&mut offset), rest).unwrap() > 0);
        }
    }

    fn send_pipe(&self, bytes: &[u8]) {
        let (from, to) = nix::unistd::pipe().unwrap();
        File::from(to).write_all(bytes).unwrap();
        let mut sent = 0;
        while sent < bytes.len() {
            let rest = bytes.len() - sent;
            let flags = SpliceFFlags::empty();
            sent += splice(from.as_fd(), None, self.socket, None, rest, flags).unwrap();
        }
    }
}

/// Buffers that hold what came in earlier, as those of a server that uses them again.
fn used(sizes: &[usize]) -> Vec<Vec<u8>> {
    let earlier = b"\r\nGET / HTTP/1.1\r\n\r\n".iter().copied().cycle();
    let buffers = sizes.iter().map(|&size| earlier.clone().take(size));
    buffers.map(Iterator::collect).collect()
}

fn slices<'a>(mut bytes: &'a [u8], sizes: &[usize]) -> Vec<IoSlice<'a>> {
    let mut slices = Vec::new();
    for &size in sizes {
        let (slice, rest) = bytes.split_at(size);
        slices.push(IoSlice::new(slice));
        bytes = rest;
    }
    slices
}
