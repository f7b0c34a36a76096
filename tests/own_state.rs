// SPDX-License-Identifier: Apache-2.0
//! What the agent says of itself: what it had no room for, how many connections it follows, which processes have gone, and how old
//! its numbers are. Others may serve HTTP on this host meanwhile; where that makes a difference, a second agent says how much.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::process::Command;
use std::time::{Duration, Instant};

use common::agent::{Agent, Program};
use common::answering::{answering, ask};
use common::load::{Client, get};
use common::process::eventually;
use common::servers::Server;
use common::web::{self, sample, text};
use libbpf_rs::{MapCore, MapFlags, MapHandle, MapType};
use nix::libc;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use scope_http_statistics::page::view::View;

const AGENT: Program = common::agent!();

/// For what comes once in ten seconds, on machines that are busy with other things.
const PATIENCE: Duration = Duration::from_secs(60);

fn within_patience(mut condition: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if condition() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    condition()
}

fn view(agent: &Agent) -> View {
    let response = agent.get("/view");
    assert_eq!(response.status, 200, "{response:?}");
    serde_json::from_slice(&response.body).unwrap()
}

/// So many requests in one send, so that the server receives several of them at once.
fn ask_at_once(server: &Server, count: usize) {
    let mut client = Client::connect(&server.address);
    client.send(get("/200").repeat(count).as_bytes());
    for _ in 0..count {
        assert_eq!(client.answer().status, 200);
    }
}

/// Requests of a process, or of all, as an agent with room for them says.
fn requests_of(metrics: &str, pid: Option<u32>) -> u64 {
    let label = pid.map_or(String::new(), |pid| format!("process_pid=\"{pid}\""));
    sample(metrics, "http_server_requests_total", &[&label]).unwrap_or(0.0) as u64
}

#[test]
fn what_there_was_no_room_for_is_counted_one_by_one() {
    // Far more than others on this host may ask meanwhile, so that these do not make up for what is not counted.
    const AT_ONCE: usize = 100;
    const TIMES: usize = 30;
    const KINDS: [u16; 9] = [200, 201, 202, 203, 404, 410, 500, 501, 503];
    let (_roomy, roomy) = web::start(AGENT, &[]);
    // One process, two workloads and eight kinds of answers.
    let least = ["--max-processes", "1", "--max-workloads", "1"];
    let (small, small_metrics) = web::start_by_workload(AGENT, &least);
    let names = ["no-room-first", "no-room-second"];
    let servers = names.map(answering);
    let own: BTreeSet<u32> = servers.iter().map(|it| it.pid() as u32).collect();
    let mut asked = 0;
    for server in &servers {
        for _ in 0..TIMES {
            ask_at_once(server, AT_ONCE);
        }
        for kind in KINDS {
            ask(server, kind, 3);
        }
        asked += (TIMES * AT_ONCE + KINDS.len() * 3) as u64;
    }
    let all_own = |metrics: &str| own.iter().map(|pid| requests_of(metrics, Some(*pid))).sum();
    // No agent counts what it is asked itself, and each counts what the other one is.
    let mut scrapes = 0;
    let mut scrape = || {
        scrapes += 1;
        text(roomy, "/metrics")
    };
    eventually(asked, || all_own(&scrape()));
    // The other agent has its own seconds.
    std::thread::sleep(Duration::from_millis(2500));
    let view = view(&small);
    let shown = text(small_metrics, "/metrics");
    // What others have asked, until later than that.
    std::thread::sleep(Duration::from_millis(2500));
    let metrics = scrape();
    let others = requests_of(&metrics, None) - asked - requests_of(&metrics, Some(small.pid()));
    let others = others + scrapes;

    let processes = view.processes.iter().filter(|it| own.contains(&it.pid));
    let listed: u64 = processes.map(|it| it.requests).sum();
    // What is not listed is missed by that reason, and counts for the workload all the same.
    let all = |name| sample(&shown, name, &[]).unwrap_or(0.0) as u64;
    let within = |what: &str, counted: u64, expected: u64| {
        let most = expected + others;
        assert!(
            expected > 0 && (expected..=most).contains(&counted),
            "{what}: {counted}, between {expected} and {most}"
        );
    };
    within(
        "processes_full",
        view.missed["processes_full"],
        asked - listed,
    );
    within(
        "unlisted",
        all("scope_http_unlisted_requests_total"),
        asked - listed,
    );
    within("requests", all("http_server_requests_total"), asked);
    // Of the answers, those that have no kind of their own: the others of their owner are one, or there is no room for that.
    let of_own_kind = |line: &&str| {
        line.starts_with("http_server_request_duration_seconds_count{")
            && !line.contains("http_response_status_code=\"_OTHER\"")
    };
    let kinds = shown.lines().filter(of_own_kind);
    let own_kinds: u64 = kinds
        .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
        .sum();
    within("series_full", view.missed["series_full"] + own_kinds, asked);
    assert!(view.missed["series_full"] > 0);
}

