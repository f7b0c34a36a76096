// SPDX-License-Identifier: Apache-2.0
//! Calls of gRPC over TLS, by the servers and clients of `tests/accuracy/apps/grpc`: the truth is what the clients say.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use common::agent::output_of;
use common::process::eventually;
use common::servers::Server;
use common::tls::{self, certificate};
use common::web::{sample, text};

use super::{UNSEEN, agent_that_knows, knows, pid, requests, teach};

const CALLS: &str = "rpc_server_duration_seconds_count";
const ALL: u64 = 356;

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/accuracy/apps/grpc")
        .join(name)
}

fn built(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

static GO: LazyLock<PathBuf> = LazyLock::new(|| {
    let program = built("tls-grpc-go");
    common::built::go(&source("app.go"), program, &["-ldflags=-s -w"])
});

static JS: LazyLock<PathBuf> =
    LazyLock::new(|| common::built::node(&source(""), &built("tls-grpc-js")));

fn go() -> Command {
    Command::new(&*GO)
}

fn js() -> Command {
    let mut command = Command::new("/usr/bin/node");
    command.arg(&*JS);
    command
}

fn core() -> Command {
    let mut command = Command::new("/usr/bin/python3");
    command.arg(source("app.py"));
    command
}

fn serve(package: &str, mut app: Command) -> Server {
    Server::start(package, |address, folder| {
        let (certificate, key) = certificate(folder);
        app.args(["serve", &address.ip().to_string()])
            .arg(address.port().to_string())
            .args([certificate, key]);
        app
    })
}

/// So many have ended, each as it was asked to.
fn call(server: &Server, mut app: Command) {
    let address = tls::tcp(server);
    app.args(["call", &address.ip().to_string()])
        .arg(address.port().to_string())
        .arg(server.file("cert.pem"));
    let output = output_of(app);
    let said = String::from_utf8_lossy(&output.stdout);
    for status in 0..=16 {
        let line = format!("POST 2 200 {status}");
        let ended = said.lines().filter(|it| **it == line).count() as u64;
        assert_eq!(ended, with_status(status), "{status}: {output:?}");
    }
}

/// Calls that are to end with it: `apps/grpc/README.md`.
fn with_status(status: u64) -> u64 {
    4 * [2, 3, 5, 7, 11][status as usize % 5]
}

#[test]
fn calls_of_grpc_over_tls_by_their_status() {
    assert_eq!((0..=16).map(with_status).sum::<u64>(), ALL);
    let known = serve("golang-google-grpc-dev", go());
    let (agent, address) = agent_that_knows(&[], &tls::node());
    teach(&agent, &tls::python());
    eventually(true, || {
        call(&known, go());
        knows(&agent, &known)
    });
    for (package, app) in [
        ("golang-google-grpc-dev", go as fn() -> Command),
        ("nodejs", js),
        // As Debian makes it, on the library that all use.
        ("python3-grpcio", core),
    ] {
        let server = serve(package, app());
        // By clients of two libraries.
        call(&server, core());
        call(&server, go());
        let process = pid(server.pid());
        eventually(2 * ALL, || {
            requests(&text(address, "/metrics"), server.pid())
        });
        let by_status = |metrics: &str, status: u64| {
            let status = format!("rpc_grpc_status_code=\"{status}\"");
            sample(metrics, CALLS, &[&process, &status])
        };
        let expected: Vec<_> = (0..=16)
            .map(|it| Some(2.0 * with_status(it) as f64))
            .collect();
        eventually(expected, || {
            let metrics = text(address, "/metrics");
            (0..=16).map(|it| by_status(&metrics, it)).collect()
        });
        let metrics = text(address, "/metrics");
        assert_eq!(sample(&metrics, UNSEEN, &[&process]), None);
    }
}
