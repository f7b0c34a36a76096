// SPDX-License-Identifier: Apache-2.0
//! What befalls an agent that runs: it is stopped for a while, clocks are not what they were, files go away, nobody reads what it
//! says. Nothing is lost, nothing counts twice, and no rate jumps. What is true is what the clients here have asked.

use std::fs::{self, File};
use std::io::{self, PipeReader, Write};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::panic::{self, AssertUnwindSafe};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};
use std::thread;
use std::time::{Duration, Instant};

use common::agent::{Agent, Program};
use common::alone;
use common::cgroup::ControlGroup;
use common::homemade::{Homemade, Kind, unique};
use common::ledger::Ledger;
use common::load::{Client, get, keep_alive};
use common::process::eventually;
use common::reader::{Reader, Receive};
use common::web::{self, sample, text};
use nix::fcntl::OFlag;
use nix::libc;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use rustix::process::Signal;
use scope_http_statistics::page::view::View;
use serde_json::Value;

const AGENT: Program = common::agent!();

/// For what takes seconds, on machines that are busy with other things.
const PATIENCE: Duration = Duration::from_secs(120);
/// Often enough to see every tick: a report has the last five.
const OFTEN: Duration = Duration::from_millis(300);
/// Ticks that a count has to stay at what it is.
const SETTLED: Duration = Duration::from_secs(2);
/// Longer than the agent takes to compare what it lists with what lives.
const SWEPT: Duration = Duration::from_secs(13);

const NONE: Option<&str> = None;

mod reader {
    #[test]
    #[ignore = "the entry of the servers that other tests start"]
    fn receives() {
        common::reader::serve_if_ordered();
    }

    #[test]
    #[ignore = "the entry of the servers that other tests start"]
    fn serves() {
        common::homemade::serve();
    }
}

/// A crowd of processes makes reports so long that they leave out ticks, whoever's agent it is.
static CROWD: RwLock<()> = RwLock::new(());

/// An agent whose reports are read without a gap, but where that is said.
struct Followed {
    _no_crowd: RwLockReadGuard<'static, ()>,
    agent: Agent,
    ledger: Ledger,
    /// What it has said last that a process has received.
    requests: u64,
}

impl Followed {
    fn start(command: Command, args: &[&str]) -> Self {
        let no_crowd = CROWD.read().unwrap_or_else(PoisonError::into_inner);
        Self {
            agent: Agent::try_start(command, args).unwrap_or_else(|error| panic!("{error}")),
            _no_crowd: no_crowd,
            ledger: Ledger::default(),
            requests: 0,
        }
    }

    /// Each rate times its time is a number of requests, and none is negative: the ledger sees to that. Nor does a counter go
    /// back, or beyond what was asked.
    fn look(&mut self, server: &Asked) {
        let report = self.agent.get("/report");
        // One that was stopped has nothing new to tell at first.
        if report.status != 503 {
            assert_eq!(report.status, 200, "{report:?}");
            // Of others on this host there may be too many for all of their ticks.
            let mut report: Value = serde_json::from_slice(&report.body).unwrap();
            let nodes = report["Process"]["nodes"].as_object_mut().unwrap();
            let own = format!(";{}", server.reader.pid());
            nodes.retain(|node, _| node.ends_with(&own));
            let report = serde_json::to_vec(&report).unwrap();
            let absorbed = self.ledger.absorb(&report);
            absorbed.unwrap_or_else(|error| panic!("{error:#}"));
        }
        let view = self.agent.get("/view");
        if view.status == 503 {
            return;
        }
        let view: View = serde_json::from_slice(&view.body).unwrap();
        let mut processes = view.processes.iter();
        let Some(process) = processes.find(|it| u64::from(it.pid) == server.reader.pid()) else {
            assert_eq!(self.requests, 0, "it was listed and is no more");
            return;
        };
        assert!(
            (self.requests..=server.asked).contains(&process.requests),
            "{} after {}, of {}",
            process.requests,
            self.requests,
            server.asked
        );
        self.requests = process.requests;
    }

    fn look_for(&mut self, time: Duration, server: &Asked) {
        let start = Instant::now();
        while start.elapsed() < time {
            self.look(server);
            thread::sleep(OFTEN);
        }
    }

    /// Waits until all that was asked is counted, and sees that it stays at that.
    fn is_exact(&mut self, server: &Asked) {
        let pid = server.reader.pid();
        let start = Instant::now();
        while self.ledger.count(pid) < server.asked && start.elapsed() < PATIENCE {
            self.look(server);
            thread::sleep(OFTEN);
        }
        self.look_for(SETTLED, server);
        assert_eq!(self.ledger.count(pid), server.asked);
        assert_eq!(self.requests, server.asked);
    }
}