/// The descriptors of all sockets of a process, in this one.
fn second_descriptors(pid: u64) -> Vec<OwnedFd> {
    let process = Pid::from_raw(pid as i32).unwrap();
    let process = pidfd_open(process, PidfdFlags::empty()).unwrap();
    let files = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let files = files.map(|file| file.unwrap().path());
    let is_socket = |file: &std::path::PathBuf| {
        fs::read_link(file).is_ok_and(|link| link.to_string_lossy().starts_with("socket:"))
    };
    files
        .filter(is_socket)
        .map(|file| {
            let number = file.file_name().unwrap().to_str().unwrap().parse().unwrap();
            pidfd_getfd(&process, number, PidfdGetfdFlags::empty()).unwrap()
        })
        .collect()
}

#[test]
fn a_connection_with_several_descriptors_is_one() {
    const OPEN: usize = 40;
    for backend in ["sock", "syscall"] {
        let (agent, address) = web::start(AGENT, &["--backend", backend]);
        let server = answering("connections");
        let mut open: Vec<Client> = (0..OPEN)
            .map(|_| Client::connect(&server.address))
            .collect();
        for client in &mut open {
            assert_eq!(client.ask(get("/200").as_bytes()).status, 200);
        }
        let more = [server.pid(), server.pid()].map(second_descriptors);
        assert!(more.iter().all(|sockets| sockets.len() > OPEN));
        let mut counted = None;
        let agrees = within_patience(|| {
            counted = sample(&text(address, "/metrics"), "scope_http_connections", &[]);
            let others = view(&agent)
                .processes
                .iter()
                .any(|it| u64::from(it.pid) != server.pid());
            let most = if others { 2 * OPEN - 1 } else { OPEN };
            counted.is_some_and(|counted| (OPEN..=most).contains(&(counted as usize)))
        });
        assert!(agrees, "{backend}: {counted:?} of {OPEN}");
    }
}

/// A map of a running agent.
fn map_of(agent: &Agent, name: &str, kind: MapType) -> MapHandle {
    let files = fs::read_dir(format!("/proc/{}/fdinfo", agent.pid())).unwrap();
    let texts = files.filter_map(|file| fs::read_to_string(file.unwrap().path()).ok());
    let ids = texts.filter_map(|text| {
        let id = text.lines().find_map(|line| line.strip_prefix("map_id:"))?;
        id.trim().parse().ok()
    });
    let mut maps = ids.map(|id| MapHandle::from_map_id(id).unwrap());
    let of_name = maps.find(|map| map.name().to_string_lossy() == name && map.map_type() == kind);
    of_name.unwrap_or_else(|| panic!("no map {name}"))
}

/// As `struct http_owner_key` has it.
fn key(pid: u32, start_time: u64) -> Vec<u8> {
    [start_time, pid.into()].map(u64::to_ne_bytes).concat()
}

/// As `struct http_process` has one that has received so many requests. Its workload is the first one, which is always there.
fn process(key: &[u8], requests: u64) -> Vec<u8> {
    const SHARDS: usize = 4;
    let shard = |requests: u64| [key, &requests.to_ne_bytes(), &[0; 40]].concat();
    let mut value = shard(requests);
    for _ in 1..SHARDS {
        value.extend(shard(0));
    }
    value.extend(key);
    // How many kinds of answers, which share, unlisted ones, those of TLS, the workload, whether it has ended.
    value.extend([0; 4 + 4 + 8 + 8 + 4 + 4]);
    value
}

/// Changes the first number of an entry in an array.
fn change(map: &MapHandle, entry: u32, change: impl FnOnce(u64) -> u64) {
    let entry = entry.to_ne_bytes();
    let mut value = map.lookup(&entry, MapFlags::ANY).unwrap().unwrap();
    let number = u64::from_ne_bytes(value[..8].try_into().unwrap());
    value[..8].copy_from_slice(&change(number).to_ne_bytes());
    map.update(&entry, &value, MapFlags::ANY).unwrap();
}

