// SPDX-License-Identifier: Apache-2.0
//! The real agent, and what can be learnt of it from outside.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};
use scope_http_statistics::kernel::backend::Backend;
use tempfile::TempDir;

/// It reads the counters once in this time.
pub const INTERVAL: Duration = Duration::from_secs(1);
const HARVEST_LIMIT: Duration = Duration::from_secs(30);
/// The verifier walks every program.
const START_LIMIT: Duration = Duration::from_secs(60);

/// How long its threads have run.
#[derive(Default)]
pub struct Times {
    of_threads: HashMap<OsString, Duration>,
    /// The one that reads the counters.
    pub sampler: Duration,
}

impl Times {
    /// Of all threads together since then, but for those that have ended meanwhile.
    pub fn since(&self, before: &Self) -> Duration {
        let of = |it: &Self, id| it.of_threads.get(id).copied().unwrap_or_default();
        let grown = self
            .of_threads
            .iter()
            .map(|(id, ran)| *ran - of(before, id));
        grown.sum()
    }
}

/// A running agent with a plugins root of its own. It is ended when dropped.
pub struct Agent {
    child: Child,
    folder: TempDir,
}

impl Agent {
    pub fn start(backend: Backend, max_processes: u32, max_connections: u32) -> Result<Self> {
        let args = [
            ("--backend", backend.to_string()),
            ("--max-processes", max_processes.to_string()),
            ("--max-connections", max_connections.to_string()),
        ];
        let args = args.into_iter();
        let args = args.flat_map(|(name, value)| [name.to_owned(), value]);
        Self::start_in(None, args.collect())
    }

    /// In a control group, whose members this file has.
    pub fn start_in(members: Option<&Path>, args: Vec<String>) -> Result<Self> {
        let members = members.map(|file| File::options().write(true).open(file));
        let members = members.transpose()?;
        let folder = tempfile::Builder::new().prefix("http-stat-").tempdir()?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_scope-http-statistics"));
        command
            .arg("--plugins-root")
            .arg(folder.path())
            .args(["--listen", "127.0.0.1:0"])
            .args(args)
            .stdin(Stdio::null())
            .stderr(File::create(folder.path().join("log"))?);
        // SAFETY: between fork and exec, these are plain system calls that touch no memory.
        unsafe {
            command.pre_exec(move || {
                if let Some(mut members) = members.as_ref() {
                    members.write_all(b"0")?;
                }
                Ok(set_parent_process_death_signal(Some(Signal::KILL))?)
            });
        }
        let child = command.spawn().context("cannot start the agent")?;
        let mut agent = Self { child, folder };
        let start = Instant::now();
        while agent.connect().is_err() {
            if agent.child.try_wait()?.is_some() || start.elapsed() > START_LIMIT {
                let log = fs::read_to_string(agent.folder.path().join("log"))?;
                bail!("the agent does not start: {}", log.trim_end());
            }
            sleep(Duration::from_millis(20));
        }
        Ok(agent)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    fn connect(&self) -> Result<UnixStream> {
        let socket = "http-statistics/http-statistics.sock";
        Ok(UnixStream::connect(self.folder.path().join(socket))?)
    }

    /// The report's body.
    pub fn report(&self, encoding: &str) -> Result<Vec<u8>> {
        let mut stream = self.connect()?;
        write!(
            stream,
            "GET /report HTTP/1.1\r\nHost: plugin\r\nConnection: close\r\nAccept-Encoding: {encoding}\r\n\r\n"
        )?;
        let mut response = Vec::new();
        stream.read_to_end(&mut response)?;
        ensure!(response.starts_with(b"HTTP/1.1 200 "), "no report");
        let head = response.windows(4).position(|four| four == b"\r\n\r\n");
        Ok(response.split_off(head.context("half a report")? + 4))
    }

    /// A size in `/proc/<pid>/status`, in KiB.
    pub fn status(&self, field: &str) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        status
            .lines()
            .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
            .and_then(|value| value.trim().strip_suffix(" kB")?.parse().ok())
            .with_context(|| format!("the kernel does not tell {field}"))
    }

    pub fn times(&self) -> Result<Times> {
        let mut times = Times::default();
        for thread in fs::read_dir(format!("/proc/{}/task", self.pid()))? {
            let thread = thread?;
            // One that has ended meanwhile has no more to tell.
            let (Ok(ran), Ok(name)) = (
                fs::read_to_string(thread.path().join("schedstat")),
                fs::read_to_string(thread.path().join("comm")),
            ) else {
                continue;
            };
            let ran: u64 = ran.split(' ').next().context("no times")?.parse()?;
            let ran = Duration::from_nanos(ran);
            times.of_threads.insert(thread.file_name(), ran);
            if name.trim_end() == "sampler" {
                times.sampler = ran;
            }
        }
        Ok(times)
    }

    pub fn threads(&self) -> Result<usize> {
        Ok(fs::read_dir(format!("/proc/{}/task", self.pid()))?.count())
    }

    /// The address of its page.
    pub fn page(&self) -> Result<SocketAddr> {
        let start = Instant::now();
        while start.elapsed() < START_LIMIT {
            let log = fs::read_to_string(self.folder.path().join("log"))?;
            if let Some((_, rest)) = log.split_once("page: http://") {
                let (address, _) = rest.split_once('/').context("no address")?;
                return Ok(address.parse()?);
            }
            sleep(Duration::from_millis(20));
        }
        bail!("the agent does not say where its page is")
    }

    /// The sum of a metric.
    fn metric(&self, name: &str) -> Result<f64> {
        let mut stream = TcpStream::connect(self.page()?)?;
        write!(
            stream,
            "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        let lines = text
            .lines()
            .filter_map(|line| line.strip_prefix(name)?.rsplit_once("} "));
        lines.map(|(_, value)| Ok(value.parse::<f64>()?)).sum()
    }

    pub fn requests(&self) -> Result<f64> {
        self.metric("http_server_requests_total{")
    }

    /// Waits until it tells of so many processes.
    pub fn wait_for(&self, processes: usize) -> Result<()> {
        let start = Instant::now();
        while self.metric("scope_http_processes{")? < processes as f64 {
            ensure!(start.elapsed() < HARVEST_LIMIT, "processes are missing");
            sleep(INTERVAL);
        }
        Ok(())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Both fail only where the agent has already ended.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}
