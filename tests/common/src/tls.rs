// SPDX-License-Identifier: Apache-2.0
//! Servers of TLS from Debian's packages, and a client that says what it was answered.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use rustix::process::Signal;

use crate::load::Address;
use crate::process::tie_to_parent;
use crate::servers::Server;

/// A certificate for this host and its key, made in a folder: `cert.pem` and `key.pem`.
pub fn certificate(folder: &Path) -> (PathBuf, PathBuf) {
    let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    let output = Command::new("openssl")
        .args(["req", "-x509", "-nodes", "-newkey", "ec", "-days", "2"])
        .args(["-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
        // Rustls takes no authority for a server.
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .expect("the package openssl is not installed");
    assert!(output.status.success(), "{output:?}");
    (certificate, key)
}

/// So many workers. Each line of its log is the worker, the number of the connection, and 1 where the request came in early data.
pub fn nginx(workers: usize) -> Server {
    Server::start("nginx-light", |address, folder| {
        let path = folder.display();
        let (certificate, key) = certificate(folder);
        fs::write(folder.join("file"), "content").unwrap();
        let lines = "GET /in-a-file HTTP/1.1\r\nHost: file\r\n\r\n";
        fs::write(folder.join("lines"), lines.repeat(500)).unwrap();
        fs::write(folder.join("big"), vec![b'x'; 3 << 20]).unwrap();
        let conf = format!(
            "daemon off; user root; worker_processes {workers}; pid {path}/pid;
            events {{ worker_connections 512; }}
            http {{
                log_format worker '$pid $connection $ssl_early_data';
                access_log {path}/access.log worker;
                client_body_temp_path {path}/body; proxy_temp_path {path}/proxy;
                fastcgi_temp_path {path}/fastcgi; uwsgi_temp_path {path}/uwsgi;
                scgi_temp_path {path}/scgi;
                keepalive_requests 1000000;
                server {{
                    listen {address} ssl http2 reuseport sndbuf=8k;
                    ssl_certificate {}; ssl_certificate_key {};
                    ssl_protocols TLSv1.2 TLSv1.3; ssl_early_data on;
                    root {path};
                    location /post {{ return 204; }}
                }}
            }}",
            certificate.display(),
            key.display(),
        );
        fs::write(folder.join("nginx.conf"), conf).unwrap();
        let mut command = Command::new("/usr/sbin/nginx");
        command
            .args(["-e", "stderr", "-c"])
            .arg(folder.join("nginx.conf"));
        command
    })
}

/// As [`python`], with a library that lies in its own folder.
pub fn python_with_own_library() -> Server {
    let text = python_text("http.server.ThreadingHTTPServer");
    script_with("python3", "server.py", &text, |folder| {
        copy_library(folder);
        python_with_library_in(folder)
    })
}

/// The same with that which now lies in the folder of another one.
pub fn python_with_library_of(other: &Server) -> Server {
    let text = python_text("http.server.ThreadingHTTPServer");
    let folder = other.file("");
    script_with("python3", "server.py", &text, |_| {
        python_with_library_in(&folder)
    })
}

/// As package managers do, so that who has mapped the one before goes on with that.
pub fn copy_library(folder: &Path) {
    for name in ["libssl.so.3", "libcrypto.so.3"] {
        let library = Path::new("/usr/lib/x86_64-linux-gnu").join(name);
        let new = folder.join("new");
        fs::copy(library, &new).unwrap();
        fs::rename(new, folder.join(name)).unwrap();
    }
}

fn python_with_library_in(folder: &Path) -> Command {
    let mut command = Command::new("/usr/bin/python3");
    command.env("LD_LIBRARY_PATH", folder);
    command
}

/// Whose process ends by any of the system calls that kernels put into processes where these are watched.
pub fn python_under_seccomp() -> Server {
    let text = python_text("http.server.ThreadingHTTPServer");
    let text = format!("{SECCOMP}{text}");
    script("python3", "/usr/bin/python3", "server.py", &text)
}

/// For uretprobe, uprobe: `ld nr; jeq 335, kill; jeq 336, kill; allow; kill`.
const SECCOMP: &str = "
import ctypes
code = [(0x20, 0, 0, 0), (0x15, 2, 0, 335), (0x15, 1, 0, 336), (6, 0, 0, 0x7fff0000), (6, 0, 0, 0x80000000)]
class Instruction(ctypes.Structure):
    _fields_ = [('code', ctypes.c_uint16), ('jt', ctypes.c_uint8), ('jf', ctypes.c_uint8), ('k', ctypes.c_uint32)]
class Program(ctypes.Structure):
    _fields_ = [('length', ctypes.c_uint16), ('code', ctypes.POINTER(Instruction))]
filter = Program(len(code), (Instruction * len(code))(*code))
libc = ctypes.CDLL(None)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.byref(filter), 0, 0) == 0
";

/// A script of a server, which is given address, port, certificate and key.
fn script(package: &str, program: &str, name: &str, text: &str) -> Server {
    script_with(package, name, text, |_| Command::new(program))
}

fn script_with(
    package: &str,
    name: &str,
    text: &str,
    program: impl FnOnce(&Path) -> Command,
) -> Server {
    Server::start(package, |address, folder| {
        let (certificate, key) = certificate(folder);
        let file = folder.join(name);
        fs::write(&file, text).unwrap();
        let mut command = program(folder);
        command
            .arg(file)
            .args([address.ip().to_string(), address.port().to_string()])
            .arg(certificate)
            .arg(key);
        command
    })
}

/// A thread for each connection.
pub fn python() -> Server {
    let text = python_text("http.server.ThreadingHTTPServer");
    script("python3", "/usr/bin/python3", "server.py", &text)
}

/// The same, of an executable of this name.
pub fn python_named(name: &str) -> Server {
    python_copied(name, "http.server.ThreadingHTTPServer")
}

/// A process for each connection.
pub fn python_forking(name: &str) -> Server {
    python_copied(name, "socketserver.ForkingMixIn, http.server.HTTPServer")
}

fn python_copied(name: &str, bases: &str) -> Server {
    script_with("python3", "server.py", &python_text(bases), |folder| {
        let executable = folder.join(name);
        fs::copy("/usr/bin/python3", &executable).unwrap();
        let mut command = Command::new(executable);
        command.env("PYTHONHOME", "/usr");
        command
    })
}

fn python_text(bases: &str) -> String {
    let text = "
import http.server, socketserver, ssl, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def answer(self, status, body):
        self.rfile.read(int(self.headers.get('Content-Length', 0)))
        self.send_response(status)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        self.answer(200, b'content')
    def do_POST(self):
        self.answer(204, b'')
    def log_message(self, *arguments):
        pass
class Server(BASES):
    def finish_request(self, request, client):
        with context.wrap_socket(request, server_side=True) as stream:
            Handler(stream, client, self)
    def handle_error(self, request, client):
        pass
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[3], sys.argv[4])
Server((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
";
    text.replace("BASES", bases)
}

pub fn node() -> Server {
    let text = "
const fs = require('fs');
const [, , address, port, cert, key] = process.argv;
const options = {allowHTTP1: true, cert: fs.readFileSync(cert), key: fs.readFileSync(key)};
require('http2').createSecureServer(options, (request, response) => {
    request.resume();
    request.on('end', () => {
        response.statusCode = request.method === 'POST' ? 204 : 200;
        response.end(request.method === 'POST' ? '' : 'content');
    });
}).listen(port, address);
";
    script("nodejs", "/usr/bin/node", "server.js", text)
}

/// One child, whose threads serve.
pub fn apache() -> Server {
    Server::start("apache2-bin", |address, folder| {
        let path = folder.display();
        let (certificate, key) = certificate(folder);
        fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
        fs::write(folder.join("file"), "content").unwrap();
        let modules = ["mpm_event", "authz_core", "alias", "ssl", "http2"];
        let modules = modules
            .map(|it| format!("LoadModule {it}_module /usr/lib/apache2/modules/mod_{it}.so\n"));
        let conf = format!(
            "{}ServerRoot {path}\nPidFile {path}/pid\nErrorLog {path}/error.log\nServerName test\n\
             Listen {address}\nUser www-data\nGroup www-data\nProtocols h2 http/1.1\n\
             StartServers 1\nServerLimit 1\nThreadsPerChild 25\nMaxRequestWorkers 25\n\
             MinSpareThreads 1\nMaxSpareThreads 25\nMaxConnectionsPerChild 0\nMaxKeepAliveRequests 0\n\
             DocumentRoot {path}\nRedirect 204 /post\n\
             <Directory />\nRequire all granted\n</Directory>\n\
             SSLEngine on\nSSLCertificateFile {}\nSSLCertificateKeyFile {}\n",
            modules.concat(),
            certificate.display(),
            key.display(),
        );
        fs::write(folder.join("apache.conf"), conf).unwrap();
        let mut command = Command::new("/usr/sbin/apache2");
        command
            .args(["-D", "FOREGROUND", "-f"])
            .arg(folder.join("apache.conf"));
        command
    })
}

/// On this library of TLS, `gnutls` or `openssl`. Each line of its log is a status.
pub fn lighttpd(library: &str) -> Server {
    Server::start("lighttpd", |address, folder| {
        let path = folder.display();
        let (certificate, key) = certificate(folder);
        for name in ["file", "post"] {
            fs::write(folder.join(name), "content").unwrap();
        }
        fs::write(folder.join("big"), vec![b'x'; 3 << 20]).unwrap();
        let conf = format!(
            "server.modules = (\"mod_{library}\", \"mod_accesslog\")\n\
             server.document-root = \"{path}\"\n\
             server.bind = \"{}\"\n server.port = {}\n\
             server.max-keep-alive-requests = 1000000\n\
             accesslog.filename = \"{path}/access.log\"\n accesslog.format = \"%s\"\n\
             ssl.engine = \"enable\"\n\
             ssl.pemfile = \"{}\"\n ssl.privkey = \"{}\"\n",
            address.ip(),
            address.port(),
            certificate.display(),
            key.display(),
        );
        fs::write(folder.join("lighttpd.conf"), conf).unwrap();
        let mut command = Command::new("/usr/sbin/lighttpd");
        command
            .arg("-D")
            .arg("-f")
            .arg(folder.join("lighttpd.conf"));
        command
    })
}

/// It calls the library itself: see `tls_gnutls.py`.
pub fn gnutls() -> Server {
    let text = include_str!("tls_gnutls.py");
    script("libgnutls30", "/usr/bin/python3", "gnutls_server.py", text)
}

/// It answers by itself.
pub fn haproxy() -> Server {
    Server::start("haproxy", |address, folder| {
        let (certificate, key) = certificate(folder);
        let both = [certificate, key].map(|it| fs::read_to_string(it).unwrap());
        fs::write(folder.join("both.pem"), both.concat()).unwrap();
        let conf = format!(
            "global\n maxconn 200\n\
             defaults\n mode http\n timeout connect 10s\n timeout client 60s\n timeout server 60s\n\
             frontend front\n bind {address} ssl crt {}/both.pem alpn h2,http/1.1\n\
             http-request wait-for-body time 20s if METH_POST\n\
             http-request return status 204 if METH_POST\n\
             http-request return status 200 content-type text/plain string content\n",
            folder.display(),
        );
        fs::write(folder.join("haproxy.cfg"), conf).unwrap();
        let mut command = Command::new("/usr/sbin/haproxy");
        command.args(["-db", "-f"]).arg(folder.join("haproxy.cfg"));
        command
    })
}

/// Python's event loop, which has TLS in memory.
pub fn uvicorn() -> Server {
    let text = "
import sys
import uvicorn

async def app(scope, receive, send):
    if scope['type'] != 'http':
        return
    more = True
    while more:
        more = (await receive()).get('more_body', False)
    post = scope['method'] == 'POST'
    body = b'' if post else b'content'
    headers = [(b'content-length', str(len(body)).encode())]
    await send({'type': 'http.response.start', 'status': 204 if post else 200, 'headers': [] if post else headers})
    await send({'type': 'http.response.body', 'body': body})

_, host, port, certificate, key = sys.argv
uvicorn.run(app, host=host, port=int(port), ssl_certfile=certificate, ssl_keyfile=key, log_level='error')
";
    script(
        "python3-uvicorn",
        "/usr/bin/python3",
        "uvicorn_server.py",
        text,
    )
}

/// A server of Go, made with these flags.
pub fn go(flags: &[&str]) -> Server {
    let text = "
package main
import (
    \"io\"
    \"net/http\"
    \"os\"
)
// So that stacks are made larger, and move, where a connection is served.
func deep(n int) int {
    var room [64]int
    room[n % 64] = n
    if n == 0 {
        return 0
    }
    return deep(n - 1) + room[(n + 1) % 64]
}
func main() {
    http.HandleFunc(\"/\", func(w http.ResponseWriter, r *http.Request) {
        io.Copy(io.Discard, r.Body)
        deep(1000)
        if r.Method == \"POST\" {
            w.WriteHeader(204)
            return
        }
        io.WriteString(w, \"content\")
    })
    panic(http.ListenAndServeTLS(os.Args[1]+\":\"+os.Args[2], os.Args[3], os.Args[4], nil))
}
";
    Server::start("golang-go", |address, folder| {
        let (certificate, key) = certificate(folder);
        fs::write(folder.join("main.go"), text).unwrap();
        let (source, program) = (folder.join("main.go"), folder.join("go-server"));
        let made = Command::new("go")
            .arg("build")
            .args(flags)
            .arg("-o")
            .args([&program, &source])
            .output()
            .expect("the package golang-go is not installed");
        assert!(made.status.success(), "{made:?}");
        let mut command = Command::new(program);
        command
            .env("GOGC", "1")
            .args([address.ip().to_string(), address.port().to_string()])
            .arg(certificate)
            .arg(key);
        command
    })
}

/// A client that has been answered as often as it says, and stays until it is dropped.
pub struct Client {
    child: Child,
    told: BufReader<ChildStdout>,
    pub answers: u64,
}

impl Client {
    /// Asks in ways such as `new:53`: see `tls_client.py`.
    pub fn asking(server: &Server, ways: &[&str]) -> Self {
        Self::running(include_str!("tls_client.py"), server, ways)
    }

    /// One of `GnuTLS`, which says how many bytes it was answered: see `tls_gnutls.py`.
    pub fn of_gnutls(server: &Server) -> Self {
        Self::running(include_str!("tls_gnutls.py"), server, &[])
    }

    fn running(script: &str, server: &Server, ways: &[&str]) -> Self {
        let address = tcp(server);
        let mut command = Command::new("/usr/bin/python3");
        command
            .args(["-c", script])
            .args([address.ip().to_string(), address.port().to_string()])
            .args(ways)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = tie_to_parent(&mut command, Signal::KILL).spawn().unwrap();
        let told = BufReader::new(child.stdout.take().unwrap());
        let mut client = Self {
            child,
            told,
            answers: 0,
        };
        client.hear();
        client
    }

    /// One that waits goes on.
    pub fn go_on(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
        self.hear();
    }

    fn hear(&mut self) {
        let mut line = String::new();
        self.told.read_line(&mut line).unwrap();
        let answers = line.trim().parse();
        self.answers = answers.unwrap_or_else(|_| panic!("the client has failed: {line:?}"));
    }

    pub fn pid(&self) -> u64 {
        self.child.id().into()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // Both fail only where it has already ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The files that it executes.
pub fn executed(server: &Server) -> BTreeSet<String> {
    let maps = fs::read_to_string(format!("/proc/{}/maps", server.pid())).unwrap();
    let executable = maps.lines().filter(|it| it.contains(" r-xp "));
    let paths = executable.filter_map(|it| it.find('/').map(|at| it[at..].to_owned()));
    paths.collect()
}

pub fn tcp(server: &Server) -> SocketAddr {
    match server.address {
        Address::Tcp(address) => address,
        Address::Unix(_) => panic!("a server of TLS listens on TCP"),
    }
}