#[test]
fn a_process_whose_exit_was_not_seen_goes_and_those_that_live_stay() {
    let agent = AGENT.start(&[]);
    let server = answering("living");
    ask(&server, 200, 7);
    let mut gone = Command::new("true").spawn().unwrap();
    gone.wait().unwrap();
    let pid = gone.id();
    let map = map_of(&agent, "http_processes", MapType::Array);
    // The kernel keeps fifteen characters of what is called `http_processes_at`, `_free` and `_used`.
    let beside = |kind| map_of(&agent, "http_processes_", kind);
    let (at, free, used) = (
        beside(MapType::Hash),
        beside(MapType::Stack),
        beside(MapType::Array),
    );
    // One that has ended, and one whose pid a living process has now.
    let keys = [key(pid, 1), key(server.pid() as u32, 1)];
    let untaken = map_of(&agent, "http_untaken", MapType::Hash);
    let shares = map_of(&agent, "http_shares", MapType::Array);
    for key in &keys {
        // As the programs do it.
        let place = free.lookup_and_delete(&[]).unwrap().expect("a free place");
        map.update(&place, &process(key, 23), MapFlags::ANY)
            .unwrap();
        untaken.update(key, &[1], MapFlags::ANY).unwrap();
        at.update(key, &place, MapFlags::NO_EXIST).unwrap();
        let number = u32::from_ne_bytes(place.try_into().unwrap());
        change(&used, number / 64, |bits| bits | 1 << (number % 64));
        // It comes out of the first share, and out of that of all.
        for share in [0, shares.max_entries() - 1] {
            change(&shares, share, |held| held + 1);
        }
    }
    let requests_of = |pid: u32, start_time: Option<u64>| {
        let processes = view(&agent).processes.into_iter();
        let mut is_it = processes
            .filter(|it| it.pid == pid && start_time.is_none_or(|time| it.start_time == time));
        is_it.next().map(|it| it.requests)
    };
    eventually(Some(23), || requests_of(pid, Some(1)));
    let is_gone = |key: &Vec<u8>| at.lookup(key, MapFlags::ANY).unwrap().is_none();
    assert!(within_patience(|| keys.iter().all(is_gone)));
    eventually(None, || requests_of(pid, None));
    // There is one left of that pid, which is the one that lives.
    eventually(Some(7), || requests_of(server.pid() as u32, None));
    ask(&server, 200, 4);
    eventually(Some(11), || requests_of(server.pid() as u32, None));
}

/// The sampling thread of an agent, stopped until this is dropped, while all others go on.
struct Stopped(i32);

impl Stopped {
    fn sampler(agent: &Agent) -> Self {
        let tasks = fs::read_dir(format!("/proc/{}/task", agent.pid())).unwrap();
        let mut tasks = tasks.map(|task| task.unwrap().path());
        let is_sampler = |task: &std::path::PathBuf| {
            fs::read_to_string(task.join("comm")).is_ok_and(|name| name == "sampler\n")
        };
        let sampler = tasks.find(is_sampler).expect("a sampling thread");
        let thread = sampler.file_name().unwrap().to_str().unwrap();
        let stopped = Self(thread.parse().unwrap());
        stopped.ptrace(libc::PTRACE_SEIZE);
        stopped.ptrace(libc::PTRACE_INTERRUPT);
        // SAFETY: the kernel writes no status where there is no place for one.
        let waited = unsafe { libc::waitpid(stopped.0, std::ptr::null_mut(), libc::__WALL) };
        assert_eq!(waited, stopped.0);
        stopped
    }

    fn ptrace(&self, request: libc::c_uint) {
        // SAFETY: none of the requests here reads or writes memory.
        let returned = unsafe { libc::ptrace(request, self.0, 0, 0) };
        assert_eq!(returned, 0, "{}", std::io::Error::last_os_error());
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        self.ptrace(libc::PTRACE_DETACH);
    }
}

#[test]
fn old_numbers_are_not_passed_off_as_new_ones() {
    let (agent, address) = web::start(AGENT, &[]);
    let age = |address: SocketAddr| {
        sample(
            &text(address, "/metrics"),
            "scope_http_snapshot_age_seconds",
            &[],
        )
        .unwrap()
    };
    assert!(age(address) < PATIENCE.as_secs_f64());
    let stopped = Stopped::sampler(&agent);
    let before = age(address);
    assert!(within_patience(|| agent.get("/report").status == 503));
    let said = agent.get("/report").body;
    assert!(String::from_utf8_lossy(&said).contains("out of reach"));
    assert_eq!(agent.get("/view").status, 503);
    let after = age(address);
    assert!(after > before && after > 10.0, "{before} {after}");
    drop(stopped);
    assert!(within_patience(|| agent.get("/report").status == 200));
    assert!(age(address) < after);
    let failures = "scope_http_harvest_failures_total";
    // It was late and did not fail.
    assert_eq!(sample(&text(address, "/metrics"), failures, &[]), Some(0.0));
}
