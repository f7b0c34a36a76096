// SPDX-License-Identifier: Apache-2.0
//! Life cycle of the real agent with live BPF: the socket comes, stays and goes as the probe needs it.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::agent::{Agent, Program, connect, folder, only_error, request, socket_in};
use common::process::{spawn, tie_to_parent};
use rustix::process::{Pid, Signal, kill_process};

const AGENT: Program = common::agent!();

/// Far more than anything here needs, for machines that are busy with other things.
const PATIENCE: Duration = Duration::from_secs(10);

/// Waits for `condition` and returns how long it took.
fn wait_for(what: &str, mut condition: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "{what} not in {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    start.elapsed()
}

/// The first line of its log that has this in it; an empty one where there is none.
fn line_with(agent: &mut Child, text: &str) -> String {
    let log = BufReader::new(agent.stderr.take().unwrap());
    let mut lines = log.lines().map_while(Result::ok);
    lines.find(|line| line.contains(text)).unwrap_or_default()
}

fn refused(root: &Path) -> String {
    only_error(&AGENT.run(&["--plugins-root", root.to_str().unwrap()]))
}

#[test]
fn a_ready_agent_says_so_and_serves_behind_a_private_directory() {
    let agent = AGENT.start(&["--listen", "127.0.0.1:0"]);
    let directory = agent.socket().parent().unwrap().to_owned();
    let mode = fs::metadata(&directory).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o700);
    assert_eq!(agent.report()["Plugins"][0]["id"], "http-statistics");
    let log = agent.log();
    // What a person wants, in this order; what else was tried is for those who ask.
    let socket = agent.socket();
    let socket = socket.to_str().unwrap();
    let told = ["page: http://127.0.0.1:", socket, "backend "].map(|it| log.find(it));
    assert!(
        told.iter().all(Option::is_some) && told.is_sorted(),
        "{log}"
    );
    assert!(
        !log.contains("host id") && !log.contains("not fexit"),
        "{log}"
    );
    assert!(!log.contains("probe"), "{log}");
}

/// With what only the probe asks for.
const OF_PROBE: &str = "/report?api_version=1&probe_id=1f";

#[test]
fn a_probe_that_calls_the_host_otherwise_is_told_of() {
    // As much of a probe as shows outside.
    let program = folder();
    let scope = program.path().join("scope");
    fs::copy("/bin/sh", &scope).unwrap();
    let mut scope = Command::new(scope);
    scope
        .args(["-c", "read forever", "--mode=probe"])
        .env("SCOPE_HOSTNAME", "node-9")
        .stdin(Stdio::piped());
    let mut scope = spawn(tie_to_parent(&mut scope, Signal::KILL)).unwrap();
    let agent = AGENT.start(&["--hostname", "node-7"]);
    let said = format!(
        "Weave Scope's probe (pid {}) calls this host \"node-9\" and the agent calls it \"node-7\"",
        scope.id()
    );
    assert_eq!(agent.log().matches(&said).count(), 1, "{}", agent.log());
    let same = AGENT.start(&["--hostname", "node-9"]);
    assert!(!same.log().contains("calls this host"), "{}", same.log());
    scope.kill().unwrap();
    scope.wait().unwrap();
}

#[test]
fn a_probe_that_asks_is_told_of_once() {
    let agent = AGENT.start(&["--hostname", "node-7"]);
    assert_eq!(agent.get("/report").status, 200);
    assert!(
        !agent.log().contains("Weave Scope's probe"),
        "{}",
        agent.log()
    );
    assert_eq!(agent.get(OF_PROBE).status, 200);
    let pid = std::process::id();
    let log = agent.log();
    let said = format!("Weave Scope's probe (pid {pid}) asks, and is told of the host \"node-7\"");
    assert_eq!(log.matches(&said).count(), 1, "{log}");
    assert_eq!(agent.get(OF_PROBE).status, 200);
    assert_eq!(agent.log().matches(&said).count(), 1);
}

