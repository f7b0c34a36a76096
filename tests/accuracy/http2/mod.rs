// SPDX-License-Identifier: Apache-2.0
//! Servers of HTTP/2 without TLS, and what clients do to them. Bodies are made of frames, none of which may count.

mod curl;
mod nghttp;
pub mod nghttpd;

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
pub const QUICK: [&str; 3] = ["curl, methods", "h2load, 100 streams", "Go"];

const NOT_MODIFIED: &str = "curl, 304";

pub const ALL: [(&str, Act); 17] = [
    ("curl", curl::gets),
    ("curl, HEAD", curl::heads),
    ("curl, methods", curl::methods),
    ("curl, status codes", curl::statuses),
    ("curl, uploads of frames", curl::uploads),
    ("curl, 50 MB uploads", curl::large_uploads),
    ("curl, 50 MB downloads", curl::large_downloads),
    (NOT_MODIFIED, curl::not_modified),
    ("curl, large headers", curl::large_headers),
    ("nghttp", nghttp::many),
    ("nghttp, Expect: 100-continue", nghttp::expect),
    ("h2load, 1 stream", nghttp::one_stream),
    ("h2load, 10 streams", nghttp::ten_streams),
    ("h2load, 100 streams", nghttp::hundred_streams),
    ("Go", go_client),
    ("Node", node_client),
    ("httpx", httpx),
];

/// What starts each site, with the folder of files to serve.
pub const SITES: [fn(&Path) -> Site; 9] = [
    |files| site("nginx", servers::nginx(files, "http2"), &[]),
    |files| site("Apache", servers::apache(files, "h2c"), &[]),
    |files| site("Node", node(files), &[]),
    |files| site("Go", go(files), &[]),
    |files| site("hypercorn", apps::hypercorn(files), &[]),
    |files| site("hyper", hyper(files), &[]),
    |files| site("nghttpd", nghttpd::start(files), &[NOT_MODIFIED]),
    |files| {
        let node = apps::node(files);
        let haproxy = servers::haproxy_before(&node, "proto h2", "");
        site("haproxy → HTTP/1", haproxy, &[]).before("→ Node", node)
    },
    |files| {
        let go = go(files);
        let haproxy = servers::haproxy_before(&go, "proto h2", "proto h2");
        site("haproxy → HTTP/2", haproxy, &[]).before("→ Go", go)
    },
];

fn site(name: &'static str, server: Server, lacks: &'static [&'static str]) -> Site {
    Site::new(name, server, lacks).talks(Talk::Http2)
}

static GO: LazyLock<PathBuf> = LazyLock::new(|| apps::go_program("http2/app.go"));

fn node(files: &Path) -> Server {
    start("nodejs", files, {
        let mut command = Command::new("/usr/bin/node");
        command.arg(apps::source("http2/app.js"));
        command
    })
}

fn go(files: &Path) -> Server {
    start("golang-golang-x-net-dev", files, Command::new(&*GO))
}

fn start(package: &str, files: &Path, mut command: Command) -> Server {
    Server::start(package, |address, _| {
        command
            .args(["serve", &address.ip().to_string()])
            .arg(address.port().to_string())
            .arg(files);
        command
    })
}

fn hyper(files: &Path) -> Server {
    Server::start("", |address, _| {
        let (ip, port) = (address.ip(), address.port());
        apps::peer(&format!("hyper serve {ip} {port} {}", files.display()))
    })
}

/// What `apps/http2/README.md` says.
fn call(site: &Site, files: &Path, mut command: Command) -> Answers {
    let address = tcp(site.address());
    command
        .args(["call", &address.ip().to_string()])
        .arg(address.port().to_string())
        .arg(files);
    Answers::of_client(&clients::run(&mut command))
}

fn go_client(site: &Site, files: &Path) -> Answers {
    call(site, files, Command::new(&*GO))
}

fn node_client(site: &Site, files: &Path) -> Answers {
    let mut command = Command::new("/usr/bin/node");
    command.arg(apps::source("http2/app.js"));
    call(site, files, command)
}

fn httpx(site: &Site, files: &Path) -> Answers {
    let mut command = Command::new("/usr/bin/python3");
    command.arg(apps::source("http2/client.py"));
    call(site, files, command)
}
