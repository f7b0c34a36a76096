// SPDX-License-Identifier: Apache-2.0
//! The real agent as a guarded child process, and plain HTTP to its socket.

use std::fs::{self, File, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::process::{spawn, tie_to_parent};

/// How long it may take to say that it is ready.
const SAYS_SO: Duration = Duration::from_secs(2);
/// Loading may take a while on a busy or an emulated machine: the verifier walks every program.
const START_LIMIT: Duration = Duration::from_secs(300);
const STOP_LIMIT: Duration = Duration::from_secs(20);
const IO_LIMIT: Duration = Duration::from_secs(10);

/// What an agent would take for its own.
const ELSEWHERE: [&str; 5] = [
    "NOTIFY_SOCKET",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
    "SCOPE_HOSTNAME",
    "SCOPE_HTTP_CONFIG",
];

/// The agent's program: cargo says where it is to test programs alone, while they are compiled.
#[macro_export]
macro_rules! agent {
    () => {
        $crate::agent::Program::at(env!("CARGO_BIN_EXE_scope-http-statistics"))
    };
}

/// The agent's program, which [`agent!`](crate::agent!) finds.
#[derive(Clone, Copy)]
pub struct Program(&'static str);

impl Program {
    pub const fn at(path: &'static str) -> Self {
        Self(path)
    }

    pub fn path(self) -> &'static str {
        self.0
    }

    /// Starts an agent with a plugins root of its own, and waits until it is ready.
    pub fn start(self, args: &[&str]) -> Agent {
        let folder = folder();
        let root = folder.path().join("plugins");
        Agent::launch(self.command(), &root, args, folder).unwrap_or_else(Ended::panic)
    }

    /// Starts an agent that shares `root` with others, and waits until it is ready.
    pub fn start_in(self, root: &Path, args: &[&str]) -> Agent {
        Agent::launch(self.command(), root, args, folder()).unwrap_or_else(Ended::panic)
    }

    /// Free of what the tester's environment may say, and of a port that it would have to share with the agents of other
    /// tests.
    pub fn command(self) -> Command {
        let mut command = Command::new(self.0);
        for name in ELSEWHERE {
            command.env_remove(name);
        }
        command.env("SCOPE_HTTP_LISTEN", "none");
        command
    }

    /// Runs an agent that is expected to end by itself.
    pub fn run(self, args: &[&str]) -> Output {
        let mut command = self.command();
        command.args(args);
        output_of(command)
    }
}

/// A running agent. It is killed when dropped.
pub struct Agent {
    child: Child,
    root: PathBuf,
    log: PathBuf,
    _folder: TempDir,
}

impl Agent {
    /// Starts an agent of the caller's making, and waits until it is ready. Fails with the only error of one that ends instead.
    pub fn try_start(command: Command, args: &[&str]) -> Result<Self, String> {
        let folder = folder();
        // Open to an agent without rights.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
        let root = folder.path().join("plugins");
        Self::launch(command, &root, args, folder).map_err(|ended| ended.only_error())
    }

    fn launch(
        mut command: Command,
        root: &Path,
        args: &[&str],
        folder: TempDir,
    ) -> Result<Self, Ended> {
        let log = folder.path().join("log");
        command
            .arg("--plugins-root")
            .arg(root)
            .args(args)
            .stdin(Stdio::null())
            .stderr(File::create(&log).unwrap());
        let child = tie_to_parent(&mut command, Signal::KILL).spawn().unwrap();
        let agent = Self {
            child,
            root: root.to_owned(),
            log,
            _folder: folder,
        };
        agent.when_ready()
    }

    fn when_ready(mut self) -> Result<Self, Ended> {
        let start = Instant::now();
        while UnixStream::connect(self.socket()).is_err() {
            if let Some(status) = self.child.try_wait().unwrap() {
                let log = self.log();
                return Err(Ended { status, log });
            }
            assert!(
                start.elapsed() < START_LIMIT,
                "no socket after {START_LIMIT:?}:\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        // It says so right after that. One whose stderr was taken away says nothing.
        let ready = Instant::now();
        while !self.log().contains("backend ") && ready.elapsed() < SAYS_SO {
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(self)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn socket(&self) -> PathBuf {
        socket_in(&self.root)
    }

    /// Everything the agent has written to stderr so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    pub fn get(&self, path: &str) -> Response {
        request(&self.socket(), "GET", path, &[])
    }

    pub fn report(&self) -> serde_json::Value {
        serde_json::from_slice(&self.report_text()).unwrap()
    }

    pub fn report_text(&self) -> Vec<u8> {
        let response = self.get("/report");
        assert_eq!(response.status, 200, "{response:?}");
        response.body
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Sends a signal and waits for the end: the status and how long it took.
    pub fn stop(&mut self, signal: Signal) -> (ExitStatus, Duration) {
        let start = Instant::now();
        self.signal(signal);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status, start.elapsed());
            }
            assert!(start.elapsed() < STOP_LIMIT, "ignores {signal:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Both fail only where the agent has already ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a program to its end, which has to come in time.
pub fn output_of(mut command: Command) -> Output {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = spawn(&mut command).unwrap();
    let pid = Pid::from_child(&child);
    let (ended, end) = mpsc::channel();
    std::thread::spawn(move || ended.send(child.wait_with_output().unwrap()));
    end.recv_timeout(START_LIMIT).unwrap_or_else(|_| {
        kill_process(pid, Signal::KILL).unwrap();
        panic!("{command:?} does not end: {:?}", end.recv());
    })
}

pub fn socket_in(root: &Path) -> PathBuf {
    root.join("http-statistics/http-statistics.sock")
}

/// A folder of the test's own, with a path short enough for a socket.
pub fn folder() -> TempDir {
    tempfile::Builder::new()
        .prefix("http-stat-")
        .tempdir_in("/tmp")
        .unwrap()
}

/// The only error of an agent that has ended.
pub fn only_error(output: &Output) -> String {
    let ended = Ended {
        status: output.status,
        log: String::from_utf8_lossy(&output.stderr).into_owned(),
    };
    ended.only_error()
}

/// An agent that has ended instead of becoming ready.
struct Ended {
    status: ExitStatus,
    log: String,
}

impl Ended {
    fn panic<T>(self) -> T {
        panic!("the agent ended with {}:\n{}", self.status, self.log)
    }

    /// Asserts exit code 1 and exactly one line that is an error, which is returned.
    fn only_error(&self) -> String {
        let log = &self.log;
        assert_eq!(self.status.code(), Some(1), "{log}");
        let mut errors = log.lines().filter(|line| line.starts_with("error: "));
        let error = errors.next().unwrap_or_else(|| panic!("no error: {log}"));
        assert_eq!(errors.next(), None, "{log}");
        assert_eq!(log.lines().last(), Some(error), "{log}");
        error.to_owned()
    }
}

#[derive(Debug)]
pub struct Response {
    pub status: u16,
    /// The status line and the header lines.
    pub head: String,
    pub body: Vec<u8>,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// One request on a connection of its own.
pub fn request(socket: &Path, method: &str, path: &str, headers: &[&str]) -> Response {
    let mut stream = connect(socket);
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: plugin\r\nConnection: close\r\n");
    for header in headers {
        head.push_str(header);
        head.push_str("\r\n");
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    parse(&bytes)
}

/// A connection on which nothing blocks for ever.
pub fn connect(socket: &Path) -> UnixStream {
    let stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(IO_LIMIT)).unwrap();
    stream.set_write_timeout(Some(IO_LIMIT)).unwrap();
    stream
}

pub fn parse(bytes: &[u8]) -> Response {
    let end = bytes
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .unwrap_or_else(|| panic!("no response: {:?}", String::from_utf8_lossy(bytes)));
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Response {
        status,
        head,
        body: bytes[end + 4..].to_vec(),
    }
}
