// SPDX-License-Identifier: Apache-2.0
//! What is asked: a server, or a proxy with a server behind it.

use std::fs;
use std::path::Path;

use common::load::Address;
use common::servers::Server;

use crate::answers::Answers;
use crate::behaviours::{self, Act};
use crate::http2::nghttpd;
use crate::{apps, grpc, http2, servers};

/// What clients talk to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Talk {
    Http1,
    /// Without TLS, and with no word of HTTP/1 before it.
    Http2,
    Grpc,
}

pub struct Site {
    /// The first is the one that clients talk to.
    pub servers: Vec<(&'static str, Server)>,
    pub talk: Talk,
    /// Behaviours that it does not have.
    lacks: &'static [&'static str],
}

/// What starts each site, with the folder of files to serve.
pub const ALL: [fn(&Path) -> Site; 11] = [
    |files| Site::new("nginx", servers::nginx(files, ""), &[WEBSOCKET, CONNECT]),
    |files| Site::new("Apache", servers::apache(files, ""), &[WEBSOCKET]),
    |files| Site::new("Node", apps::node(files), &[]),
    |files| Site::new("Go", apps::go(files), &[]),
    |files| Site::new("Python", apps::python(files), &[]),
    |files| Site::new("uvicorn", apps::uvicorn(files), &[WEBSOCKET, CONNECT]),
    |files| Site::new("Java", apps::java(files), &[WEBSOCKET, CONNECT]),
    |files| {
        let go = apps::go(files);
        Site::new("nginx →", servers::nginx_before(&go), &[CONNECT]).before("→ Go", go)
    },
    |files| {
        let node = apps::node(files);
        let haproxy = servers::haproxy_before(&node, "", "");
        Site::new("haproxy →", haproxy, &[]).before("→ Node", node)
    },
    |files| {
        let nginx = servers::nginx(files, "proxy_protocol");
        let haproxy = servers::haproxy_before(&nginx, "", "send-proxy");
        Site::new("haproxy →¹", haproxy, &[WEBSOCKET, CONNECT]).before("→¹ nginx", nginx)
    },
    |files| {
        let nginx = servers::nginx(files, "proxy_protocol");
        let haproxy = servers::haproxy_before(&nginx, "", "send-proxy-v2");
        Site::new("haproxy →²", haproxy, &[WEBSOCKET, CONNECT]).before("→² nginx", nginx)
    },
];

pub const WEBSOCKET: &str = "WebSocket upgrade";
pub const CONNECT: &str = "CONNECT";

impl Site {
    pub fn new(name: &'static str, server: Server, lacks: &'static [&'static str]) -> Self {
        Self {
            servers: vec![(name, server)],
            talk: Talk::Http1,
            lacks,
        }
    }

    pub fn talks(mut self, talk: Talk) -> Self {
        self.talk = talk;
        self
    }

    pub fn before(mut self, name: &'static str, server: Server) -> Self {
        self.servers.push((name, server));
        self
    }

    /// All that it has, or of HTTP/2 and gRPC those that do not take long.
    pub fn behaviours(&self, quick: bool) -> impl Iterator<Item = (&'static str, Act)> {
        let (all, short): (&'static [(&'static str, Act)], &[&str]) = match self.talk {
            Talk::Http1 => (&behaviours::ALL, &[]),
            Talk::Http2 => (&http2::ALL, &http2::QUICK),
            Talk::Grpc => (&grpc::ALL, &grpc::QUICK),
        };
        let lacks = self.lacks;
        let has = move |(behaviour, _): &(&str, Act)| {
            let short = !quick || short.is_empty() || short.contains(behaviour);
            short && !lacks.contains(behaviour)
        };
        all.iter().copied().filter(has)
    }

    pub fn front(&self) -> &Server {
        &self.servers[0].1
    }

    pub fn address(&self) -> &Address {
        &self.front().address
    }

    pub fn url(&self, path: &str) -> String {
        self.address().url() + path
    }
}

/// What the server itself says it has answered so far.
pub fn log(server: &Server) -> Answers {
    let read = |name| fs::read(server.file(name)).ok();
    if let Some(frames) = read(nghttpd::FRAMES) {
        return nghttpd::answers(&String::from_utf8_lossy(&frames));
    }
    let log = read("access.log").or_else(|| read("stderr"));
    Answers::in_log(&String::from_utf8_lossy(&log.unwrap()))
}
