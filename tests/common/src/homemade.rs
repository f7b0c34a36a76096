// SPDX-License-Identifier: Apache-2.0
//! Servers that are the test program itself, started again under any name: quick to start, and as many, as greedy or as
//! short-lived as a test needs. A test program that starts them has an entry for them:
//!
//! ```ignore
//! mod reader {
//!     #[test]
//!     #[ignore = "the entry of the servers that other tests start"]
//!     fn serves() {
//!         common::homemade::serve();
//!     }
//! }
//! ```

use std::env;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::libc;
use nix::sys::prctl;
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::unistd::{ForkResult, Uid, fork, pause, setuid};
use rustix::io::FdFlags;
use tempfile::TempDir;

use crate::agent::folder;
use crate::cgroup::ControlGroup;
use crate::load::{Address, Client, get};
use crate::process::Process;

const KIND: &str = "HOMEMADE";
const USER: &str = "HOMEMADE_USER";
/// The program to execute for who asks for `/exec`, and the connection that it takes over.
const NEXT: &str = "HOMEMADE_NEXT";
const CONNECTION: &str = "HOMEMADE_CONNECTION";
const ENTRY: [&str; 4] = ["reader::serves", "--exact", "--ignored", "--nocapture"];

/// The kernel's name of the processes that serve one connection each: the one that recent Node has.
const COMM: &std::ffi::CStr = c"MainThread";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One process with a thread for each connection. It answers with the status that the path is, after as many milliseconds as are asked for (`/200?ms=7`), and goes on as the next program after `/exec`.
    Lasting,
    /// A process for each connection, which ends after one answer.
    Forking,
    /// A process for each connection, which does nothing more after one answer, and stays.
    Holding,
}

pub struct Homemade {
    process: Process,
    pub address: Address,
    folder: TempDir,
}

impl Homemade {
    pub fn start(kind: Kind, name: &str) -> Self {
        Self::start_as(kind, name, 0, None)
    }

    /// Of a user and in a control group.
    pub fn start_as(kind: Kind, name: &str, user: u32, group: Option<&ControlGroup>) -> Self {
        let folder = folder();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = Address::Tcp(listener.local_addr().unwrap());
        let mut command = Command::new(own_program(folder.path(), name));
        command
            .args(ENTRY)
            .env(KIND, format!("{kind:?}"))
            .env(USER, user.to_string())
            .env(NEXT, next(folder.path()))
            .stdin(OwnedFd::from(listener))
            .stdout(Stdio::null());
        let process = Process::start(&mut command, "");
        if let Some(group) = group {
            fs::write(group.members(), process.pid().to_string()).unwrap();
        }
        Self {
            process,
            address,
            folder,
        }
    }

    pub fn pid(&self) -> u64 {
        self.process.pid()
    }

    /// Gives a name to the program that it executes for who asks for `/exec`.
    pub fn executes(&self, name: &str) {
        let program = own_program(self.folder.path(), name);
        std::os::unix::fs::symlink(program, next(self.folder.path())).unwrap();
    }

    pub fn port(&self) -> u16 {
        match &self.address {
            Address::Tcp(address) => address.port(),
            Address::Unix(_) => 0,
        }
    }

    /// So many requests, each on a connection of its own. Returns the pids of the processes that have answered.
    pub fn ask(&self, count: u64) -> Vec<u32> {
        let asked = (0..count).map(|_| {
            let answer = Client::connect(&self.address).ask(get("/200").as_bytes());
            assert_eq!(answer.status, 200);
            answer.header("pid").unwrap().parse().unwrap()
        });
        asked.collect()
    }
}

/// This test program under another name.
fn own_program(folder: &Path, name: &str) -> PathBuf {
    let program = folder.join(name);
    let own = env::current_exe().unwrap();
    if fs::hard_link(&own, &program).is_err() {
        fs::copy(&own, &program).unwrap();
    }
    program
}

fn next(folder: &Path) -> PathBuf {
    folder.join("next")
}

/// A name that no other program of this host has.
pub fn unique(name: &str) -> String {
    format!("{name}-{:x}-{:x}", std::process::id(), counter())
}

fn counter() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    COUNTER.fetch_add(1, Ordering::Relaxed)
}

/// What the test program is when it is started as a server. Otherwise it returns at once.
pub fn serve() {
    let Ok(kind) = env::var(KIND) else {
        return;
    };
    let user: u32 = env::var(USER).unwrap().parse().unwrap();
    if user != 0 && Uid::effective().is_root() {
        setuid(Uid::from_raw(user)).unwrap();
        // Which the kernel forgets with the user.
        prctl::set_pdeathsig(Signal::SIGTERM).unwrap();
    }
    let listener = TcpListener::from(std::io::stdin().as_fd().try_clone_to_owned().unwrap());
    if let Ok(number) = env::var(CONNECTION) {
        // SAFETY: who has executed this program says that the descriptor is open, and nobody else knows of it.
        let connection = unsafe { TcpStream::from_raw_fd(number.parse().unwrap()) };
        thread::spawn(move || answer_all(connection));
    }
    if kind != "Lasting" {
        // SAFETY: nothing is called when a child ends; nobody waits for it.
        unsafe { signal(Signal::SIGCHLD, SigHandler::SigIgn) }.unwrap();
    }
    loop {
        let (connection, _) = listener.accept().unwrap();
        if kind == "Lasting" {
            thread::spawn(move || answer_all(connection));
            continue;
        }
        // SAFETY: the thread that goes on in the child is the only one that ever does anything.
        if let ForkResult::Child = unsafe { fork() }.unwrap() {
            prctl::set_pdeathsig(Signal::SIGKILL).unwrap();
            prctl::set_name(COMM).unwrap();
            answer(&connection);
            if kind == "Holding" {
                loop {
                    pause();
                }
            }
            // SAFETY: it ends the process, and does nothing else.
            unsafe { libc::_exit(0) };
        }
    }
}

fn answer_all(connection: TcpStream) {
    while let Some(path) = answer(&connection) {
        if path == "/exec" {
            execute_next(&connection);
        }
    }
}

/// Answers one request, and returns what it has asked for. `None` at the end of the connection.
fn answer(mut connection: &TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0; 512];
        // One who asks waits for the answer, so that nothing of another request comes with it.
        match connection.read(&mut byte) {
            Ok(0) | Err(_) => return None,
            Ok(length) => head.extend(&byte[..length]),
        }
    }
    let head = String::from_utf8(head).unwrap();
    let path = head.split(' ').nth(1).unwrap();
    let (path, wait) = path.split_once("?ms=").unwrap_or((path, "0"));
    thread::sleep(Duration::from_millis(wait.parse().unwrap()));
    let status: u16 = path[1..].parse().unwrap_or(200);
    let pid = std::process::id();
    let answer = format!("HTTP/1.1 {status} Homemade\r\nPid: {pid}\r\nContent-Length: 0\r\n\r\n");
    connection.write_all(answer.as_bytes()).ok()?;
    Some(path.to_owned())
}

fn execute_next(connection: &TcpStream) -> ! {
    rustix::io::fcntl_setfd(connection, FdFlags::empty()).unwrap();
    // The name is that of the file, not of the link to it.
    let error = Command::new(env::var_os(NEXT).unwrap())
        .args(ENTRY)
        .env(CONNECTION, connection.as_raw_fd().to_string())
        .exec();
    panic!("{error}");
}
