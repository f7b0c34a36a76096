// SPDX-License-Identifier: Apache-2.0
//! A server process of the tests' own, which receives by one named system call.
//!
//! It is the very test program started again, with the listening socket as its standard input: no
//! port is guessed, and clients can connect before the process is up. It answers once for each
//! message it receives, so a client that waits for each answer knows where each receive began.

use std::fs::{self, File};
use std::io::{IoSliceMut, Read, Seek, Write};
use std::net::{TcpListener, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use clap::ValueEnum;
use nix::sys::socket::{MsgFlags, MultiHeaders, accept, recv, recvmmsg, recvmsg};
use nix::sys::uio::readv;
use nix::unistd::read;
use tempfile::TempDir;

use crate::agent::folder;
use crate::load::Address;
use crate::process::Process;

/// The entry of readers: it has to be in the root of a test program that starts them.
#[macro_export]
macro_rules! reader {
    () => {
        mod reader {
            #[test]
            #[ignore = "the entry of the servers that other tests start"]
            fn receives() {
                $crate::reader::serve_if_ordered();
            }
        }
    };
}

const ENTRY: &str = "reader::receives";
/// Tells the child how to receive.
const ORDER: &str = "READER_RECEIVES_BY";
/// The most a message of `recvmmsg` holds, so that a client can fill two with one send.
pub const MESSAGE: usize = 64;

/// Readers start one after the other, so that none gets the pid that is meant for another.
static STARTING: Mutex<()> = Mutex::new(());

const LAST_PID: &str = "/proc/sys/kernel/ns_last_pid";

static SERVED: AtomicU64 = AtomicU64::new(0);

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Receive {
    Read,
    Recvfrom,
    /// Into two buffers, the first of which takes a whole request line.
    Readv,
    /// Into buffers that cut the request line twice.
    ReadvCut,
    /// As many small buffers as it takes.
    ReadvSmall,
    Recvmsg,
    RecvmsgCut,
    /// Up to two messages.
    Recvmmsg,
    /// A look at what is there by each call that can, before it is read.
    Peek,
    /// A read, and then reads of requests from all that is no stream socket.
    Elsewhere,
}

pub struct Reader {
    process: Process,
    pub address: Address,
    _folder: Option<TempDir>,
}

impl Reader {
    pub fn tcp(receive: Receive) -> Self {
        Self::inet(receive, "127.0.0.1:0")
    }

    pub fn tcp6(receive: Receive) -> Self {
        Self::inet(receive, "[::1]:0")
    }

    /// Started while the kernel is told that `pid` comes next. `None` if a thread got it before.
    pub fn tcp_with_pid(receive: Receive, pid: u64) -> Option<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = Address::Tcp(listener.local_addr().unwrap());
        let _starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
        let last = fs::read_to_string(LAST_PID).unwrap();
        fs::write(LAST_PID, (pid - 1).to_string()).expect("setting the next pid needs root");
        let reader = Self::spawn(receive, listener.into(), address, None);
        // Back at once, so that others do not get used pids.
        fs::write(LAST_PID, last.trim()).unwrap();
        (reader.pid() == pid).then_some(reader)
    }

    fn inet(receive: Receive, address: &str) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = Address::Tcp(listener.local_addr().unwrap());
        Self::start(receive, listener.into(), address, None)
    }

    pub fn unix(receive: Receive) -> Self {
        let folder = folder();
        let path = folder.path().join("reader.sock");
        let listener = UnixListener::bind(&path).unwrap();
        Self::start(receive, listener.into(), Address::Unix(path), Some(folder))
    }

    fn start(
        receive: Receive,
        listener: OwnedFd,
        address: Address,
        folder: Option<TempDir>,
    ) -> Self {
        let _starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
        Self::spawn(receive, listener, address, folder)
    }

    fn spawn(
        receive: Receive,
        listener: OwnedFd,
        address: Address,
        folder: Option<TempDir>,
    ) -> Self {
        let order = receive.to_possible_value().unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args([ENTRY, "--exact", "--ignored", "--nocapture"])
            .env(ORDER, order.get_name())
            .stdin(listener)
            .stdout(Stdio::null());
        let process = Process::start(&mut command, "");
        Self {
            process,
            address,
            _folder: folder,
        }
    }

    pub fn pid(&self) -> u64 {
        self.process.pid()
    }
}

/// What the entry does in a child, which has its order in its environment.
pub fn serve_if_ordered() {
    if let Ok(order) = std::env::var(ORDER) {
        serve(Receive::from_str(&order, false).unwrap());
    }
}

/// Serves until it is killed.
fn serve(receive: Receive) -> ! {
    let listener = std::io::stdin();
    loop {
        let connection = accept(listener.as_raw_fd()).unwrap();
        // SAFETY: accept has just made this descriptor, and nobody else knows of it.
        let connection = unsafe { OwnedFd::from_raw_fd(connection) };
        thread::spawn(move || converse(receive, &mut connection.into()));
    }
}

fn converse(receive: Receive, connection: &mut File) {
    loop {
        let messages = receive.messages(&*connection);
        if messages.is_empty() {
            return;
        }
        let answers: String = messages.iter().map(|message| answer(message)).collect();
        // A client that went away without its answer is no concern of the server.
        let _ = connection.write_all(answers.as_bytes());
    }
}

