// SPDX-License-Identifier: Apache-2.0
//! The application of `apps/README.md` on the HTTP servers of Node, Go, Java and Python.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::servers::Server;

pub fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/accuracy/apps")
        .join(name)
}

/// Where programs are built, and stay built.
pub fn built() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

fn start(package: &str, files: &Path, command: impl FnOnce() -> Command) -> Server {
    Server::start(package, |address: SocketAddr, _| {
        let mut command = command();
        command
            .arg(address.ip().to_string())
            .arg(address.port().to_string())
            .arg(files);
        command
    })
}

fn interpreted(package: &str, program: &str, options: &[&str], app: &str, files: &Path) -> Server {
    start(package, files, || {
        let mut command = Command::new(program);
        command.args(options).arg(source(app));
        command
    })
}

pub fn node(files: &Path) -> Server {
    interpreted("nodejs", "/usr/bin/node", &[], "app.js", files)
}

pub fn python(files: &Path) -> Server {
    interpreted("python3", "/usr/bin/python3", &[], "app.py", files)
}

pub fn uvicorn(files: &Path) -> Server {
    interpreted("python3-uvicorn", "/usr/bin/python3", &[], "asgi.py", files)
}

/// The same application as uvicorn's.
pub fn hypercorn(files: &Path) -> Server {
    Server::start("python3-hypercorn", |address, _| {
        let mut command = Command::new("/usr/bin/python3");
        command
            .arg(source("asgi.py"))
            .arg(address.ip().to_string())
            .arg(address.port().to_string())
            .args([files, Path::new("2")]);
        command
    })
}

/// This program again, as one of `tests/peers`.
pub fn peer(arguments: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["peers_entry", "--exact", "--ignored", "--nocapture"])
        .env(peers::ARGUMENTS, arguments);
    command
}

pub fn java(files: &Path) -> Server {
    // By default it closes idle connections above 200, and holds small segments back.
    let options = [
        "-Dsun.net.httpserver.maxIdleConnections=2000",
        "-Dsun.net.httpserver.nodelay=true",
    ];
    interpreted(
        "default-jdk-headless",
        "/usr/bin/java",
        &options,
        "App.java",
        files,
    )
}

pub fn go(files: &Path) -> Server {
    let program = go_program("app.go");
    start("golang-go", files, || Command::new(program))
}

pub fn go_program(app: &str) -> PathBuf {
    let program = built().join(app.replace(['/', '.'], "-"));
    common::built::go(&source(app), program, &[])
}