/// A server, a connection to it that lasts, and how often it was asked.
struct Asked {
    reader: Reader,
    client: Client,
    asked: u64,
}

impl Asked {
    fn start() -> Self {
        Self::of(Reader::tcp(Receive::Read))
    }

    fn of(reader: Reader) -> Self {
        Self {
            client: Client::connect(&reader.address),
            reader,
            asked: 0,
        }
    }

    /// So many requests, one after the other, every third on a connection of its own.
    fn ask(&mut self, count: u64) {
        self.ask_within(Duration::ZERO, count);
    }

    /// The same, spread over a time.
    fn ask_within(&mut self, time: Duration, count: u64) {
        for number in 0..count {
            let mut other = (number % 3 == 0).then(|| Client::connect(&self.reader.address));
            let client = other.as_mut().unwrap_or(&mut self.client);
            assert_eq!(client.ask(get("/").as_bytes()).status, 200);
            self.asked += 1;
            thread::sleep(time / count as u32);
        }
    }
}

/// The agent after `prepare`, which may make system calls but must not allocate.
fn prepared(prepare: impl FnMut() -> io::Result<()> + Send + Sync + 'static) -> Command {
    let mut command = AGENT.command();
    // SAFETY: each closure below only makes system calls with what was allocated before the fork.
    unsafe { command.pre_exec(prepare) };
    command
}

fn state(pid: u32) -> char {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    fields.chars().next().unwrap()
}

/// The first samples of a process' requests that an agent lists.
fn first_samples(agent: &Agent, pid: u64) -> Vec<f64> {
    let start = Instant::now();
    loop {
        let report = agent.report();
        let mut nodes = report["Process"]["nodes"].as_object().unwrap().iter();
        let own = nodes.find(|(node, _)| node.ends_with(&format!(";{pid}")));
        if let Some((_, node)) = own {
            let samples = &node["metrics"]["http_requests_per_second"]["samples"];
            let samples = samples.as_array().unwrap().iter();
            return samples.map(|it| it["value"].as_f64().unwrap()).collect();
        }
        assert!(start.elapsed() < PATIENCE, "not listed");
        thread::sleep(OFTEN);
    }
}

/// No graph dips because an agent was restarted, and what was not there before begins from 0.
fn an_agent_that_is_restarted_under_load(backend: &str) {
    let _no_crowd = CROWD.read().unwrap_or_else(PoisonError::into_inner);
    let server = Reader::tcp(Receive::Read);
    let end = AtomicBool::new(false);
    let busy = || {
        let mut client = Client::connect(&server.address);
        while !end.load(Ordering::Relaxed) {
            assert_eq!(client.ask(get("/").as_bytes()).status, 200);
            thread::sleep(Duration::from_millis(1));
        }
    };
    // A machine may be so busy that nothing comes for a second. That is a 0 which is true.
    let restarted = || {
        let agent = AGENT.start(&["--backend", backend]);
        let samples = first_samples(&agent, server.pid());
        let fresh = Reader::tcp(Receive::Read);
        assert_eq!(keep_alive(&fresh.address, 7).answers, 7);
        assert_eq!(first_samples(&agent, fresh.pid())[0], 0.0);
        samples.iter().all(|rate| *rate > 0.0)
    };
    let without_a_dip = thread::scope(|scope| {
        let _busy = [scope.spawn(busy), scope.spawn(busy)];
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| (0..5).any(|_| restarted())));
        end.store(true, Ordering::Relaxed);
        outcome.unwrap_or_else(|panic| panic::resume_unwind(panic))
    });
    assert!(without_a_dip);
}

/// Shorter than it takes for reports to be refused as too old: that is another test's.
fn an_agent_that_is_stopped_for_a_while(backend: &str) {
    const STOPPED: Duration = Duration::from_secs(7);
    let args = ["--backend", backend, "--listen", "127.0.0.1:0"];
    let mut agent = Followed::start(AGENT.command(), &args);
    let address = web::address(&agent.agent);
    let mut server = Asked::start();
    let name = unique("stopped");
    let forking = Homemade::start(Kind::Forking, &name);
    server.ask(101);
    forking.ask(11);
    agent.is_exact(&server);
    agent.agent.signal(Signal::STOP);
    eventually('T', || state(agent.agent.pid()));
    server.ask_within(STOPPED, 211);
    forking.ask(89);
    agent.agent.signal(Signal::CONT);
    agent.is_exact(&server);
    server.ask(307);
    agent.is_exact(&server);
    // Processes that have come and gone meanwhile are in what their program has counted.
    let label = format!("process_executable_name=\"{name}\"");
    let requests = || {
        let metrics = text(address, "/metrics");
        sample(&metrics, "http_server_requests_total", &[&label])
    };
    eventually(Some(100.0), requests);
}

