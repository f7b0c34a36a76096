// SPDX-License-Identifier: Apache-2.0
//! Two threads that receive on one socket. One has taken its first bytes and waits in the kernel for the rest, while the other takes
//! what comes next: what the number of the socket's bytes then tells of the latter is not that bytes passed the programs.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, RawFd};
use std::thread;
use std::time::Duration;

use libc::{FIONREAD, SO_RCVLOWAT, SOL_SOCKET, c_int, ioctl, setsockopt, socklen_t};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};

use super::cast::{ANSWER, REQUEST, Scene, exchange, tcp};
use super::counts;

const TIMES: u64 = 5;
/// Requests in each time: one by each thread, the one with a body, and one that nothing overtakes.
const REQUESTS: u64 = 4;
/// The first bytes of what the waiting thread receives.
const BEGINNING: usize = 10;
/// Fewer bytes do not wake who waits for more.
const ASLEEP: c_int = 4096;

pub fn what_two_threads_receive_on_one_socket_counts_once(backend: &str) {
    counts(backend, Scene::Shared, TIMES * REQUESTS);
}

pub fn act() {
    let (mut client, mut server) = tcp();
    let body = [b"x".as_slice(); 64].concat();
    let head = format!(
        "POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n",
        2 * body.len()
    );
    for _ in 0..TIMES {
        overtaken(&mut client, &server, REQUEST, REQUEST);
        for _ in 0..2 {
            answer(&mut client, &mut server);
        }
        client.write_all(head.as_bytes()).unwrap();
        server.read_exact(&mut vec![0; head.len()]).unwrap();
        overtaken(&mut client, &server, &body, &body);
        answer(&mut client, &mut server);
        exchange(&mut client, &mut server);
    }
}

fn answer(client: &mut TcpStream, server: &mut TcpStream) {
    server.write_all(ANSWER).unwrap();
    client.read_exact(&mut [0; ANSWER.len()]).unwrap();
}

/// One thread receives `slow`, but for its end before another one receives all of `fast`.
fn overtaken(client: &mut TcpStream, server: &TcpStream, slow: &[u8], fast: &[u8]) {
    let socket = server.as_raw_fd();
    let (beginning, end) = slow.split_at(BEGINNING);
    client.write_all(beginning).unwrap();
    wait_until(|| queued(socket) == beginning.len());
    thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let mut received = vec![0; slow.len()];
            let length = recv(socket, &mut received, MsgFlags::MSG_WAITALL).unwrap();
            assert_eq!(&received[..length], slow);
        });
        wait_until(|| queued(socket) == 0);
        wake_by(socket, ASLEEP);
        client.write_all(fast).unwrap();
        wait_until(|| queued(socket) == fast.len());
        let mut received = vec![0; fast.len()];
        let length = recv(socket, &mut received, MsgFlags::MSG_DONTWAIT).unwrap();
        assert_eq!(&received[..length], fast);
        wake_by(socket, 1);
        client.write_all(end).unwrap();
        waiting.join().unwrap();
    });
}

/// How many bytes wait to be received.
fn queued(socket: RawFd) -> usize {
    let mut bytes: c_int = 0;
    // SAFETY: the kernel writes one number, which outlives the call.
    let returned = unsafe { ioctl(socket, FIONREAD, &raw mut bytes) };
    Errno::result(returned).unwrap();
    bytes.try_into().unwrap()
}

/// Who waits for bytes is woken when there are so many.
fn wake_by(socket: RawFd, bytes: c_int) {
    let value = (&raw const bytes).cast();
    // SAFETY: the kernel reads one number, which outlives the call.
    let returned = unsafe {
        let size = size_of::<c_int>() as socklen_t;
        setsockopt(socket, SOL_SOCKET, SO_RCVLOWAT, value, size)
    };
    Errno::result(returned).unwrap();
}

fn wait_until(come: impl Fn() -> bool) {
    while !come() {
        thread::sleep(Duration::from_millis(1));
    }
}
