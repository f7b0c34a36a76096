// SPDX-License-Identifier: Apache-2.0
//! nginx under `wrk`: one worker that answers from memory, kept busy by one thread on the other core.

use std::collections::BTreeMap;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use scope_http_statistics::kernel::choice::objects;
use tempfile::TempDir;

use crate::cores::{Cores, pin};
use crate::variant::Variant;

pub const VARIANTS: [Variant; 5] = [
    Variant::None,
    Variant::EmptySock,
    Variant::Sock,
    Variant::EmptySyscall,
    Variant::Syscall,
];

/// Requests per second of each turn.
pub type Rates = BTreeMap<Variant, Vec<f64>>;

pub fn measure(turns: usize, seconds: u32, cores: Cores) -> Result<Rates> {
    let nginx = Nginx::start(cores, "")?;
    take_turns("nginx under wrk", turns, &VARIANTS, || nginx.rate(seconds))
}

/// Each turn has a new copy of each program, and its own rate with nobody watching.
pub fn take_turns(
    what: &str,
    turns: usize,
    variants: &[Variant],
    rate: impl Fn() -> Result<f64>,
) -> Result<Rates> {
    let mut storage: Vec<_> = (0..turns * variants.len()).map(|_| objects()).collect();
    let mut slots = storage.iter_mut();
    let mut loaded = Vec::new();
    let mut order = variants.to_vec();
    let mut rates = Rates::new();
    for turn in 1..=turns {
        eprintln!("{what}: turn {turn} of {turns}");
        for variant in &order {
            let mut observer = variant.load(slots.next().context("too few slots")?)?;
            observer.attach()?;
            rates.entry(*variant).or_default().push(rate()?);
            observer.detach()?;
            loaded.push(observer);
        }
        // Whoever comes first finds another machine than whoever comes last.
        order.rotate_left(1);
    }
    Ok(rates)
}

pub struct Nginx {
    master: Child,
    pub port: u16,
    cores: Cores,
    _folder: TempDir,
}

impl Nginx {
    /// `listen` may be `http2`.
    pub fn start(cores: Cores, listen: &str) -> Result<Self> {
        let folder = tempfile::tempdir().context("no temporary folder")?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let config = folder.path().join("nginx.conf");
        fs::write(&config, configuration(port, listen))?;
        pin(cores.here)?;
        let master = Command::new("nginx")
            .arg("-p")
            .arg(folder.path())
            .arg("-c")
            .arg(&config)
            .args(["-e", "stderr"])
            .stdin(Stdio::null())
            .spawn()
            .context("cannot start nginx: install it")?;
        let mut nginx = Self {
            master,
            port,
            cores,
            _folder: folder,
        };
        nginx.wait_until_ready()?;
        Ok(nginx)
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        for _ in 0..100 {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return Ok(());
            }
            if let Some(status) = self.master.try_wait()? {
                anyhow::bail!("nginx ended at once: {status}");
            }
            sleep(Duration::from_millis(50));
        }
        anyhow::bail!("nginx does not answer on port {}", self.port)
    }

    fn rate(&self, seconds: u32) -> Result<f64> {
        pin(self.cores.there)?;
        let output = Command::new("wrk")
            .args(["-t1", "-c16", &format!("-d{seconds}s")])
            .arg(format!("http://127.0.0.1:{}/", self.port))
            .output()
            .context("cannot start wrk: install it")?;
        pin(self.cores.here)?;
        let text = String::from_utf8_lossy(&output.stdout);
        anyhow::ensure!(
            output.status.success() && !text.contains("Socket errors") && !text.contains("Non-2xx"),
            "wrk met errors: {text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        text.lines()
            .find_map(|line| line.strip_prefix("Requests/sec:"))
            .and_then(|rate| rate.trim().parse().ok())
            .with_context(|| format!("wrk told no rate: {text}"))
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // The master ends its worker only when it is asked to end; a failure leaves nothing to be done.
        let _ = kill_process(Pid::from_child(&self.master), Signal::TERM);
        let _ = self.master.wait();
    }
}

/// An answer from memory is the hardest case: there is nothing else for the agent's cost to hide behind.
fn configuration(port: u16, listen: &str) -> String {
    format!(
        "daemon off;
        worker_processes 1;
        pid nginx.pid;
        events {{ worker_connections 64; }}
        http {{
            access_log off;
            keepalive_requests 1000000000;
            default_type application/json;
            server {{
                listen 127.0.0.1:{port} {listen};
                location / {{ return 200 '{{\"id\":7,\"name\":\"benchmark\"}}'; }}
            }}
        }}
        "
    )
}