/// Its clocks of time since the start are set ahead and back: what the kernel says of processes is in other numbers then.
#[test]
fn an_agent_whose_clocks_are_others() {
    for offset in ["8640000", "-10"] {
        let offsets = format!("monotonic {offset} 0\nboottime {offset} 0\n");
        let command = prepared(move || {
            // SAFETY: it is about the children of this process alone.
            if unsafe { libc::unshare(libc::CLONE_NEWTIME) } != 0 {
                return Err(io::Error::last_os_error());
            }
            fs::write("/proc/self/timens_offsets", &offsets)?;
            let own = File::open("/proc/self/ns/time_for_children")?;
            Ok(setns(own, CloneFlags::empty())?)
        });
        let mut agent = Followed::start(command, &[]);
        let mut server = Asked::start();
        server.ask(101);
        agent.is_exact(&server);
        agent.look_for(SWEPT, &server);
        server.ask(211);
        agent.is_exact(&server);
    }
}

/// A thread among the mounts of another process.
fn within_mounts_of<T: Send>(pid: u32, act: impl FnOnce() -> T + Send) -> T {
    let mounts = File::open(format!("/proc/{pid}/ns/mnt")).unwrap();
    thread::scope(|scope| {
        let among = scope.spawn(|| {
            unshare(CloneFlags::CLONE_FS).unwrap();
            setns(mounts, CloneFlags::CLONE_NEWNS).unwrap();
            act()
        });
        among.join().unwrap()
    })
}

fn an_agent_whose_tracefs_is_unmounted(backend: &str) {
    let command = prepared(|| {
        unshare(CloneFlags::CLONE_NEWNS)?;
        mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE)?;
        Ok(())
    });
    let mut agent = Followed::start(command, &["--backend", backend]);
    let mut server = Asked::start();
    server.ask(101);
    agent.is_exact(&server);
    let pid = agent.agent.pid();
    let mounts = format!("/proc/{pid}/mounts");
    within_mounts_of(pid, || {
        for root in ["/sys/kernel/debug/tracing", "/sys/kernel/tracing"] {
            // Each is where it is mounted, and may be so more than once.
            while umount2(root, MntFlags::MNT_DETACH).is_ok() {}
        }
    });
    let left = fs::read_to_string(mounts).unwrap();
    assert!(!left.contains(" tracefs "), "{left}");
    server.ask(211);
    agent.is_exact(&server);
}

/// A setting of the kernel, which is put back.
struct Setting {
    path: &'static str,
    before: String,
}

impl Setting {
    fn of(path: &'static str) -> Self {
        let before = fs::read_to_string(path).unwrap();
        Self { path, before }
    }

    fn set(&self, value: &str) {
        fs::write(self.path, value).unwrap();
    }
}

impl Drop for Setting {
    fn drop(&mut self) {
        // Where it fails, that is seen in the next test that sets it.
        let _ = fs::write(self.path, &self.before);
    }
}

fn statistics_of_programs_that_come_and_go(backend: &str) {
    let _alone = alone();
    let args = ["--backend", backend, "--listen", "127.0.0.1:0"];
    let mut agent = Followed::start(AGENT.command(), &args);
    let address = web::address(&agent.agent);
    let mut server = Asked::start();
    let enabled = Setting::of("/proc/sys/kernel/bpf_stats_enabled");
    let runs = || {
        let metrics = text(address, "/metrics");
        sample(&metrics, "scope_http_bpf_runs_total", &[])
    };
    let mut before = 0.0;
    for value in ["1", "0", "1", "0"] {
        enabled.set(value);
        server.ask(53);
        agent.is_exact(&server);
        // Where they are kept no more, what was seen of them may stand.
        if let Some(after) = runs() {
            assert!(after >= before, "{after} runs after {before}");
            assert!(value == "0" || after > before, "{after} runs");
            before = after;
        }
    }
    assert!(before > 0.0);
}

common::by_backend!(
    an_agent_that_is_restarted_under_load,
    an_agent_that_is_stopped_for_a_while,
    an_agent_whose_tracefs_is_unmounted,
    statistics_of_programs_that_come_and_go,
);

