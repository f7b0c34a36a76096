// SPDX-License-Identifier: Apache-2.0
//! A server process that receives and sends by the calls of 32-bit programs.
//!
//! It is this very test program started again, with the listening socket as its standard input.

use std::io::{self, Write};
use std::net::TcpListener;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use clap::ValueEnum;
use common::load::Address;
use common::process::Process;
use nix::libc::SIGSEGV;
use nix::sys::socket::accept;

use super::call::{self, Iovec, Message, address, call, low};

/// Tells the child how to move bytes.
const ORDER: &str = "COMPAT_MOVES_BY";
/// An order for nothing but one such call.
const TRY: &str = "try";
const ROOM: usize = 4096;
/// Where the first of two buffers ends.
const CUT: u32 = 7;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Way {
    /// `read` and `write`
    Read,
    /// `readv` into buffers that cut the request line, and `writev`
    Readv,
    /// `recvfrom` and `sendto`
    Recvfrom,
    /// `recvmsg` and `sendmsg`, into and from two buffers
    Recvmsg,
}

impl Way {
    /// All, or none where the kernel is built without such calls. That is said aloud.
    pub fn of_this_kernel() -> Vec<Self> {
        let status = child(TRY).stdin(Stdio::null()).status().unwrap();
        if status.signal() == Some(SIGSEGV) {
            let line = "NOT RUN: this kernel knows no calls of 32-bit programs\n";
            io::stderr().write_all(line.as_bytes()).unwrap();
            return Vec::new();
        }
        assert!(status.success(), "{status}");
        Self::value_variants().to_vec()
    }
}

pub struct Server {
    process: Process,
    pub address: Address,
}

impl Server {
    pub fn start(way: Way) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = Address::Tcp(listener.local_addr().unwrap());
        let mut command = child(way.to_possible_value().unwrap().get_name());
        command.stdin(OwnedFd::from(listener));
        let process = Process::start(&mut command, "");
        Self { process, address }
    }

    pub fn pid(&self) -> u64 {
        self.process.pid()
    }
}

fn child(order: &str) -> Command {
    let (_, module) = module_path!().split_once("::").unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([&format!("{module}::moves"), "--exact", "--nocapture"])
        .env(ORDER, order)
        .stdout(Stdio::null());
    command
}

/// The child's entry. Without an order in its environment it is a test like any other: each way moves what was sent.
#[test]
fn moves() {
    match std::env::var(ORDER).as_deref() {
        Ok(TRY) => {
            // SAFETY: it takes no arguments.
            let pid = unsafe { call(call::GETPID, [0; 4]) }.unwrap();
            assert_eq!(pid, std::process::id());
        }
        Ok(order) => {
            let mut mover = Mover::new(Way::from_str(order, false).unwrap());
            loop {
                let connection = accept(io::stdin().as_raw_fd()).unwrap();
                // SAFETY: accept has just made this descriptor, and nobody else knows of it.
                let connection = unsafe { OwnedFd::from_raw_fd(connection) };
                mover.serve(connection.as_raw_fd());
            }
        }
        Err(_) => {
            for way in Way::of_this_kernel() {
                let (mut client, server) = UnixStream::pair().unwrap();
                client.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
                client.shutdown(std::net::Shutdown::Write).unwrap();
                Mover::new(way).serve(server.as_raw_fd());
                drop(server);
                let answers = io::read_to_string(client).unwrap();
                assert!(answers.ends_with("Served: 1\r\n\r\n"), "{way:?}: {answers}");
            }
        }
    }
}

struct Mover {
    way: Way,
    buffer: &'static mut [u8],
    vector: &'static mut [Iovec],
    message: &'static mut [Message],
}

impl Mover {
    fn new(way: Way) -> Self {
        Self {
            way,
            buffer: low(ROOM),
            vector: low(2),
            message: low(1),
        }
    }

    /// Answers each message of a connection.
    fn serve(&mut self, connection: RawFd) {
        let mut served = 0;
        loop {
            let length = self.transfer(connection, ROOM, false);
            if length == 0 {
                return;
            }
            let message = &self.buffer[..length];
            assert!(message.starts_with(b"GET /") && message.ends_with(b"\r\n\r\n"));
            served += 1;
            let answer =
                format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nServed: {served}\r\n\r\n");
            self.buffer[..answer.len()].copy_from_slice(answer.as_bytes());
            assert_eq!(self.transfer(connection, answer.len(), true), answer.len());
        }
    }

    /// Moves up to so many bytes between the connection and the buffer.
    fn transfer(&mut self, connection: RawFd, length: usize, sends: bool) -> usize {
        let (base, length) = (address(&self.buffer[0]), length as u32);
        self.vector[0] = Iovec { base, length: CUT };
        self.vector[1] = Iovec {
            base: base + CUT,
            length: length - CUT,
        };
        let vector = address(&self.vector[0]);
        self.message[0].vector = vector;
        self.message[0].vectors = 2;
        let (number, second, third) = match (self.way, sends) {
            (Way::Read, false) => (call::READ, base, length),
            (Way::Read, true) => (call::WRITE, base, length),
            (Way::Readv, false) => (call::READV, vector, 2),
            (Way::Readv, true) => (call::WRITEV, vector, 2),
            (Way::Recvfrom, false) => (call::RECVFROM, base, length),
            (Way::Recvfrom, true) => (call::SENDTO, base, length),
            (Way::Recvmsg, false) => (call::RECVMSG, address(&self.message[0]), 0),
            (Way::Recvmsg, true) => (call::SENDMSG, address(&self.message[0]), 0),
        };
        let fd = connection.cast_unsigned();
        // SAFETY: all buffers are as long as is said, and last.
        unsafe { call(number, [fd, second, third, 0]) }.unwrap() as usize
    }
}
