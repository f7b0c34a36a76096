// SPDX-License-Identifier: Apache-2.0
//! Servers of HTTP/2 under `h2load`, with 100 streams on each of four connections: nginx, and Go's on one CPU.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::cores::{Cores, pin};
use crate::nginx::{Nginx, Rates, VARIANTS, take_turns};
use crate::variant::Variant;

pub fn measure(turns: usize, seconds: u32, cores: Cores) -> Result<Vec<(&'static str, Rates)>> {
    let variants = [&VARIANTS[..], &[Variant::Heads]].concat();
    let run = |what, port| {
        let rates = take_turns(what, turns, &variants, || rate(port, seconds, cores))?;
        Ok((what, rates))
    };
    let nginx = Nginx::start(cores, "http2")?;
    let of_nginx = run("nginx under h2load, 100 streams", nginx.port);
    drop(nginx);
    let go = Go::start(cores)?;
    let of_go = run("Go under h2load, 100 streams", go.port);
    [of_nginx, of_go].into_iter().collect()
}

fn rate(port: u16, seconds: u32, cores: Cores) -> Result<f64> {
    pin(cores.there)?;
    let output = Command::new("h2load")
        .args(["--threads=1", "--clients=4", "--max-concurrent-streams=100"])
        .arg(format!("--duration={seconds}"))
        .arg(format!("http://127.0.0.1:{port}/"))
        .output()
        .context("cannot start h2load: install it")?;
    pin(cores.here)?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success() && text.contains(" 0 failed, 0 errored"),
        "h2load met errors: {text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text.split_once(" req/s")
        .and_then(|(before, _)| before.rsplit(' ').next())
        .and_then(|rate| rate.parse().ok())
        .with_context(|| format!("h2load told no rate: {text}"))
}

struct Go {
    server: Child,
    port: u16,
    _folder: TempDir,
}

impl Go {
    fn start(cores: Cores) -> Result<Self> {
        let folder = tempfile::tempdir().context("no temporary folder")?;
        let program = folder.path().join("server");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/overhead/h2c.go");
        let built = Command::new("go")
            .args(["build", "-o"])
            .args([&program, &source])
            .env("GO111MODULE", "off")
            .env("GOPATH", "/usr/share/gocode")
            .env("GOCACHE", folder.path().join("cache"))
            .status()
            .context("cannot start go: install it")?;
        ensure!(built.success(), "h2c.go does not compile");
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        pin(cores.here)?;
        let server = Command::new(program)
            .arg(port.to_string())
            .env("GOMAXPROCS", "1")
            .stdin(Stdio::null())
            .spawn()?;
        let go = Self {
            server,
            port,
            _folder: folder,
        };
        for _ in 0..100 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Ok(go);
            }
            sleep(Duration::from_millis(50));
        }
        anyhow::bail!("the server of Go does not answer on port {port}")
    }
}

impl Drop for Go {
    fn drop(&mut self) {
        // Either fails only where it has ended.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
