// SPDX-License-Identifier: Apache-2.0
//! Requests within TLS of real servers: the truth is what the clients were answered, and the server's own log.

mod grpc;
mod lifetimes;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use common::agent::{Agent, Program};
use common::by_backend;
use common::process::eventually;
use common::servers::Server;
use common::tls::{self, Client};
use common::web::{self, sample, text};
use rustix::process::{Pid, Signal, kill_process};

const AGENT: Program = common::agent!();

by_backend!(
    nginx_by_worker,
    python_in_threads,
    haproxy_and_an_event_loop,
    apache_by_its_child,
    lighttpd_on_either_library,
    node_with_its_own_library,
    go_by_its_own_table,
    streams_of_h2load,
);

const UNSEEN: &str = "scope_http_tls_unseen_connections_total";
const REQUESTS: &str = "http_server_requests_total";
const ANSWERS: &str = "http_server_request_duration_seconds_count";
const HTTPS: &str = "url_scheme=\"https\"";

/// An agent that has found the library of servers of this kind: a connection that comes before is not seen into.
fn agent_that_knows(args: &[&str], server: &Server) -> (Agent, SocketAddr) {
    let (agent, address) = web::start(AGENT, &[&["--backend", "auto"], args].concat());
    teach(&agent, server);
    (agent, address)
}

/// Others on this host have libraries of their own, which an agent finds as well.
fn knows(agent: &Agent, server: &Server) -> bool {
    let log = agent.log();
    let said = |path: &String| log.contains(&format!("seen into where {path} is used"));
    tls::executed(server).iter().any(said)
}

fn teach(agent: &Agent, server: &Server) {
    eventually(true, || {
        Client::asking(server, &["new:1"]);
        knows(agent, server)
    });
}

fn agent(backend: &str, server: &Server) -> (Agent, SocketAddr) {
    let (agent, address) = web::start(AGENT, &["--backend", backend]);
    teach(&agent, server);
    (agent, address)
}

fn pid(pid: u64) -> String {
    format!("process_pid=\"{pid}\"")
}

fn requests(metrics: &str, process: u64) -> u64 {
    sample(metrics, REQUESTS, &[&pid(process)]).unwrap_or(0.0) as u64
}

/// Answers of a process within TLS, by method and status.
fn answers(metrics: &str, process: u64) -> BTreeMap<(String, String), u64> {
    let label = |line: &str, name: &str| {
        let (_, rest) = line.split_once(&format!("{name}=\"")).unwrap();
        rest.split_once('"').unwrap().0.to_owned()
    };
    let process = pid(process);
    let is_its = |line: &&str| {
        line.starts_with(&format!("{ANSWERS}{{")) && line.contains(&process) && line.contains(HTTPS)
    };
    let lines = metrics.lines().filter(is_its);
    // Each version of HTTP is apart.
    let mut answers = BTreeMap::new();
    for line in lines {
        let kind = (
            label(line, "http_request_method"),
            label(line, "http_response_status_code"),
        );
        let count: u64 = line.rsplit(' ').next().unwrap().parse().unwrap();
        *answers.entry(kind).or_default() += count;
    }
    answers
}

fn kinds<const N: usize>(kinds: [(&str, &str, u64); N]) -> BTreeMap<(String, String), u64> {
    let kinds =
        kinds.map(|(method, status, count)| ((method.to_owned(), status.to_owned()), count));
    kinds.into()
}

/// What each worker served, as the access log of nginx has it.
fn served(nginx: &Server) -> BTreeMap<u64, u64> {
    let log = fs::read_to_string(nginx.file("access.log")).unwrap();
    let mut served = BTreeMap::new();
    for line in log.lines() {
        let (worker, _) = line.split_once(' ').unwrap();
        *served.entry(worker.parse().unwrap()).or_default() += 1;
    }
    served
}

const WAYS: [&str; 5] = ["new:53", "keep:101", "pipe:17", "split:31", "post:29"];
const IN_ALL: u64 = 53 + 101 + 7 * 17 + 31 + 29;

