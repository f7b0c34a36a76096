// SPDX-License-Identifier: Apache-2.0
//! A server process that receives and sends by `io_uring`, in one named way.
//!
//! It is this very test program started again, with the listening socket as its standard input.

use std::io::{self, IoSlice, IoSliceMut, Write};
use std::mem::zeroed;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::ptr::null_mut;

use clap::ValueEnum;
use common::load::Address;
use common::process::Process;
use io_uring::squeue::{Entry, Flags};
use io_uring::types::Fd;
use io_uring::{IoUring, Parameters, cqueue, opcode};
use nix::libc::{EINVAL, iovec, msghdr};
use nix::sys::eventfd::EventFd;
use nix::sys::socket::accept;

/// Tells the child how to move bytes.
const ORDER: &str = "IO_URING_MOVES_BY";
const ROOM: usize = 4096;
/// Buffers for the kernel to choose from: one for each message of a connection.
const BUFFERS: u16 = 64;
const GROUP: u16 = 0;
/// Where the first of two buffers ends.
const CUT: usize = 7;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Way {
    /// `recv` and `send`
    Recv,
    /// `readv` into buffers that cut the request line, and `writev`
    Readv,
    /// `recvmsg` and `sendmsg`, the same
    Recvmsg,
    /// `recv` into a buffer of the kernel's choice
    Selected,
    /// One `recv` for all messages of a connection (Linux 6.0 and later)
    Multishot,
    /// `recv` and `send` by a worker thread of the kernel
    Worker,
    /// `recv` and `send` by a thread of the kernel that polls for them
    Polled,
    /// `recv` and `send` that come to their end in the middle of a `read` of something else
    Elsewhere,
}

impl Way {
    /// Those that the kernel knows. What it does not is said aloud.
    pub fn of_this_kernel() -> Vec<Self> {
        let mut ways = Self::value_variants().to_vec();
        ways.retain(|way| {
            let known = match way {
                // Before Linux 5.11 that thread knew no ordinary descriptors.
                Self::Polled => features().is_feature_sqpoll_nonfixed(),
                Self::Multishot => receives_many(),
                _ => true,
            };
            if !known {
                let line = format!("NOT RUN: {way:?}: this kernel's io_uring does not know it\n");
                io::stderr().write_all(line.as_bytes()).unwrap();
            }
            known
        });
        ways
    }
}

fn features() -> Parameters {
    IoUring::new(1).unwrap().params().clone()
}

/// Asks the kernel for a receive of many messages: Linux 6.0 and later.
fn receives_many() -> bool {
    let (mut client, server) = UnixStream::pair().unwrap();
    client.write_all(b"message").unwrap();
    let mut ring = Ring::new(Way::Multishot);
    let entry = opcode::RecvMulti::new(Fd(server.as_raw_fd()), GROUP).build();
    ring.submit(entry, Tag::Receive);
    ring.wait(Tag::Receive).result() != -EINVAL
}

/// Before Linux 5.12 they were, and belonged to no process.
pub fn workers_are_kernel_threads() -> bool {
    !IoUring::new(1)
        .unwrap()
        .params()
        .is_feature_native_workers()
}

pub struct Server {
    process: Process,
    pub address: Address,
}

impl Server {
    pub fn start(way: Way) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = Address::Tcp(listener.local_addr().unwrap());
        let (_, module) = module_path!().split_once("::").unwrap();
        let order = way.to_possible_value().unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args([&format!("{module}::moves"), "--exact", "--nocapture"])
            .env(ORDER, order.get_name())
            .stdin(OwnedFd::from(listener))
            .stdout(Stdio::null());
        let process = Process::start(&mut command, "");
        Self { process, address }
    }

    pub fn pid(&self) -> u64 {
        self.process.pid()
    }
}

/// The child's entry. Without an order in its environment it is a test like any other: each way moves what was sent.
#[test]
fn moves() {
    if let Ok(order) = std::env::var(ORDER) {
        let way = Way::from_str(&order, false).unwrap();
        loop {
            let connection = accept(io::stdin().as_raw_fd()).unwrap();
            // SAFETY: accept has just made this descriptor, and nobody else knows of it.
            let connection = unsafe { OwnedFd::from_raw_fd(connection) };
            Ring::new(way).serve(connection.as_raw_fd());
        }
    }
    for way in Way::of_this_kernel() {
        let (mut client, server) = UnixStream::pair().unwrap();
        client.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        Ring::new(way).serve(server.as_raw_fd());
        drop(server);
        let answers = io::read_to_string(client).unwrap();
        assert!(answers.ends_with("Served: 1\r\n\r\n"), "{way:?}: {answers}");
    }
}

/// What a completion belongs to.
#[derive(Clone, Copy, PartialEq)]
#[repr(u64)]
enum Tag {
    Provide,
    Receive,
    Send,
}

