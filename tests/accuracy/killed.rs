// SPDX-License-Identifier: Apache-2.0
//! A server that is killed while it serves. Each connection has one request on its way at most, so there
//! are as many as connections whose fate nobody but the server could tell.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use common::load::{Address, get};
use common::servers::Server;
use rustix::process::{Pid, Signal, kill_process};

use crate::answers::Answers;
use crate::audit::{Books, Entry};
use crate::witness::tree;

pub const CONNECTIONS: u64 = 4;
const ENOUGH: u64 = 401;

pub fn kill(server: &Server, books: &mut Books) -> Entry {
    let completed = AtomicU64::new(0);
    thread::scope(|scope| {
        // All are connected before the server is killed, however late a thread may begin.
        let streams: Vec<_> = (0..CONNECTIONS).map(|_| connect(&server.address)).collect();
        for stream in streams {
            scope.spawn(|| ask_until_it_breaks(stream, &completed));
        }
        while completed.load(Ordering::Relaxed) < ENOUGH {
            thread::sleep(Duration::from_millis(1));
        }
        for pid in tree(server.pid() as u32) {
            let pid = Pid::from_raw(pid as i32).unwrap();
            kill_process(pid, Signal::KILL).unwrap();
        }
    });
    books.close(Some(Answers::of("GET", 200, completed.into_inner())))
}

/// Every answer is complete, or its request is the one on its way. Servers log before or after they answer.
pub fn agrees(entry: &Entry) -> bool {
    let completed = entry.client.as_ref().map_or(0, Answers::total);
    let most = completed + CONNECTIONS;
    let logged = entry.log.total();
    logged + CONNECTIONS >= completed
        && entry.counts.iter().all(|count| {
            let answered = count.answers.total();
            completed <= answered
                && answered.max(logged) <= count.requests
                && count.requests <= most
                && count.answers == Answers::of("GET", 200, answered)
        })
}

fn connect(address: &Address) -> TcpStream {
    let Address::Tcp(address) = address else {
        panic!("{address:?} is no TCP address");
    };
    TcpStream::connect(address).unwrap()
}

fn ask_until_it_breaks(mut stream: TcpStream, completed: &AtomicU64) {
    let mut buffer = [0; 4096];
    while stream.write_all(get("/").as_bytes()).is_ok() {
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\nok\n") {
            match stream.read(&mut buffer) {
                Ok(length) if length > 0 => answer.extend(&buffer[..length]),
                _ => return,
            }
        }
        completed.fetch_add(1, Ordering::Relaxed);
    }
}