#[test]
fn who_has_started_it_is_told_when_it_counts_and_when_it_ends() {
    // An abstract address is out of reach once the agent has given up its rights.
    let name = format!("http-stat-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let socket = UnixDatagram::bind_addr(&address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let told = || {
        let mut buffer = [0; 512];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    let mut command = AGENT.command();
    command.env("NOTIFY_SOCKET", format!("@{name}"));
    let mut agent = Agent::try_start(command, &["--backend", "syscall"]).unwrap();
    assert_eq!(told(), "READY=1\nSTATUS=counting by syscall");
    let folder = agent.socket().parent().unwrap().to_owned();
    agent.signal(Signal::TERM);
    assert_eq!(told(), "STOPPING=1");
    assert_eq!(agent.stop(Signal::TERM).0.code(), Some(0));
    assert!(!folder.exists());
}

#[test]
fn signals_end_it_and_remove_socket_and_directory() {
    for (signal, backend) in [(Signal::TERM, "sock"), (Signal::INT, "syscall")] {
        let mut agent = AGENT.start(&["--backend", backend]);
        assert!(agent.log().contains(&format!("backend {backend}")));
        let (status, time) = agent.stop(signal);
        assert_eq!(status.code(), Some(0), "{}", agent.log());
        assert!(time < Duration::from_secs(4), "{backend}: {time:?}");
        let directory = agent.socket().parent().unwrap().to_owned();
        assert!(!directory.exists());
        assert!(directory.parent().unwrap().exists());
    }
}

#[test]
fn a_signal_ends_it_while_it_is_loading() {
    let folder = folder();
    let mut child = AGENT
        .command()
        .args(["-v", "--plugins-root"])
        .arg(folder.path())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let line = line_with(&mut child, "host id");
    assert!(!line.is_empty());
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn the_socket_of_a_killed_agent_is_replaced() {
    let folder = folder();
    let mut killed = AGENT.start_in(folder.path(), &[]);
    killed.stop(Signal::KILL);
    assert!(killed.socket().exists());
    let agent = AGENT.start_in(folder.path(), &[]);
    assert_eq!(agent.get("/report").status, 200);
}

#[test]
fn a_second_agent_gives_way() {
    let folder = folder();
    let agent = AGENT.start_in(folder.path(), &[]);
    let error = refused(folder.path());
    assert!(error.contains("another instance is serving"), "{error}");
    assert_eq!(agent.get("/report").status, 200);
}

#[test]
fn of_two_agents_that_start_at_the_same_moment_one_serves() {
    for _ in 0..3 {
        let folder = folder();
        let root = folder.path().to_str().unwrap();
        let mut agents: Vec<Child> = (0..2)
            .map(|_| {
                let mut command = AGENT.command();
                command
                    .args(["--plugins-root", root])
                    .stdin(Stdio::null())
                    .stderr(Stdio::piped());
                tie_to_parent(&mut command, Signal::KILL).spawn().unwrap()
            })
            .collect();
        // Loading may take its time.
        let start = Instant::now();
        let loser = loop {
            let ended = |agent: &mut Child| agent.try_wait().unwrap().is_some();
            if let Some(loser) = agents.iter_mut().position(ended) {
                break loser;
            }
            assert!(start.elapsed() < 30 * PATIENCE, "both of them serve");
            std::thread::sleep(Duration::from_millis(20));
        };
        let loser = agents.remove(loser).wait_with_output().unwrap();
        let error = String::from_utf8(loser.stderr).unwrap();
        assert_eq!(loser.status.code(), Some(1), "{error}");
        assert!(error.contains("another instance is serving"), "{error}");
        let answer = request(&socket_in(folder.path()), "GET", "/report", &[]);
        assert_eq!(answer.status, 200);
        let winner = &mut agents[0];
        assert!(winner.try_wait().unwrap().is_none());
        kill_process(Pid::from_child(winner), Signal::TERM).unwrap();
        assert_eq!(winner.wait().unwrap().code(), Some(0));
    }
}

#[test]
fn a_socket_that_is_wiped_away_comes_back() {
    let mut agent = AGENT.start(&[]);
    let socket = agent.socket();
    let directory = socket.parent().unwrap();
    let root = directory.parent().unwrap();
    let wipes: [&dyn Fn(); 3] = [
        &|| fs::remove_file(&socket).unwrap(),
        &|| fs::remove_dir_all(directory).unwrap(),
        &|| fs::remove_dir_all(root).unwrap(),
    ];
    for wipe in wipes {
        wipe();
        let time = wait_for("a new socket", || socket.exists());
        assert!(time < Duration::from_secs(5), "took {time:?}");
        wait_for("an answer", || agent.get("/report").status == 200);
        let mode = fs::metadata(directory).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o700);
    }
    assert_eq!(agent.stop(Signal::TERM).0.code(), Some(0));
    assert!(!directory.exists());
}

#[test]
fn a_place_that_cannot_be_written_is_an_error_that_says_what_to_do() {
    let folder = folder();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    for root in [file.as_path(), Path::new("/proc/plugins")] {
        let error = refused(root);
        assert!(error.contains("is not writable"), "{error}");
        assert!(error.contains("--plugins-root"), "{error}");
    }
}

#[test]
fn a_path_that_is_too_long_or_taken_is_an_error() {
    let error = refused(Path::new(&format!("/tmp/{}", "r".repeat(100))));
    assert!(error.contains("the kernel takes 107"), "{error}");

    let folder = folder();
    let socket = socket_in(folder.path());
    fs::create_dir_all(socket.parent().unwrap()).unwrap();
    fs::write(&socket, "").unwrap();
    let error = refused(folder.path());
    assert!(error.contains("is not a socket"), "{error}");
}

#[test]
fn usage() {
    let help = AGENT.run(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    let text = String::from_utf8(help.stdout).unwrap();
    for part in [
        "--plugins-root",
        "--hostname",
        "SCOPE_HOSTNAME",
        "--backend",
        "--listen",
        "--max-processes",
        "127.0.0.1:9476/metrics",
        "top",
        "report",
        "--verbose",
        "http-statistics.sock",
        "CAP_BPF",
        "Exit codes",
    ] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
    let version = AGENT.run(&["--version"]);
    assert_eq!(version.status.code(), Some(0));
    let expected = concat!("scope-http-statistics ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(String::from_utf8(version.stdout).unwrap(), expected);
    for wrong in [&["--nope"][..], &["--backend", "magic"], &["argument"]] {
        let output = AGENT.run(wrong);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(!output.stderr.is_empty());
    }
}

#[test]
fn the_probes_environment_names_the_host() {
    let folder = folder();
    let mut child = AGENT
        .command()
        .env("SCOPE_HOSTNAME", "node-8")
        .args(["-v", "--plugins-root"])
        .arg(folder.path())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let line = line_with(&mut child, "host id");
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(line.contains("host id \"node-8\""), "{line}");
}

#[test]
fn speaks_http() {
    let agent = AGENT.start(&[]);
    let socket = agent.socket();

    let polled = agent.get("/report?api_version=1&probe_id=4ef1c0de");
    assert_eq!(polled.status, 200);
    assert_eq!(polled.header("Content-Type"), Some("application/json"));
    assert_eq!(polled.header("Content-Encoding"), None);

    let zipped = request(&socket, "GET", "/report", &["Accept-Encoding: gzip"]);
    assert_eq!(zipped.header("Content-Encoding"), Some("gzip"));
    let mut text = String::new();
    flate2::read::GzDecoder::new(&zipped.body[..])
        .read_to_string(&mut text)
        .unwrap();
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["Plugins"][0]["api_version"], "1");

    let head = request(&socket, "HEAD", "/report", &[]);
    assert_eq!((head.status, head.body.len()), (200, 0));
    for path in ["/", "/reports", "/report/", "/metrics"] {
        assert_eq!(agent.get(path).status, 404, "{path}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let response = request(&socket, method, "/report", &[]);
        assert_eq!(response.status, 405, "{method}");
        assert_eq!(response.header("Allow"), Some("GET, HEAD"));
    }
    // What is left unread of it resets the connection right after the answer.
    let mut stream = connect(&socket);
    let huge = format!("GET /report HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(20_000));
    stream.write_all(huge.as_bytes()).unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 431");
}

#[test]
fn one_connection_serves_many_polls() {
    let agent = AGENT.start(&[]);
    let mut stream = connect(&agent.socket());
    for _ in 0..11 {
        stream
            .write_all(b"HEAD /report HTTP/1.1\r\nHost: plugin\r\n\r\n")
            .unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        assert!(head.starts_with(b"HTTP/1.1 200 "));
    }
}

#[test]
fn clients_that_do_nothing_hold_nobody_up_and_are_left() {
    let agent = AGENT.start(&[]);
    let socket = agent.socket();
    let limit = Some(3 * PATIENCE);

    let mut silent = connect(&socket);
    silent.set_read_timeout(limit).unwrap();
    let mut halfway = connect(&socket);
    halfway.write_all(b"GET /report HTTP/1.1\r\nHo").unwrap();
    halfway.set_read_timeout(limit).unwrap();
    let mut deaf = connect(&socket);
    deaf.set_write_timeout(limit).unwrap();
    let deaf = std::thread::spawn(move || {
        // Reads no answer, so that at some point no more requests are taken.
        loop {
            if let Err(error) = deaf.write_all(b"GET /report HTTP/1.1\r\nHost: plugin\r\n\r\n") {
                return error.kind();
            }
        }
    });
    for _ in 0..7 {
        let start = Instant::now();
        assert_eq!(agent.get("/report").status, 200);
        assert!(start.elapsed() < Duration::from_secs(3));
        std::thread::sleep(Duration::from_millis(100));
    }

    let mut rest = Vec::new();
    assert_eq!(silent.read_to_end(&mut rest).unwrap(), 0);
    halfway.read_to_end(&mut rest).unwrap();
    assert_ne!(deaf.join().unwrap(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn its_own_polls_are_not_reported() {
    let agent = AGENT.start(&["--hostname", "node-7", "-v"]);
    let folder = folder();
    let path = folder.path().join("sock");
    let listener = UnixListener::bind(&path).unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let length = stream.read(&mut [0; 512]).unwrap();
        assert!(length > 0);
        stream
            .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
            .unwrap();
    });
    assert_eq!(request(&path, "GET", "/", &[]).status, 204);
    server.join().unwrap();

    // This very process has served one request, and each poll is one that the agent has served.
    let served = format!("node-7;{}", std::process::id());
    let own = format!("node-7;{}", agent.pid());
    let mut own_seen = false;
    let mut sees = |key: &str| {
        let report = agent.report();
        own_seen |= report["Process"]["nodes"].get(&own).is_some();
        report["Process"]["nodes"].get(key).is_some()
    };
    wait_for("the request", || sees(&served));
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(3) {
        sees(&served);
    }
    assert!(!own_seen, "the agent reports itself");
}