/// The verifier takes more than that while programs are loaded, so that the limit comes when they are.
#[test]
fn a_small_memory_while_processes_come_and_go() {
    const LIMIT: u64 = 64 << 20;
    const CLIENTS: u64 = 4;
    const EACH: u64 = 1009;
    let _crowd = CROWD.write().unwrap_or_else(PoisonError::into_inner);
    let group = ControlGroup::new("memory", &unique("http-stat-small"));
    let members = File::options().write(true).open(group.members()).unwrap();
    let command = prepared(move || (&members).write_all(b"0"));
    let args = ["--listen", "127.0.0.1:0"];
    let agent = Agent::try_start(command, &args).unwrap();
    let address = web::address(&agent);
    group.limit_memory(LIMIT);
    let name = unique("small");
    let server = Homemade::start(Kind::Forking, &name);
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| server.ask(EACH));
        }
        for _ in 0..10 {
            agent.report();
            text(address, "/metrics");
            thread::sleep(OFTEN);
        }
    });
    let label = format!("process_executable_name=\"{name}\"");
    eventually(Some((CLIENTS * EACH) as f64), || {
        let metrics = text(address, "/metrics");
        sample(&metrics, "http_server_requests_total", &[&label])
    });
}

/// Whatever it would say: counts, and ends when it is asked to.
fn speechless(command: Command) {
    let mut agent = Followed::start(command, &["-vv"]);
    let mut server = Asked::start();
    server.ask(101);
    agent.is_exact(&server);
    server.ask(211);
    agent.is_exact(&server);
    let (status, _) = agent.agent.stop(Signal::TERM);
    assert!(status.success(), "{status}");
}

#[test]
fn nobody_to_hear_it_since_stderr_is_closed() {
    speechless(prepared(|| {
        // SAFETY: the descriptor is nobody's but this child's.
        unsafe { libc::close(libc::STDERR_FILENO) };
        Ok(())
    }));
}

/// A pipe that is full, and the end at which nobody reads.
fn full_pipe() -> (PipeReader, io::PipeWriter) {
    let (reader, mut writer) = io::pipe().unwrap();
    let pipe = writer.as_raw_fd();
    let set = |flags: OFlag| {
        // SAFETY: the descriptor is open, and the flags are no address.
        assert_eq!(unsafe { libc::fcntl(pipe, libc::F_SETFL, flags.bits()) }, 0);
    };
    set(OFlag::O_NONBLOCK);
    while writer.write(&[b'.'; 4096]).is_ok() {}
    set(OFlag::empty());
    (reader, writer)
}

#[test]
fn nobody_to_hear_it_since_stderr_is_a_full_pipe() {
    let (_unread, full) = full_pipe();
    speechless(prepared(move || {
        // SAFETY: both are descriptors of this child.
        match unsafe { libc::dup2(full.as_raw_fd(), libc::STDERR_FILENO) } {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    }));
}

#[test]
fn nobody_to_hear_it_since_stderr_is_a_pipe_without_a_reader() {
    let (unread, writer) = io::pipe().unwrap();
    drop(unread);
    let broken = move || {
        // SAFETY: both are descriptors of this child.
        match unsafe { libc::dup2(writer.as_raw_fd(), libc::STDERR_FILENO) } {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    };
    speechless(prepared(broken));
}

/// All in one tick or in a few, as it comes: what has the pid next is another process. A thread of another test may get it first; then all begins again.
#[test]
fn a_pid_that_is_reused_at_once() {
    let agent = AGENT.start(&[]);
    let reused = (0..50).any(|_| {
        let first = Reader::tcp(Receive::Read);
        let pid = first.pid();
        let mut first = Asked::of(first);
        first.ask(17);
        // Read, so that the process is known and not only its workload.
        let requests = || -> Vec<u64> {
            let view = agent.get("/view");
            let view: View = serde_json::from_slice(&view.body).unwrap();
            let mut processes: Vec<_> = view
                .processes
                .iter()
                .filter(|it| u64::from(it.pid) == pid)
                .map(|it| (it.start_time, it.requests))
                .collect();
            processes.sort_unstable();
            processes
                .into_iter()
                .map(|(_, requests)| requests)
                .collect()
        };
        eventually(vec![17], requests);
        first.ask(2);
        drop(first);
        let Some(second) = Reader::tcp_with_pid(Receive::Read, pid) else {
            return false;
        };
        let mut second = Asked::of(second);
        second.ask(23);
        // Both are listed, until the first one has been gone for some ticks.
        let start = Instant::now();
        let mut seen = requests();
        while seen != [23] {
            let fits = match seen[..] {
                [first] => (17..=19).contains(&first) || first <= 23,
                [first, second] => (17..=19).contains(&first) && second <= 23,
                _ => false,
            };
            assert!(fits, "{seen:?}");
            assert!(start.elapsed() < PATIENCE, "{seen:?}");
            thread::sleep(OFTEN);
            seen = requests();
        }
        true
    });
    assert!(reused, "other tests got every pid first");
}
