// SPDX-License-Identifier: Apache-2.0
//! A server process that plays its part of random conversations, transfer by transfer.
//!
//! It is this very test program started again, with the listening socket as its standard input. The
//! agent leaves its own process out, and the test is the agent.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use common::agent::folder;
use common::process::tie_to_parent;
use fastrand::Rng;
use http1_fuzz::transfer::{Conversation, Direction};
use http1_fuzz::trial::Kind;
use nix::sys::socket::{accept, setsockopt, sockopt};
use rustix::io::ioctl_fionread;
use rustix::process::Signal;
use tempfile::TempDir;

use super::calls::Caller;

/// Tells the child which conversations to play.
const ORDER: &str = "CONVERSATIONS_TO_SERVE";
/// Enough for the largest receive to be there at once.
const ROOM: usize = 8 << 20;
const LIMIT: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, Debug)]
pub enum Family {
    Inet,
    Inet6,
    Unix,
}

enum Address {
    Tcp(SocketAddr),
    Unix(
        PathBuf,
        #[expect(dead_code, reason = "keeps the folder")] TempDir,
    ),
}

pub struct Server {
    child: Child,
    log: BufReader<ChildStdout>,
    address: Address,
}

/// Which kind of conversation a seed stands for: most are whole. None is joined, since a new connection is
/// seen from its first byte.
pub fn kind(seed: u64) -> Kind {
    match seed % 8 {
        0 => Kind::Blinded,
        1 => Kind::OtherProtocol,
        _ => Kind::Whole,
    }
}

impl Server {
    pub fn start(family: Family, seeds: &Range<u64>) -> Self {
        let (listener, address) = listen(family);
        setsockopt(&listener, sockopt::RcvBufForce, &ROOM).unwrap();
        let (_, module) = module_path!().split_once("::").unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args([&format!("{module}::plays"), "--exact", "--nocapture"])
            .env(ORDER, format!("{}-{}", seeds.start, seeds.end))
            .stdin(listener)
            .stdout(Stdio::piped());
        let mut child = tie_to_parent(&mut command, Signal::KILL).spawn().unwrap();
        let log = BufReader::new(child.stdout.take().unwrap());
        Self {
            child,
            log,
            address,
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn connect(&self) -> OwnedFd {
        let client: OwnedFd = match &self.address {
            Address::Tcp(address) => {
                let client = TcpStream::connect(address).unwrap();
                client.set_nodelay(true).unwrap();
                client.into()
            }
            Address::Unix(path, _) => UnixStream::connect(path).unwrap().into(),
        };
        setsockopt(&client, sockopt::SndBufForce, &ROOM).unwrap();
        client
    }

    /// Waits until a conversation has been played.
    pub fn wait_for(&mut self, seed: u64) {
        let played = format!("played {seed}\n");
        let mut line = String::new();
        while !line.ends_with(&played) {
            line.clear();
            let length = self.log.read_line(&mut line).unwrap();
            assert!(length > 0, "the server ended in conversation {seed}");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only where the child has already ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn listen(family: Family) -> (OwnedFd, Address) {
    let address = match family {
        Family::Inet => "127.0.0.1:0",
        Family::Inet6 => "[::1]:0",
        Family::Unix => {
            let folder = folder();
            let path = folder.path().join("server.sock");
            let listener = UnixListener::bind(&path).unwrap();
            return (listener.into(), Address::Unix(path, folder));
        }
    };
    let listener = TcpListener::bind(address).unwrap();
    // Accepted sockets inherit it, as they do the size of the buffer.
    setsockopt(&listener, sockopt::TcpNoDelay, &true).unwrap();
    let address = Address::Tcp(listener.local_addr().unwrap());
    (listener.into(), address)
}

/// The child's entry. Without an order in its environment it is a test like any other: both ends of a
/// conversation come to its end.
#[test]
fn plays() {
    if let Ok(order) = std::env::var(ORDER) {
        let (start, end) = order.split_once('-').unwrap();
        serve(start.parse().unwrap()..end.parse().unwrap());
        return;
    }
    for seed in 0..8 {
        let (conversation, _) = kind(seed).conversation(seed);
        let (client, server) = UnixStream::pair().unwrap();
        setsockopt(&client, sockopt::SndBufForce, &ROOM).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| super::client::play(client.into(), &conversation));
            play(server.into(), &conversation, seed);
        });
    }
}

fn serve(seeds: Range<u64>) {
    for seed in seeds {
        let (conversation, _) = kind(seed).conversation(seed);
        let connection = accept(std::io::stdin().as_raw_fd()).unwrap();
        // SAFETY: accept has just made this descriptor, and nobody else knows of it.
        let connection = unsafe { OwnedFd::from_raw_fd(connection) };
        play(connection, &conversation, seed);
        println!("played {seed}");
    }
}

fn play(connection: OwnedFd, conversation: &Conversation, seed: u64) {
    let mut caller = Caller {
        socket: connection.as_fd(),
        rng: Rng::with_seed(seed),
        // Where bytes are hidden, the cuts decide what counts.
        messages: if matches!(kind(seed), Kind::Blinded) {
            1
        } else {
            4
        },
    };
    let mut transfers = conversation.transfers.iter().peekable();
    while let Some(transfer) = transfers.next() {
        let bytes = conversation.bytes(transfer);
        match (transfer.direction, transfer.readable) {
            (Direction::Receive, readable) => {
                wait_for(&caller, bytes.len());
                // The client sends nothing more before it is answered.
                let last = transfers
                    .peek()
                    .is_none_or(|next| next.direction == Direction::Send);
                if readable {
                    let spare = if last { caller.rng.usize(..5000) } else { 0 };
                    assert_eq!(caller.receive(bytes.len(), spare), bytes);
                } else {
                    caller.discard(bytes.len());
                }
            }
            (Direction::Send, true) => caller.send(bytes),
            (Direction::Send, false) => caller.send_unseen(bytes),
        }
    }
}

fn wait_for(caller: &Caller, length: usize) {
    let start = Instant::now();
    while ioctl_fionread(caller.socket).unwrap() < length as u64 {
        assert!(start.elapsed() < LIMIT, "waited for {length} bytes");
        std::thread::yield_now();
    }
}
