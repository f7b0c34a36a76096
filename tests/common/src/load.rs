// SPDX-License-Identifier: Apache-2.0
//! Clients that count their own answers.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

/// Nothing blocks for ever.
const IO_LIMIT: Duration = Duration::from_secs(20);

#[derive(Clone, Debug)]
pub enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Address {
    pub fn url(&self) -> String {
        match self {
            Self::Tcp(address) => format!("http://{address}/"),
            Self::Unix(path) => panic!("{path:?} has no URL"),
        }
    }
}

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// One connection.
pub struct Client {
    stream: Box<dyn Stream>,
    inbox: Vec<u8>,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    headers: Vec<(String, String)>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = |(key, _): &&(String, String)| key.eq_ignore_ascii_case(name);
        self.headers.iter().find(found).map(|(_, value)| &**value)
    }
}

/// What both ends counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub answers: u64,
    /// The highest number in a `Served` header, by which a server says how many it has served.
    pub served: u64,
}

impl Tally {
    fn add(&mut self, answer: &Answer) {
        assert_eq!(answer.status, 200, "{answer:?}");
        let served = answer.header("served").map_or(0, |n| n.parse().unwrap());
        self.answers += 1;
        self.served = self.served.max(served);
    }
}

impl Client {
    pub fn connect(address: &Address) -> Self {
        let stream: Box<dyn Stream> = match address {
            Address::Tcp(address) => {
                let stream = TcpStream::connect(address).unwrap();
                stream.set_nodelay(true).unwrap();
                stream.set_read_timeout(Some(IO_LIMIT)).unwrap();
                Box::new(stream)
            }
            Address::Unix(path) => {
                let stream = UnixStream::connect(path).unwrap();
                stream.set_read_timeout(Some(IO_LIMIT)).unwrap();
                Box::new(stream)
            }
        };
        let inbox = Vec::new();
        Self { stream, inbox }
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    pub fn ask(&mut self, request: &[u8]) -> Answer {
        self.send(request);
        self.answer()
    }

    /// The next answer, its body read and dropped.
    pub fn answer(&mut self) -> Answer {
        loop {
            let mut headers = [httparse::EMPTY_HEADER; 32];
            let mut response = httparse::Response::new(&mut headers);
            let status = response.parse(&self.inbox).unwrap();
            if let httparse::Status::Complete(head) = status {
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                let answer = Answer {
                    status: response.code.unwrap(),
                    headers: (response.headers.iter())
                        .map(|header| (header.name.to_owned(), text(header.value)))
                        .collect(),
                };
                let length = answer.header("content-length").expect("a body's length");
                self.take(head + length.parse::<usize>().unwrap());
                return answer;
            }
            self.fill();
        }
    }

    /// The next line, of a server that does not speak HTTP.
    pub fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.inbox.iter().position(|byte| *byte == b'\n') {
                return String::from_utf8(self.take(end + 1)).unwrap();
            }
            self.fill();
        }
    }

    pub fn take(&mut self, length: usize) -> Vec<u8> {
        while self.inbox.len() < length {
            self.fill();
        }
        self.inbox.drain(..length).collect()
    }

    fn fill(&mut self) {
        let mut buffer = [0; 4096];
        let length = loop {
            match self.stream.read(&mut buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                outcome => break outcome.unwrap(),
            }
        };
        assert_ne!(length, 0, "closed by the server");
        self.inbox.extend(&buffer[..length]);
    }
}

pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")
}

/// `n` requests on one connection.
pub fn keep_alive(address: &Address, n: u64) -> Tally {
    let mut client = Client::connect(address);
    let mut tally = Tally::default();
    for i in 0..n {
        tally.add(&client.ask(get(&format!("/?{i}")).as_bytes()));
    }
    tally
}

/// `n` requests, each on a connection of its own.
pub fn one_by_one(address: &Address, n: u64) -> Tally {
    let mut tally = Tally::default();
    for i in 0..n {
        tally.add(&Client::connect(address).ask(get(&format!("/?{i}")).as_bytes()));
    }
    tally
}

/// `n` requests on each of so many connections at a time.
pub fn parallel(address: &Address, connections: u64, n: u64) -> Tally {
    thread::scope(|scope| {
        let clients: Vec<_> = (0..connections)
            .map(|_| scope.spawn(|| keep_alive(address, n)))
            .collect();
        let tallies = clients.into_iter().map(|client| client.join().unwrap());
        tallies.fold(Tally::default(), |sum, tally| Tally {
            answers: sum.answers + tally.answers,
            served: sum.served.max(tally.served),
        })
    })
}

/// A client program that has ended.
pub struct Ran {
    pub pid: u64,
    pub answers: u64,
}

/// `n` requests by curl, on one connection.
pub fn curl(address: &Address, n: u64) -> Ran {
    let url = format!("{}?[1-{n}]", address.url());
    let options = ["--silent", "--output", "/dev/null"];
    let (pid, output) =
        run(Command::new("curl")
            .args(options)
            .args(["--write-out", "%{http_code}\n", &url]));
    let answers = output.lines().filter(|line| *line == "200").count() as u64;
    Ran { pid, answers }
}

/// As many requests as wrk can make in a second. What is on its way at the end is not in its count.
pub fn wrk(address: &Address, connections: u64) -> Ran {
    let connections = format!("--connections={connections}");
    let (pid, output) = run(Command::new("wrk")
        .args(["--threads=1", "--duration=1s", &connections])
        .arg(address.url()));
    let (before, _) = output.split_once(" requests in ").expect(&output);
    let answers = before.rsplit(char::is_whitespace).next().unwrap();
    let answers = answers.parse().unwrap();
    Ran { pid, answers }
}

fn run(command: &mut Command) -> (u64, String) {
    let child = command
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error} (is its package installed?)"));
    let pid = child.id().into();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", output.status);
    (pid, String::from_utf8(output.stdout).unwrap())
}
