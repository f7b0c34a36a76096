// SPDX-License-Identifier: Apache-2.0
//! The subcommands that look at an agent, and what stands in README of them.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{self, Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use common::agent::{Agent, Program, folder, output_of};
use common::answering::{answering, ask};
use common::load::Address;
use common::process::eventually;
use common::web;
use rustix::process::{Pid, Signal, kill_process};
use scope_http_statistics::scope::socket::Endpoint;
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(10);

const AGENT: Program = common::agent!();

fn root(agent: &Agent) -> String {
    let directory = agent.socket().parent().unwrap().to_owned();
    directory.parent().unwrap().to_str().unwrap().to_owned()
}

fn stdout(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn report_prints_what_the_probe_gets_or_a_table_or_json() {
    let (agent, address) = web::start(AGENT, &[]);
    let root = root(&agent);
    let server = answering("terminal");
    ask(&server, 200, 7);
    ask(&server, 500, 7);

    let json = stdout(&AGENT.run(&["report", "--plugins-root", &root]));
    let report: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(report["Plugins"][0]["id"], "http-statistics");

    let pid = server.pid().to_string();
    eventually(Some("50%".to_owned()), || {
        let table = stdout(&AGENT.run(&["--plugins-root", &root, "report", "--table"]));
        assert!(table.contains("PID  PROCESS"), "{table}");
        let mut rows = table.lines().map(|row| row.split_whitespace());
        let row: Vec<_> = rows.find(|row| row.clone().next() == Some(&pid))?.collect();
        assert_eq!(row[1], "terminal");
        let heads: Vec<_> = table.lines().next()?.split_whitespace().collect();
        let errors = heads.iter().position(|it| *it == "ERRORS")?;
        Some(row[errors].to_owned())
    });

    // The same by either way, with names, and nothing that was counted is lost.
    let url = format!("http://{address}/");
    for from in [["--plugins-root", &root], ["--url", &url]] {
        let json = stdout(&AGENT.run(&[&["report", "--json"], &from[..]].concat()));
        let document: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(document["api_version"], 1);
        let row = |kind: &str| {
            let rows = document[kind].as_array().unwrap();
            let row = rows.iter().find(|it| it["name"] == "terminal");
            row.unwrap_or_else(|| panic!("{document}")).clone()
        };
        let process = row("processes");
        assert_eq!(process["pid"].to_string(), pid);
        let Address::Tcp(asked) = server.address else {
            unreachable!("it listens on TCP")
        };
        assert_eq!(process["port"], asked.port());
        for row in [process, row("workloads")] {
            assert_eq!(row["requests"], 14, "{row}");
            let answers = row["answers"].as_array().unwrap().iter();
            let answers: Vec<_> = answers
                .map(|it| (it["status"].as_str().unwrap(), it["count"].as_u64()))
                .collect();
            assert_eq!(answers, [("200", Some(7)), ("500", Some(7))]);
        }
    }
    let table = stdout(&AGENT.run(&["report", "--table", "--url", &url]));
    assert!(table.contains("terminal"), "{table}");
    let refused = AGENT.run(&["report", "--url", &url]);
    assert_eq!(refused.status.code(), Some(1));
}

/// A terminal that a test looks at, with a program in it.
struct Terminal(String);

impl Terminal {
    fn run(width: u16, program: &str) -> Self {
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

    fn press(&self, keys: &[&str]) {
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

    fn shows(&self, text: &str) {
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

#[test]
fn without_an_agent_they_say_how_to_start_one() {
    let folder = folder();
    let root = folder.path().to_str().unwrap();
    for args in [
        &["report"][..],
        &["report", "--table"],
        &["report", "--json"],
    ] {
        let mut command = AGENT.command();
        command.args(args).args(["--plugins-root", root]);
        let output = output_of(command);
        assert_eq!(output.status.code(), Some(1));
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains("no agent is running"), "{error}");
        assert!(error.contains("start it with"), "{error}");
    }
    assert_eq!(AGENT.run(&["report", "--nope"]).status.code(), Some(2));
    // Where nobody looks, none is started.
    let mut top = AGENT.command();
    top.args(["top", "--plugins-root", root]);
    let output = output_of(top);
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("top needs a terminal"), "{error}");
}