fn answer(message: &[u8]) -> String {
    if !message.windows(8).any(|window| window == b" HTTP/1.") {
        return "+OK\r\n".into();
    }
    let served = SERVED.fetch_add(1, Ordering::Relaxed) + 1;
    // A 200 would turn the connection into a tunnel.
    let connect = message.starts_with(b"CONNECT ");
    let status = if connect {
        "405 Method Not Allowed"
    } else {
        "200 OK"
    };
    format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nServed: {served}\r\n\r\n")
}

impl Receive {
    /// What one call gives: one message, several by `recvmmsg`, none at the end of the stream.
    fn messages(self, connection: impl AsFd) -> Vec<Vec<u8>> {
        let connection = connection.as_fd();
        let socket = connection.as_raw_fd();
        let message = match self {
            Self::Read => into_buffers(&[4096], |v| read(connection, &mut v[0])),
            Self::Recvfrom => into_buffers(&[4096], |v| recv(socket, &mut v[0], MsgFlags::empty())),
            Self::Readv => into_buffers(&[512, 4096], |v| readv(connection, v)),
            Self::ReadvCut => into_buffers(&[7, 5, 4096], |v| readv(connection, v)),
            Self::ReadvSmall => into_buffers(&[3; 100], |v| readv(connection, v)),
            Self::Recvmsg => into_buffers(&[512, 4096], |v| {
                Ok(recvmsg::<()>(socket, v, None, MsgFlags::empty())?.bytes)
            }),
            Self::RecvmsgCut => into_buffers(&[2, 9, 4096], |v| {
                Ok(recvmsg::<()>(socket, v, None, MsgFlags::empty())?.bytes)
            }),
            Self::Recvmmsg => return two_messages(socket),
            Self::Peek => {
                into_buffers(&[4096], |v| recv(socket, &mut v[0], MsgFlags::MSG_PEEK));
                into_buffers(&[512, 4096], |v| {
                    Ok(recvmsg::<()>(socket, v, None, MsgFlags::MSG_PEEK)?.bytes)
                });
                into_buffers(&[4096], |v| read(connection, &mut v[0]))
            }
            Self::Elsewhere => {
                read_elsewhere();
                into_buffers(&[4096], |v| read(connection, &mut v[0]))
            }
        };
        if message.is_empty() {
            Vec::new()
        } else {
            vec![message]
        }
    }
}

/// What a call receives into buffers of these sizes. A connection that breaks is one that ended.
fn into_buffers(
    sizes: &[usize],
    call: impl FnOnce(&mut [IoSliceMut]) -> nix::Result<usize>,
) -> Vec<u8> {
    let mut buffers: Vec<_> = sizes.iter().map(|size| vec![0; *size]).collect();
    let mut slices: Vec<_> = buffers.iter_mut().map(|b| IoSliceMut::new(b)).collect();
    let length = call(&mut slices).unwrap_or(0);
    let mut message = buffers.concat();
    message.truncate(length);
    message
}

fn two_messages(socket: i32) -> Vec<Vec<u8>> {
    let mut buffers = [[0; MESSAGE]; 2];
    let mut slices: Vec<_> = (buffers.iter_mut()).map(|b| [IoSliceMut::new(b)]).collect();
    let mut headers = MultiHeaders::<()>::preallocate(slices.len(), None);
    let flags = MsgFlags::MSG_WAITFORONE;
    let lengths: Vec<_> = match recvmmsg(socket, &mut headers, slices.iter_mut(), flags, None) {
        Ok(messages) => messages.map(|message| message.bytes).collect(),
        Err(_) => Vec::new(),
    };
    buffers
        .iter()
        .zip(lengths)
        .filter(|(_, length)| *length > 0)
        .map(|(buffer, length)| buffer[..length].to_vec())
        .collect()
}

/// Reads requests from a file, a pipe, and datagrams.
fn read_elsewhere() {
    let request = b"GET /elsewhere HTTP/1.1\r\nHost: test\r\n\r\n";
    let mut buffer = [0; 4096];

    let mut file = tempfile::tempfile().unwrap();
    file.write_all(request).unwrap();
    file.rewind().unwrap();
    assert_eq!(file.read(&mut buffer).unwrap(), request.len());

    let (mut from, mut to) = std::io::pipe().unwrap();
    to.write_all(request).unwrap();
    assert_eq!(from.read(&mut buffer).unwrap(), request.len());

    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.connect(udp.local_addr().unwrap()).unwrap();
    let (unix, peer) = UnixDatagram::pair().unwrap();
    for _ in 0..2 {
        udp.send(request).unwrap();
        peer.send(request).unwrap();
    }
    assert_eq!(udp.recv(&mut buffer).unwrap(), request.len());
    assert_eq!(read(&udp, &mut buffer).unwrap(), request.len());
    assert_eq!(unix.recv(&mut buffer).unwrap(), request.len());
    assert_eq!(read(&unix, &mut buffer).unwrap(), request.len());
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn each_way_of_receiving_gives_what_was_sent() {
        let request = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n";
        for receive in Receive::value_variants() {
            let (mut client, server) = UnixStream::pair().unwrap();
            client.write_all(request).unwrap();
            assert_eq!(receive.messages(&server), [request], "{receive:?}");
            drop(client);
            assert!(receive.messages(&server).is_empty(), "{receive:?}");
        }
    }
}