struct Ring {
    way: Way,
    ring: IoUring,
    /// Rings at each completion.
    bell: EventFd,
    buffers: Vec<u8>,
    /// A multishot receive is under way.
    armed: bool,
    completions: Vec<cqueue::Entry>,
}

impl Ring {
    fn new(way: Way) -> Self {
        let mut builder = IoUring::builder();
        if way == Way::Polled {
            builder.setup_sqpoll(1000);
        }
        let ring = builder.build(8).unwrap();
        let bell = EventFd::new().unwrap();
        ring.submitter().register_eventfd(bell.as_raw_fd()).unwrap();
        let mut ring = Self {
            way,
            ring,
            bell,
            buffers: vec![0; ROOM * usize::from(BUFFERS)],
            armed: false,
            completions: Vec::new(),
        };
        let start = ring.buffers.as_mut_ptr();
        let provide = opcode::ProvideBuffers::new(start, ROOM as i32, BUFFERS, GROUP, 0);
        ring.submit(provide.build(), Tag::Provide);
        assert!(ring.wait(Tag::Provide).result() >= 0);
        ring
    }

    /// Answers each message of a connection.
    fn serve(&mut self, connection: RawFd) {
        let mut served = 0;
        while let message @ [_, ..] = &*self.receive(Fd(connection)) {
            assert!(message.starts_with(b"GET /") && message.ends_with(b"\r\n\r\n"));
            served += 1;
            let answer =
                format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nServed: {served}\r\n\r\n");
            self.send(Fd(connection), answer.as_bytes());
        }
    }

    fn receive(&mut self, fd: Fd) -> Vec<u8> {
        let (mut first, mut second) = ([0; CUT], [0; ROOM]);
        let mut slices = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
        let mut header = header(slices.as_mut_ptr().cast(), slices.len());
        let selected = || opcode::Recv::new(fd, null_mut(), ROOM as u32).buf_group(GROUP);
        let entry = match self.way {
            Way::Readv => opcode::Readv::new(fd, header.msg_iov, 2).build(),
            Way::Recvmsg => opcode::RecvMsg::new(fd, &raw mut header).build(),
            Way::Selected => selected().build().flags(Flags::BUFFER_SELECT),
            Way::Multishot => opcode::RecvMulti::new(fd, GROUP).build(),
            Way::Recv | Way::Worker | Way::Polled | Way::Elsewhere => {
                opcode::Recv::new(fd, self.buffers.as_mut_ptr(), ROOM as u32).build()
            }
        };
        if !self.armed {
            self.submit(entry, Tag::Receive);
        }
        let completion = self.wait(Tag::Receive);
        self.armed = cqueue::more(completion.flags());
        let length = completion.result();
        assert!(length >= 0, "{}", io::Error::from_raw_os_error(-length));
        let chosen = cqueue::buffer_select(completion.flags()).unwrap_or(0);
        let mut message = match self.way {
            Way::Readv | Way::Recvmsg => [&first[..], &second[..]].concat(),
            _ => self.buffers[usize::from(chosen) * ROOM..].to_vec(),
        };
        message.truncate(length as usize);
        message
    }

    fn send(&mut self, fd: Fd, bytes: &[u8]) {
        let (first, second) = bytes.split_at(CUT);
        let slices = [IoSlice::new(first), IoSlice::new(second)];
        let header = header(slices.as_ptr().cast(), slices.len());
        let entry = match self.way {
            Way::Readv => opcode::Writev::new(fd, header.msg_iov, 2).build(),
            Way::Recvmsg => opcode::SendMsg::new(fd, &raw const header).build(),
            _ => opcode::Send::new(fd, bytes.as_ptr(), bytes.len() as u32).build(),
        };
        self.submit(entry, Tag::Send);
        assert_eq!(self.wait(Tag::Send).result(), bytes.len() as i32);
    }

    fn submit(&mut self, entry: Entry, tag: Tag) {
        let mut entry = entry.user_data(tag as u64);
        if self.way == Way::Worker {
            entry = entry.flags(Flags::ASYNC);
        }
        // SAFETY: every buffer lives until the completion has been waited for.
        unsafe { self.ring.submission().push(&entry) }.unwrap();
        self.ring.submit().unwrap();
    }

    fn wait(&mut self, tag: Tag) -> cqueue::Entry {
        loop {
            let found = self
                .completions
                .iter()
                .position(|c| c.user_data() == tag as u64);
            if let Some(found) = found {
                return self.completions.remove(found);
            }
            if self.way == Way::Elsewhere {
                self.bell.read().unwrap();
            } else {
                self.ring.submit_and_wait(1).unwrap();
            }
            self.completions.extend(self.ring.completion());
        }
    }
}

fn header(slices: *const iovec, count: usize) -> msghdr {
    // SAFETY: a message without name, control data and flags is all zeros.
    let mut header: msghdr = unsafe { zeroed() };
    header.msg_iov = slices.cast_mut();
    header.msg_iovlen = count;
    header
}
