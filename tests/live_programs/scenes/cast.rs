// SPDX-License-Identifier: Apache-2.0
//! Starts a scene: this very test program once more, which plays both ends. The agent leaves its own process out, and the test is
//! the agent.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, ChildStdout, Command, Stdio};

use clap::ValueEnum;
use common::agent::folder;
use common::process::tie_to_parent;
use rustix::process::Signal;

use super::{dirty, durations, redirected, shared, strangers, streams};

/// Tells the child which scene to play.
const ORDER: &str = "SCENE_TO_PLAY";
/// Begins what a child tells, which stands among what its harness prints.
const MARK: &str = "scene: ";
const OVER: &str = "over";

pub const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n";
pub const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Scene {
    Dirty,
    Durations,
    Redirected,
    Shared,
    Strangers,
    Streams,
}

impl Scene {
    fn act(self) {
        match self {
            Self::Dirty => dirty::act(),
            Self::Durations => durations::act(),
            Self::Redirected => redirected::act(),
            Self::Shared => shared::act(),
            Self::Strangers => strangers::act(),
            Self::Streams => streams::act(),
        }
    }
}

/// A scene that is over. Its process lives until this is dropped.
pub struct Played {
    child: Child,
    lines: BufReader<ChildStdout>,
    /// What it has told.
    pub told: Vec<String>,
}

/// Plays a scene to its end.
pub fn play(scene: Scene) -> Played {
    let (_, module) = module_path!().split_once("::").unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([&format!("{module}::acts"), "--exact", "--nocapture"])
        .env(ORDER, scene.to_possible_value().unwrap().get_name())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = tie_to_parent(&mut command, Signal::KILL).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap());
    let mut played = Played {
        child,
        lines,
        told: Vec::new(),
    };
    loop {
        let mut line = String::new();
        let length = played.lines.read_line(&mut line).unwrap();
        assert!(length > 0, "{scene:?} has failed: {:?}", played.told);
        match line.split_once(MARK) {
            Some((_, told)) if told.trim() == OVER => return played,
            Some((_, told)) => played.told.push(told.trim().to_owned()),
            None => {}
        }
    }
}

impl Played {
    pub fn pid(&self) -> u64 {
        self.child.id().into()
    }
}

impl Drop for Played {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // It fails only where the child has already ended.
        let _ = self.child.wait();
    }
}

/// The child's entry. Without an order in its environment it is a test like any other: each scene comes to its end.
#[test]
fn acts() {
    if let Ok(order) = std::env::var(ORDER) {
        Scene::from_str(&order, false).unwrap().act();
        tell(OVER);
        std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
        return;
    }
    for scene in Scene::value_variants() {
        scene.act();
    }
}

/// Tells the test something.
pub fn tell(what: &str) {
    println!("{MARK}{what}");
}

/// Both ends of a connection, the client's first.
pub fn tcp() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    client.set_nodelay(true).unwrap();
    let (server, _) = listener.accept().unwrap();
    server.set_nodelay(true).unwrap();
    (client, server)
}

pub fn unix() -> (UnixStream, UnixStream) {
    let folder = folder();
    let path = folder.path().join("scene.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let client = UnixStream::connect(&path).unwrap();
    let (server, _) = listener.accept().unwrap();
    (client, server)
}

/// A request, which is answered.
pub fn exchange<S: Read + Write>(client: &mut S, server: &mut S) {
    client.write_all(REQUEST).unwrap();
    server.read_exact(&mut [0; REQUEST.len()]).unwrap();
    server.write_all(ANSWER).unwrap();
    client.read_exact(&mut [0; ANSWER.len()]).unwrap();
}