/// Its requests, its answers, and nothing unseen: of a process that the agent has known all its life.
fn assert_seen(address: SocketAddr, process: u64, expected: BTreeMap<(String, String), u64>) {
    let all: u64 = expected.values().sum();
    eventually((all, expected), || {
        let metrics = text(address, "/metrics");
        (requests(&metrics, process), answers(&metrics, process))
    });
    assert_eq!(
        sample(&text(address, "/metrics"), UNSEEN, &[&pid(process)]),
        None
    );
}

fn nginx_by_worker(backend: &str) {
    let (_agent, address) = agent(backend, &tls::nginx(1));
    let server = tls::nginx(3);
    let client = Client::asking(&server, &[&WAYS[..], &["lines:13", "big:47"]].concat());
    assert_eq!(client.answers, IN_ALL + 13 + 47);
    let truth = served(&server);
    assert_eq!(truth.values().sum::<u64>(), client.answers);
    let expected = [("GET", "200", IN_ALL - 29 + 13 + 47), ("POST", "204", 29)];
    // An answer counts once the write has returned, which may be later than the client has it.
    eventually((truth.clone(), kinds(expected)), || {
        let metrics = text(address, "/metrics");
        let mut seen: BTreeMap<(String, String), u64> = BTreeMap::new();
        let of_worker = |worker: &u64| {
            for (kind, count) in answers(&metrics, *worker) {
                *seen.entry(kind).or_default() += count;
            }
            (*worker, requests(&metrics, *worker))
        };
        (truth.keys().map(of_worker).collect(), seen)
    });
    let metrics = text(address, "/metrics");
    for worker in truth.keys() {
        assert_eq!(sample(&metrics, UNSEEN, &[&pid(*worker)]), None);
    }
    // The client has the same library, and has received bodies that are made of requests.
    assert_eq!(requests(&text(address, "/metrics"), client.pid()), 0);
}

fn python_in_threads(backend: &str) {
    let (_agent, address) = agent(backend, &tls::python());
    let server = tls::python();
    let clients: Vec<_> = std::thread::scope(|scope| {
        let ask = || scope.spawn(|| Client::asking(&server, &WAYS).answers);
        let clients: Vec<_> = (0..3).map(|_| ask()).collect();
        clients.into_iter().map(|it| it.join().unwrap()).collect()
    });
    assert_eq!(clients, [IN_ALL; 3]);
    let expected = [("GET", "200", 3 * (IN_ALL - 29)), ("POST", "204", 3 * 29)];
    assert_seen(address, server.pid(), kinds(expected));
}

fn haproxy_and_an_event_loop(backend: &str) {
    let (_agent, address) = agent(backend, &tls::python());
    for server in [tls::haproxy(), tls::uvicorn()] {
        let client = Client::asking(&server, &WAYS);
        assert_eq!(client.answers, IN_ALL);
        let expected = [("GET", "200", IN_ALL - 29), ("POST", "204", 29)];
        assert_seen(address, server.pid(), kinds(expected));
    }
}

/// The event MPM, of which one process serves.
fn apache_by_its_child(backend: &str) {
    let (_agent, address) = agent(backend, &tls::nginx(1));
    let server = tls::apache();
    let client = Client::asking(&server, &WAYS);
    assert_eq!(client.answers, IN_ALL);
    h2load(&server, 2003, &["-c", "3", "-m", "100"]);
    let child = format!("/proc/{0}/task/{0}/children", server.pid());
    let child = fs::read_to_string(child).unwrap().trim().parse().unwrap();
    let expected = [("GET", "200", IN_ALL - 29 + 2003), ("POST", "204", 29)];
    assert_seen(address, child, kinds(expected));
}

