// SPDX-License-Identifier: Apache-2.0
//! `top` in real terminals.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{self, Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use common::agent::{folder, output_of};
use common::answering::{answering, ask};
use common::process::eventually;
use common::web;
use rustix::process::{Pid, Signal, kill_process};
use scope_http_statistics::scope::socket::Endpoint;

use crate::{AGENT, root, stdout};

const PATIENCE: Duration = Duration::from_secs(10);

/// A terminal that a test looks at, with a program in it.
pub struct Terminal(String);

impl Terminal {
    pub fn run(width: u16, program: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let terminal = Self(format!("http-stat-{}-{next}", process::id()));
        let size = ["-x", &width.to_string(), "-y", "24"];
        terminal.tmux(
            &[
                &["-f", "/dev/null", "new-session", "-d"],
                &size[..],
                &[program],
            ]
            .concat(),
        );
        terminal
    }

    fn tmux(&self, args: &[&str]) -> String {
        let mut command = Command::new("tmux");
        command.args(["-u", "-L", &self.0]).args(args);
        command.env("LC_ALL", "C.UTF-8");
        stdout(&output_of(command))
    }

    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    pub fn press(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    fn filter(&self, text: &str) {
        self.press(&["/"]);
        self.press(&["-l", text]);
        self.press(&["Enter"]);
        self.shows(&format!("filter: {text} "));
    }

    /// Of the program.
    fn pid(&self) -> u32 {
        let pid = self.tmux(&["list-panes", "-F", "#{pane_pid}"]);
        pid.trim().parse().unwrap()
    }

    pub fn shows(&self, text: &str) {
        let start = Instant::now();
        while !self.screen().contains(text) {
            let screen = self.screen();
            assert!(start.elapsed() < 6 * PATIENCE, "no {text} in\n{screen}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It fails where the program has ended, and its terminal with it.
        let kill = ["-L", &self.0, "kill-server"];
        let _ = Command::new("tmux")
            .args(kill)
            .stderr(Stdio::null())
            .status();
    }
}

/// Those that a process has started, and that have not ended.
fn children(parent: u32) -> Vec<u32> {
    let all = fs::read_dir("/proc").unwrap();
    let pids = all.filter_map(|it| it.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let is_child = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields = stat.rsplit_once(')').map(|(_, fields)| fields);
        let parent_of = fields.and_then(|it| it.split_whitespace().nth(1));
        parent_of == Some(&parent.to_string())
    };
    pids.filter(is_child).collect()
}

#[test]
fn top_groups_filters_orders_and_opens() {
    let (agent, address) = web::start(AGENT, &[]);
    let server = answering("seen-in-tmux");
    ask(&server, 200, 13);
    ask(&server, 503, 3);
    let program = AGENT.path();
    let root = root(&agent);
    let pid = server.pid().to_string();
    let by_socket = format!("exec {program} top --plugins-root {root}");
    let by_url = format!("exec {program} top --url http://{address} --interval 2");
    for command in [by_socket, by_url] {
        let terminal = Terminal::run(80, &command);
        terminal.shows("requests/s");
        // Others are busier.
        terminal.filter("seen-in-tmux");
        terminal.shows(&pid);
        let screen = terminal.screen();
        assert!(screen.contains("REQ/S▼"), "{screen}");
        assert!(screen.contains("q quit"), "{screen}");
        terminal.press(&["Enter"]);
        terminal.shows("503");
        let detail = terminal.screen();
        for part in [&format!("pid {pid}"), "16 in all", "METHOD", "GET"] {
            assert!(detail.contains(part), "{part} in {detail}");
        }
        terminal.press(&["Escape"]);
        terminal.shows("PROCESS");
        terminal.press(&["g"]);
        terminal.shows("WORKLOAD");
        terminal.press(&["g"]);
        terminal.shows("containers and units");
        terminal.press(&["Space"]);
        terminal.shows("paused");
        // Its terminal ends with the program.
        let top = terminal.pid();
        terminal.press(&["q"]);
        eventually(false, || fs::exists(format!("/proc/{top}")).unwrap());
    }
}

#[test]
fn top_without_an_agent_is_one_itself_and_leaves_nothing_behind() {
    let program = AGENT.path();
    for signal in [None, Some(Signal::KILL)] {
        let folder = folder();
        let root = folder.path().to_str().unwrap();
        let terminal = Terminal::run(100, &format!("exec {program} top --plugins-root {root}"));
        terminal.shows("requests/s");
        let server = answering("alone");
        ask(&server, 200, 11);
        terminal.filter("alone");
        terminal.shows(&server.pid().to_string());
        let top = terminal.pid();
        let started = children(top);
        match signal {
            Some(signal) => {
                let pid = Pid::from_raw(top.cast_signed()).unwrap();
                kill_process(pid, signal).unwrap();
            }
            None => terminal.press(&["q"]),
        }
        eventually(Vec::<u32>::new(), || {
            let all = started.iter().chain([&top]).copied();
            all.filter(|pid| fs::exists(format!("/proc/{pid}")).unwrap())
                .collect()
        });
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}

fn top_in_a_terminal(root: &str) -> Child {
    let program = AGENT.path();
    let top = format!("stty cols 120 rows 60; {program} top --plugins-root {root}");
    Command::new("script")
        .args(["--quiet", "--return", "--command", &top, "/dev/null"])
        .env("TERM", "xterm-256color")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script runs (is the package bsdutils installed?)")
}

#[test]
fn top_shows_the_processes_in_a_terminal_until_it_is_quit() {
    let agent = AGENT.start(&[]);
    let server = answering("in-the-terminal");
    ask(&server, 200, 7);
    let mut terminal = top_in_a_terminal(&root(&agent));
    std::thread::sleep(Duration::from_secs(4));
    terminal.stdin.as_mut().unwrap().write_all(b"nq").unwrap();
    let shown = stdout(&terminal.wait_with_output().unwrap());
    assert!(shown.contains("in-the-terminal"), "{shown}");
    assert!(shown.contains(&server.pid().to_string()), "{shown}");
}

/// An agent that answers so often, and then takes requests in without ever answering them. Tells of each that it keeps.
fn hanging(root: &Path, answers: usize) -> Receiver<()> {
    let endpoint = Endpoint::below(root).unwrap();
    std::fs::create_dir_all(endpoint.path().parent().unwrap()).unwrap();
    let listener = UnixListener::bind(endpoint.path()).unwrap();
    let (kept, keeps) = mpsc::channel();
    std::thread::spawn(move || {
        let json = r#"{"api_version":1,"host":"","date":"","backend":"","missed":{}}"#;
        let length = json.len();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{json}");
        let mut clients = Vec::new();
        for mut client in listener.incoming().map(Result::unwrap) {
            // A short request, which comes as a whole; or somebody who only wants to know whether there is an agent.
            if client.read(&mut [0; 1024]).unwrap() == 0 {
                continue;
            }
            if clients.len() < answers {
                client.write_all(answer.as_bytes()).unwrap();
            } else if kept.send(()).is_err() {
                return;
            }
            clients.push(client);
        }
    });
    keeps
}

#[test]
fn top_hears_keys_while_the_agent_does_not_answer() {
    for answers in [0, 1] {
        let folder = folder();
        let keeps = hanging(folder.path(), answers);
        let mut terminal = top_in_a_terminal(folder.path().to_str().unwrap());
        keeps.recv_timeout(PATIENCE).unwrap();
        // The terminal takes keys as they come once the screen is there.
        std::thread::sleep(Duration::from_secs(1));
        let start = Instant::now();
        terminal.stdin.as_mut().unwrap().write_all(b"q").unwrap();
        stdout(&terminal.wait_with_output().unwrap());
        let took = start.elapsed();
        assert!(took < Duration::from_secs(2), "{took:?} after {answers}");
    }
}
