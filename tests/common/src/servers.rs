// SPDX-License-Identifier: Apache-2.0
//! Real servers from Debian's packages, each with its own count of what it served.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::agent::folder;
use crate::load::{Address, Client};
use crate::process::Process;

/// A server that listens on one port, with a folder of its own.
pub struct Server {
    process: Process,
    pub address: Address,
    folder: TempDir,
}

impl Server {
    /// Starts what `command` makes of a free port and a folder, and waits until it accepts.
    pub fn start(package: &str, command: impl FnOnce(SocketAddr, &Path) -> Command) -> Self {
        let folder = folder();
        let address = free_address();
        let log = File::create(folder.path().join("stderr")).unwrap();
        let mut command = command(address, folder.path());
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        let mut process = Process::start(&mut command, package);
        process.wait_until(|| TcpStream::connect(address).is_ok());
        let address = Address::Tcp(address);
        Self {
            process,
            address,
            folder,
        }
    }

    pub fn pid(&self) -> u64 {
        self.process.pid()
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// Free now; nothing on the loopback interface takes a port that it was not given.
pub fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

pub struct Nginx {
    server: Server,
    pub address: Address,
    pub unix: Address,
}

impl Nginx {
    pub fn start(workers: usize) -> Self {
        let server = Server::start("nginx-light", |address, folder| {
            let path = folder.display();
            let conf = format!(
                "daemon off; user root; worker_processes {workers}; pid {path}/pid;
                events {{ worker_connections 512; }}
                http {{
                    log_format worker $pid;
                    access_log {path}/access.log worker;
                    client_body_temp_path {path}/body; proxy_temp_path {path}/proxy;
                    fastcgi_temp_path {path}/fastcgi; uwsgi_temp_path {path}/uwsgi;
                    scgi_temp_path {path}/scgi;
                    keepalive_requests 1000000;
                    server {{
                        listen {address} reuseport;
                        listen unix:{path}/nginx.sock;
                        location / {{ return 200 ok; }}
                    }}
                }}"
            );
            fs::write(folder.join("nginx.conf"), conf).unwrap();
            let mut command = Command::new("/usr/sbin/nginx");
            command
                .args(["-e", "stderr", "-c"])
                .arg(folder.join("nginx.conf"));
            command
        });
        let address = server.address.clone();
        let unix = Address::Unix(server.file("nginx.sock"));
        Self {
            server,
            address,
            unix,
        }
    }

    /// What each worker served, as the access log has it.
    pub fn served(&self) -> BTreeMap<u64, u64> {
        let log = fs::read_to_string(self.server.file("access.log")).unwrap();
        let mut served = BTreeMap::new();
        for worker in log.lines() {
            *served.entry(worker.parse().unwrap()).or_default() += 1;
        }
        served
    }
}

/// A thread for each connection, kept alive.
pub struct PythonHttpServer(pub Server);

impl PythonHttpServer {
    pub fn start() -> Self {
        Self(Server::start("python3", |address, folder| {
            let mut command = Command::new("/usr/bin/python3");
            command
                .args(["-u", "-m", "http.server", "--protocol", "HTTP/1.1"])
                .args(["--bind", &address.ip().to_string()])
                .arg("--directory")
                .arg(folder)
                .arg(address.port().to_string());
            fs::write(folder.join("index.html"), "ok").unwrap();
            command
        }))
    }

    pub fn served(&self) -> u64 {
        let log = fs::read_to_string(self.0.file("stderr")).unwrap();
        log.lines().filter(|line| line.contains("\"GET ")).count() as u64
    }
}

/// Forks for each connection, and says in each answer which process gave it.
pub fn python_forking() -> Server {
    Server::start("python3", |address, _| {
        let script = "
import http.server, os, socketserver, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_GET(self):
        self.send_response(200)
        self.send_header('Content-Length', '0')
        self.send_header('Pid', os.getpid())
        self.end_headers()
class Server(socketserver.ForkingMixIn, http.server.HTTPServer):
    pass
Server((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
";
        let (ip, port) = (address.ip().to_string(), address.port().to_string());
        let mut command = Command::new("/usr/bin/python3");
        command.args(["-c", script, &ip, &port]);
        command
    })
}

pub fn node() -> Server {
    Server::start("nodejs", |address, _| {
        let script = "
let served = 0;
require('http').createServer((request, response) => {
    response.setHeader('Served', ++served);
    response.end('ok');
}).listen(process.argv[2], process.argv[1]);
";
        let (ip, port) = (address.ip().to_string(), address.port().to_string());
        let mut command = Command::new("/usr/bin/node");
        command.args(["-e", script, &ip, &port]);
        command
    })
}

pub struct Haproxy(pub Server);

impl Haproxy {
    pub fn before(backend: &Address) -> Self {
        let Address::Tcp(backend) = backend else {
            panic!("{backend:?} is no TCP address");
        };
        Self(Server::start("haproxy", |address, folder| {
            let stats = folder.join("stats.sock");
            let conf = format!(
                "global\n stats socket {}\n maxconn 100\n\
                 defaults\n mode http\n timeout connect 10s\n timeout client 60s\n timeout server 60s\n\
                 frontend front\n bind {address}\n default_backend back\n\
                 backend back\n server one {backend}\n",
                stats.display(),
            );
            fs::write(folder.join("haproxy.cfg"), conf).unwrap();
            let mut command = Command::new("/usr/sbin/haproxy");
            command.args(["-db", "-f"]).arg(folder.join("haproxy.cfg"));
            command
        }))
    }

    /// What the front end answered with 200, from the statistics table. Its total has in it the
    /// connection that only looked whether it is up.
    pub fn served(&self) -> u64 {
        let mut stats = UnixStream::connect(self.0.file("stats.sock")).unwrap();
        stats.write_all(b"show stat\n").unwrap();
        let mut table = String::new();
        stats.read_to_string(&mut table).unwrap();
        let row = |start: &str| table.lines().find(|line| line.starts_with(start)).unwrap();
        let column = row("# ").split(',').position(|name| name == "hrsp_2xx");
        let served = row("front,FRONTEND,").split(',').nth(column.unwrap());
        served.unwrap().parse().unwrap()
    }
}

pub fn redis() -> Server {
    Server::start("redis-server", |address, folder| {
        let mut command = Command::new("/usr/bin/redis-server");
        command
            .args(["--bind", &address.ip().to_string()])
            .args(["--port", &address.port().to_string()])
            .args(["--save", "", "--dir"])
            .arg(folder);
        command
    })
}

/// How many `GET` commands a Redis server has carried out.
pub fn redis_gets(client: &mut Client) -> u64 {
    client.send(b"INFO commandstats\r\n");
    let length = client.line();
    let length: usize = length.trim_start_matches('$').trim_end().parse().unwrap();
    let stats = String::from_utf8(client.take(length + 2)).unwrap();
    let (_, calls) = stats.split_once("cmdstat_get:calls=").expect(&stats);
    calls.split_once(',').unwrap().0.parse().unwrap()
}