/// `GnuTLS`, and OpenSSL. What is large is written in parts, some of which are put off and tried again.
fn lighttpd_on_either_library(backend: &str) {
    for library in ["gnutls", "openssl"] {
        let (_agent, address) = agent(backend, &tls::lighttpd(library));
        let server = tls::lighttpd(library);
        // It closes a connection once a file was asked for by an upload.
        let (asking, uploading) = (["big:47"], ["post:1"; 29]);
        let client = Client::asking(&server, &[&WAYS[..4], &asking, &uploading].concat());
        assert_eq!(client.answers, IN_ALL + 47);
        h2load(&server, 997, &["-c", "3", "-m", "10"]);
        let get = IN_ALL - 29 + 47 + 997;
        let expected = [("GET", "200", get), ("POST", "200", 29)];
        assert_seen(address, server.pid(), kinds(expected));
    }
}

/// Writes that were put off and are tried again without a buffer, writes that are corked, and a client of the same library that
/// receives a body of requests.
#[test]
fn what_gnutls_does_otherwise() {
    let (_agent, address) = agent_that_knows(&[], &tls::gnutls());
    let server = tls::gnutls();
    let client = Client::asking(&server, &WAYS);
    assert_eq!(client.answers, IN_ALL);
    let received = Client::of_gnutls(&server);
    assert!(received.answers > 39_000, "{}", received.answers);
    let expected = [("GET", "200", IN_ALL - 29 + 1), ("POST", "204", 29)];
    assert_seen(address, server.pid(), kinds(expected));
    assert_eq!(requests(&text(address, "/metrics"), received.pid()), 0);
}

fn node_with_its_own_library(backend: &str) {
    let (_agent, address) = agent(backend, &tls::node());
    let server = tls::node();
    let client = Client::asking(&server, &WAYS);
    assert_eq!(client.answers, IN_ALL);
    h2load(&server, 2003, &["-c", "3", "-m", "100"]);
    let expected = [("GET", "200", IN_ALL - 29 + 2003), ("POST", "204", 29)];
    assert_seen(address, server.pid(), kinds(expected));
}

/// As it is made and stripped, the garbage collector always at work, and stacks that move.
fn go_by_its_own_table(backend: &str) {
    for flags in ["-v", "-ldflags=-s -w", "-buildmode=pie"] {
        let server = tls::go(&[flags]);
        let (_agent, address) = agent(backend, &server);
        let before = requests(&text(address, "/metrics"), server.pid());
        sleep(Duration::from_millis(2200));
        let metrics = text(address, "/metrics");
        let before = before.max(requests(&metrics, server.pid()));
        let unseen = sample(&metrics, UNSEEN, &[&pid(server.pid())]);
        let client = Client::asking(&server, &WAYS);
        assert_eq!(client.answers, IN_ALL);
        h2load(&server, 997, &["-c", "3", "-m", "10"]);
        let post = ("POST".to_owned(), "204".to_owned());
        let labels = [&*pid(server.pid()), HTTPS, "network_protocol_version=\"2\""];
        eventually((before + IN_ALL + 997, Some(29), Some(997.0)), || {
            let metrics = text(address, "/metrics");
            let posts = answers(&metrics, server.pid()).get(&post).copied();
            let streams = sample(&metrics, ANSWERS, &labels);
            (requests(&metrics, server.pid()), posts, streams)
        });
        let metrics = text(address, "/metrics");
        assert_eq!(sample(&metrics, UNSEEN, &[&pid(server.pid())]), unseen);
    }
}

/// So many requests, all of which are answered.
fn h2load(server: &Server, count: u64, more: &[&str]) {
    let mut command = Command::new("h2load");
    command
        .args(["-n", &count.to_string()])
        .args(more)
        .arg(format!("https://{}/file", tls::tcp(server)));
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains(&format!("{count} succeeded")), "{said}");
}

