// SPDX-License-Identifier: Apache-2.0
//! Servers and clients of gRPC, each of them with each other: what `apps/grpc/README.md` says.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use common::servers::Server;

use crate::answers::Answers;
use crate::behaviours::Act;
use crate::servers::tcp;
use crate::sites::{Site, Talk};
use crate::{apps, clients, servers};

/// What there is time for in every run of the tests.
pub const QUICK: [&str; 2] = ["grpc-core", "tonic"];

/// By client.
pub const ALL: [(&str, Act); 5] = [
    ("grpc-go", |site, _| call(site, go())),
    ("grpc-core", |site, _| call(site, core())),
    ("grpc-js", |site, _| call(site, js())),
    ("grpc-java", |site, _| call(site, java())),
    ("tonic", |site, _| {
        let address = tcp(site.address());
        let said = clients::run(&mut tonic("call", address));
        // The harness of the tests has lines of its own.
        let lines = said.lines().filter(|line| line.starts_with("POST "));
        Answers::of_client(&lines.collect::<Vec<_>>().join("\n"))
    }),
];

/// What starts each site.
pub const SITES: [fn(&Path) -> Site; 6] = [
    |_| site("grpc-go", serve("golang-google-grpc-dev", go())),
    |_| site("grpc-core", serve("python3-grpcio", core())),
    |_| site("grpc-js", serve("nodejs", js())),
    |_| site("grpc-java", serve("libgrpc-java", java())),
    |_| {
        let start = |address, _: &Path| tonic("serve", address);
        site("tonic", Server::start("", start))
    },
    |_| {
        let go = serve("golang-google-grpc-dev", go());
        site("nginx →", servers::nginx_before_calls(&go)).before("→ grpc-go", go)
    },
];

fn site(name: &'static str, server: Server) -> Site {
    Site::new(name, server, &[]).talks(Talk::Grpc)
}

fn serve(package: &str, mut app: Command) -> Server {
    Server::start(package, |address, _| {
        app.args(["serve", &address.ip().to_string()])
            .arg(address.port().to_string());
        app
    })
}

fn call(site: &Site, mut app: Command) -> Answers {
    let address = tcp(site.address());
    app.args(["call", &address.ip().to_string()])
        .arg(address.port().to_string());
    Answers::of_client(&clients::run(&mut app))
}

fn go() -> Command {
    Command::new(&*GO)
}

static GO: LazyLock<PathBuf> = LazyLock::new(|| apps::go_program("grpc/app.go"));

fn core() -> Command {
    let mut command = Command::new("/usr/bin/python3");
    command.arg(apps::source("grpc/app.py"));
    command
}

static JS: LazyLock<PathBuf> =
    LazyLock::new(|| common::built::node(&apps::source("grpc"), &apps::built().join("grpc-js")));

fn js() -> Command {
    let mut command = Command::new("/usr/bin/node");
    command.arg(&*JS);
    command
}

fn java() -> Command {
    let jars = [
        "grpc-api",
        "grpc-context",
        "grpc-core",
        "grpc-netty",
        "guava",
        "netty-all",
        "netty-buffer",
        "netty-codec",
        "netty-codec-http",
        "netty-codec-http2",
        "netty-common",
        "netty-handler",
        "netty-resolver",
        "netty-transport",
        "netty-transport-native-unix-common",
        "perfmark-api",
    ];
    let path = jars
        .map(|jar| format!("/usr/share/java/{jar}.jar"))
        .join(":");
    let mut command = Command::new("/usr/bin/java");
    command
        .args(["-cp", &path])
        .arg(apps::source("grpc/App.java"));
    command
}

fn tonic(role: &str, address: SocketAddr) -> Command {
    apps::peer(&format!("tonic {role} {} {}", address.ip(), address.port()))
}
