// SPDX-License-Identifier: Apache-2.0
//! The subcommands that ask a running agent.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use common::agent::{Agent, Program, folder, output_of};
use common::answering::{answering, ask};
use common::process::eventually;
use scope_http_statistics::page::view::View;
use scope_http_statistics::scope::socket::Endpoint;

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
fn report_prints_what_the_probe_gets_or_a_table() {
    let agent = AGENT.start(&[]);
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
        Some(row[4].to_owned())
    });
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
        let view = serde_json::to_string(&View::default()).unwrap();
        let length = view.len();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{view}");
        let mut clients = Vec::new();
        for mut client in listener.incoming().map(Result::unwrap) {
            // A short request, which comes as a whole.
            assert_ne!(client.read(&mut [0; 1024]).unwrap(), 0);
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
    for args in [&["top"][..], &["report"], &["report", "--table"]] {
        let mut command = AGENT.command();
        command.args(args).args(["--plugins-root", root]);
        let output = output_of(command);
        assert_eq!(output.status.code(), Some(1));
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains("no agent is running"), "{error}");
        assert!(error.contains("start it with"), "{error}");
    }
    assert_eq!(AGENT.run(&["report", "--nope"]).status.code(), Some(2));
}