fn streams_of_h2load(backend: &str) {
    let (_agent, address) = agent(backend, &tls::nginx(1));
    let server = tls::nginx(1);
    for (count, more) in [
        (1009, ["-c", "1", "-m", "1"]),
        (997, ["-c", "3", "-m", "10"]),
        (2003, ["-c", "3", "-m", "100"]),
    ] {
        h2load(&server, count, &more);
    }
    let truth = served(&server);
    assert_eq!(
        truth.values().copied().collect::<Vec<_>>(),
        [1009 + 997 + 2003]
    );
    let worker = *truth.keys().next().unwrap();
    assert_seen(address, worker, kinds([("GET", "200", 1009 + 997 + 2003)]));
    let labels = [&pid(worker), HTTPS, "network_protocol_version=\"2\""];
    let counted = || sample(&text(address, "/metrics"), ANSWERS, &labels);
    eventually(Some(4009.0), counted);
}

/// A program of Go whose table another linker has put where nobody finds it.
#[test]
fn what_is_not_known_is_counted_to_the_connection_and_said() {
    let (agent, address) = web::start(AGENT, &[]);
    let server = tls::go(&["-buildmode=pie", "-ldflags=-linkmode=external -s -w"]);
    let client = Client::asking(&server, &["new:53", "keep:101"]);
    assert_eq!(client.answers, 53 + 101);
    let process = pid(server.pid());
    eventually(Some(54.0), || {
        sample(&text(address, "/metrics"), UNSEEN, &[&process])
    });
    assert_eq!(requests(&text(address, "/metrics"), server.pid()), 0);
    let said = agent
        .log()
        .matches("go-server serves it by no library")
        .count();
    assert_eq!(said, 1, "{}", agent.log());
}

/// What `openssl s_client` is answered that is told to do so much more.
fn s_client(server: &Server, more: &[&str], input: &[u8]) {
    let mut command = Command::new("openssl");
    command
        .args(["s_client", "-quiet", "-ign_eof", "-tls1_3", "-connect"])
        .arg(tls::tcp(server).to_string())
        .args(more)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    child.stdin.as_mut().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    let answer = String::from_utf8_lossy(&output.stdout);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// A library reads it by a function that calls another one which is seen as well.
#[test]
fn requests_in_early_data_count_once() {
    let (_agent, address) = agent_that_knows(&[], &tls::python());
    let server = tls::nginx(1);
    let request = b"GET /file HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
    fs::write(server.file("request"), request).unwrap();
    let path = |name: &str| server.file(name).to_str().unwrap().to_owned();
    let (session, early) = (path("session"), path("request"));
    for _ in 0..13 {
        s_client(&server, &["-sess_out", &session], request);
        s_client(&server, &["-sess_in", &session, "-early_data", &early], b"");
    }
    let log = fs::read_to_string(server.file("access.log")).unwrap();
    let in_early_data = log.lines().filter(|it| it.ends_with(" 1")).count();
    assert!(in_early_data > 0, "{log}");
    let worker = *served(&server).keys().next().unwrap();
    assert_seen(address, worker, kinds([("GET", "200", 26)]));
}

#[test]
fn connections_that_are_older_than_the_agent() {
    let (nginx, python) = (tls::nginx(1), tls::python());
    let ask = |server| Client::asking(server, &["hold:31", "wait", "more:43"]);
    let mut clients = [ask(&nginx), ask(&python)];
    let (_agent, address) = agent_that_knows(&[], &tls::python());
    for client in &mut clients {
        client.go_on();
        assert_eq!(client.answers, 31 + 43);
    }
    let worker = *served(&nginx).keys().next().unwrap();
    assert_seen(address, worker, kinds([("GET", "200", 43)]));
    // Its thread was waiting in a read that had begun before, so that the first of these was not seen.
    assert_seen(address, python.pid(), kinds([("GET", "200", 42)]));
    for client in clients {
        assert_eq!(requests(&text(address, "/metrics"), client.pid()), 0);
    }
}

/// All of them, whatever else runs on the CPUs meanwhile.
#[test]
fn many_connections_of_several_servers_at_once() {
    const EACH: u64 = 20_011;
    let (nginx, go) = (tls::nginx(2), tls::go(&["-ldflags=-s -w"]));
    let (agent, address) = web::start(AGENT, &[]);
    teach(&agent, &nginx);
    teach(&agent, &go);
    sleep(Duration::from_millis(2200));
    let before: u64 = served(&nginx).values().sum();
    let workers = || served(&nginx).into_keys().collect::<Vec<_>>();
    let now = |processes: Vec<u64>| {
        let metrics = text(address, "/metrics");
        let of_all = |name| -> u64 {
            let count = |it: &u64| sample(&metrics, name, &[&pid(*it)]).unwrap_or(0.0) as u64;
            processes.iter().map(count).sum()
        };
        (of_all(REQUESTS), of_all(ANSWERS))
    };
    let more = |(requests, answers): (u64, u64)| (requests + EACH, answers + EACH);
    let expected = [now(workers()), now(vec![go.pid()])].map(more);
    std::thread::scope(|scope| {
        scope.spawn(|| h2load(&nginx, EACH, &["--h1", "-c", "32"]));
        scope.spawn(|| h2load(&go, EACH, &["-c", "16", "-m", "20"]));
    });
    assert_eq!(served(&nginx).values().sum::<u64>(), before + EACH);
    eventually(expected, || [now(workers()), now(vec![go.pid()])]);
}

/// Of servers of which no connection is new, too.
#[test]
fn a_library_is_found_by_a_connection_that_is_older_than_the_agent() {
    let server = tls::nginx(1);
    let mut client = Client::asking(&server, &["hold:31", "wait", "more:1", "wait", "more:43"]);
    let (agent, address) = web::start(AGENT, &[]);
    client.go_on();
    eventually(true, || knows(&agent, &server));
    let worker = *served(&server).keys().next().unwrap();
    client.go_on();
    assert_eq!(client.answers, 31 + 1 + 43);
    assert_seen(address, worker, kinds([("GET", "200", 43)]));
}

#[test]
fn a_process_for_each_connection_counts_for_its_workload() {
    let (agent, address) = web::start_by_workload(AGENT, &[]);
    teach(&agent, &tls::python());
    let server = tls::python_forking("tls-forking");
    let client = Client::asking(&server, &["new:211"]);
    assert_eq!(client.answers, 211);
    let name = "process_executable_name=\"tls-forking\"";
    let counted = |metric| sample(&text(address, "/metrics"), metric, &[name]);
    eventually(Some(211.0), || counted(REQUESTS));
    eventually(Some(211.0), || counted(ANSWERS));
    assert_eq!(counted(UNSEEN), None);
}

/// The child of an agent that looks into others.
fn helper(agent: &Agent) -> u32 {
    let own = agent.pid();
    let children = fs::read_to_string(format!("/proc/{own}/task/{own}/children"));
    let tasks = fs::read_dir(format!("/proc/{own}/task")).unwrap();
    let of_task = |task: fs::DirEntry| fs::read_to_string(task.path().join("children")).unwrap();
    let all: String = tasks.map(|it| of_task(it.unwrap())).collect();
    let mut pids = all.split_whitespace();
    let child = pids.next().unwrap_or_else(|| panic!("{children:?}"));
    assert_eq!(pids.next(), None);
    child.parse().unwrap()
}

/// Programs that are attached, of which each is a descriptor.
fn links(log: &str) -> i64 {
    let of = |line: &str| match line.contains("(GnuTLS, ") {
        true => 5,
        false => 4,
    };
    let mut by_path: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for line in log.lines() {
        let seen = line.split_once("seen into where ");
        if let Some((path, _)) = seen.and_then(|(_, rest)| rest.split_once(" is used (")) {
            by_path.entry(path).or_default().push(of(line));
        }
        let gone = line.split_once("TLS: ");
        let gone = gone.and_then(|(_, rest)| rest.split_once(" is used by nobody"));
        if let Some((path, _)) = gone {
            by_path.get_mut(path).and_then(Vec::pop);
        }
    }
    by_path.values().flatten().sum()
}

fn open_files(process: u32) -> usize {
    fs::read_dir(format!("/proc/{process}/fd")).unwrap().count()
}

#[test]
fn what_looks_into_others_keeps_nothing_of_them_and_ends_with_the_agent() {
    let server = tls::python();
    let (mut agent, _) = agent_that_knows(&[], &server);
    let helper = helper(&agent);
    // Others on this host may come with libraries of their own, and go.
    let of_libraries = |open: usize| open as i64 - links(&agent.log());
    let open = of_libraries(open_files(helper));
    // Each a process of its own, with a library that is known, and servers that have none.
    let forking = tls::python_forking("tls-many");
    assert_eq!(Client::asking(&forking, &["new:1009"]).answers, 1009);
    for _ in 0..7 {
        let server = tls::python();
        assert_eq!(Client::asking(&server, &["new:3"]).answers, 3);
    }
    eventually(open, || of_libraries(open_files(helper)));
    let status = fs::read_to_string(format!("/proc/{helper}/status")).unwrap();
    assert!(
        status.contains("NoNewPrivs:\t1") && status.contains("Seccomp:\t2"),
        "{status}"
    );
    let (status, _) = agent.stop(Signal::KILL);
    assert_eq!(status.signal(), Some(9));
    eventually(false, || {
        fs::exists(format!("/proc/{helper}/maps")).unwrap()
            && fs::read(format!("/proc/{helper}/maps")).is_ok_and(|it| !it.is_empty())
    });
    // And the servers go on.
    assert_eq!(Client::asking(&server, &["new:5", "keep:7"]).answers, 12);
}

#[test]
fn a_library_that_is_deleted_or_replaced() {
    let server = tls::python_with_own_library();
    let (agent, address) = web::start(AGENT, &[]);
    // It goes before anybody has looked.
    fs::remove_file(server.file("libssl.so.3")).unwrap();
    teach(&agent, &server);
    let before = requests(&text(address, "/metrics"), server.pid());
    sleep(Duration::from_millis(2200));
    let before = before.max(requests(&text(address, "/metrics"), server.pid()));
    let client = Client::asking(&server, &["keep:37", "new:3"]);
    assert_eq!(client.answers, 40);
    eventually(before + 40, || {
        requests(&text(address, "/metrics"), server.pid())
    });
    // Another file is another library.
    let next = tls::python_with_own_library();
    teach(&agent, &next);
}

#[test]
fn where_nobody_wants_that_nothing_is_started() {
    let (agent, address) = web::start(AGENT, &["--tls", "off"]);
    let tasks = fs::read_dir(format!("/proc/{}/task", agent.pid())).unwrap();
    for task in tasks {
        let children = fs::read_to_string(task.unwrap().path().join("children")).unwrap();
        assert_eq!(children, "");
    }
    let server = tls::python();
    assert_eq!(Client::asking(&server, &["new:7"]).answers, 7);
    eventually(Some(7.0), || {
        sample(&text(address, "/metrics"), UNSEEN, &[&pid(server.pid())])
    });
}

#[test]
fn who_looks_into_others_may_be_killed_and_counting_goes_on() {
    let server = tls::python();
    let (agent, address) = agent_that_knows(&[], &server);
    let helper = helper(&agent);
    let score = fs::read_to_string(format!("/proc/{helper}/oom_score_adj")).unwrap();
    assert_eq!(score.trim(), "1000");
    let helper = Pid::from_raw(helper.cast_signed()).unwrap();
    kill_process(helper, Signal::KILL).unwrap();
    eventually(true, || {
        agent.log().contains("TLS is only counted from now on")
    });
    // Its programs have gone with it, and the connections of a new process are counted.
    let next = tls::python();
    assert_eq!(Client::asking(&next, &["new:11"]).answers, 11);
    let unseen = |server: &Server| {
        let pid = pid(server.pid());
        sample(&text(address, "/metrics"), UNSEEN, &[&pid])
    };
    eventually(Some(11.0), || unseen(&next));
    // And those of one that was seen into.
    let before = unseen(&server).unwrap_or(0.0);
    assert_eq!(Client::asking(&server, &["new:7"]).answers, 7);
    eventually(Some(before + 7.0), || unseen(&server));
}
