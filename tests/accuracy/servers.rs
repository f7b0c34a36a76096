// SPDX-License-Identifier: Apache-2.0
//! nginx, Apache and haproxy, configured to do what the application of `apps/README.md` does.

use std::fmt::Write;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use common::load::Address;
use common::servers::Server;

/// The codes that clients ask for, as `/status/N`.
pub const STATUSES: [u16; 6] = [202, 204, 404, 410, 500, 503];

pub fn tcp(address: &Address) -> std::net::SocketAddr {
    match address {
        Address::Tcp(address) => *address,
        Address::Unix(path) => panic!("{path:?} is no TCP address"),
    }
}

/// `listen` is what follows the address, `locations` what the server does.
fn nginx_with(listen: &str, around: &str, locations: &str) -> Server {
    Server::start("nginx", |address, folder| {
        let conf = format!(
            "daemon off; user root; worker_processes 2; pid pid;
            events {{ worker_connections 8192; }}
            http {{
                log_format seen '\"$request\" $status';
                log_format calls '\"$request\" $status $grpc_status';
                map $upstream_trailer_grpc_status $grpc_status {{
                    '' $upstream_http_grpc_status;
                    default $upstream_trailer_grpc_status;
                }}
                access_log access.log seen;
                client_body_temp_path body; proxy_temp_path proxy;
                fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
                default_type text/plain; sendfile on; gzip on; gzip_types text/plain;
                keepalive_requests 1000000; client_max_body_size 0; large_client_header_buffers 4 64k;
                {around}
                server {{
                    listen {address} reuseport backlog=1024 {listen};
                    {locations}
                }}
            }}"
        );
        fs::write(folder.join("nginx.conf"), conf).unwrap();
        let mut command = Command::new("/usr/sbin/nginx");
        command
            .args(["-e", "stderr", "-c", "nginx.conf", "-p"])
            .arg(folder);
        command
    })
}

/// `listen` may be `proxy_protocol` or `http2`.
pub fn nginx(files: &Path, listen: &str) -> Server {
    let mut locations = format!(
        "location / {{ return 200 'ok\n'; }}
        location /files/ {{ alias {}/; }}
        location /upload {{ root uploaded; dav_methods PUT; create_full_put_path on; }}",
        files.display()
    );
    for status in STATUSES {
        write!(
            locations,
            "location = /status/{status} {{ return {status}; }}"
        )
        .unwrap();
    }
    nginx_with(listen, "", &locations)
}

pub fn nginx_before(behind: &Server) -> Server {
    let around = format!(
        "upstream behind {{ server {}; keepalive 16; }}
        map $http_upgrade $passed_connection {{ default upgrade; '' ''; }}",
        tcp(&behind.address)
    );
    let location = "location / {
        proxy_pass http://behind;
        proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection $passed_connection;
        proxy_max_temp_file_size 0;
    }";
    nginx_with("", &around, location)
}

pub fn nginx_before_calls(behind: &Server) -> Server {
    let location = format!(
        "location / {{ grpc_pass grpc://{}; access_log access.log calls; }}",
        tcp(&behind.address)
    );
    nginx_with("http2", "", &location)
}

/// `protocols` are those of `mod_http2`, if any. The event MPM, with threads enough that it closes no idle connection and starts or ends no child under load.
pub fn apache(files: &Path, protocols: &str) -> Server {
    Server::start("apache2-bin", |address, folder| {
        // Its children run as another user.
        for open in [folder, files] {
            fs::set_permissions(open, Permissions::from_mode(0o755)).unwrap();
        }
        let upload = folder.join("upload");
        fs::create_dir(&upload).unwrap();
        fs::set_permissions(&upload, Permissions::from_mode(0o777)).unwrap();
        fs::write(folder.join("index.html"), "ok\n").unwrap();
        let modules = [
            "mpm_event",
            "authz_core",
            "alias",
            "dir",
            "filter",
            "deflate",
            "dav",
            "dav_fs",
            "proxy",
            "proxy_connect",
        ];
        let mut conf = String::new();
        for module in modules {
            let file = format!("/usr/lib/apache2/modules/mod_{module}.so");
            writeln!(conf, "LoadModule {module}_module {file}").unwrap();
        }
        if !protocols.is_empty() {
            let module = "LoadModule http2_module /usr/lib/apache2/modules/mod_http2.so";
            writeln!(conf, "{module}\nProtocols {protocols}").unwrap();
        }
        for status in STATUSES.into_iter().filter(|status| *status >= 400) {
            writeln!(conf, "Redirect {status} /status/{status}").unwrap();
        }
        let path = folder.display();
        write!(
            conf,
            "ServerRoot {path}\nPidFile {path}/pid\nErrorLog {path}/error.log\nServerName test\n\
            Listen {address}\nListenBacklog 1024\nUser www-data\nGroup www-data\n\
            StartServers 4\nServerLimit 4\nThreadLimit 320\nThreadsPerChild 320\nMaxRequestWorkers 1280\n\
            MinSpareThreads 1\nMaxSpareThreads 1280\n\
            KeepAlive On\nKeepAliveTimeout 60\nMaxKeepAliveRequests 0\nEnableSendfile On\n\
            LimitRequestFieldSize 65536\nProxyRequests On\n\
            DocumentRoot {path}\nDirectoryIndex index.html\nAlias /files {files}\n\
            DavLockDB {path}/upload/locks\nAllowCONNECT 1-65535\n\
            <Directory />\nRequire all granted\n</Directory>\n\
            <Directory {path}/upload>\nDav On\n</Directory>\n\
            <Location /files>\nSetOutputFilter DEFLATE\n</Location>\n\
            LogFormat \"\\\"%r\\\" %>s\" seen\nCustomLog {path}/access.log seen\n",
            files = files.display(),
        )
        .unwrap();
        fs::write(folder.join("apache.conf"), conf).unwrap();
        let mut command = Command::new("/usr/sbin/apache2");
        command
            .args(["-D", "FOREGROUND", "-f"])
            .arg(folder.join("apache.conf"));
        command
    })
}

/// `listen` may be `proto h2`; `send` too, or `send-proxy` or `send-proxy-v2`. One thread, since it drops a line of its log where two write
/// at the same time.
pub fn haproxy_before(behind: &Server, listen: &str, send: &str) -> Server {
    Server::start("haproxy", |address, folder| {
        let conf = format!(
            "global\n nbthread 1\n maxconn 4000\n tune.bufsize 98304\n log stderr format raw local0\n\
            defaults\n mode http\n log global\n log-format \"%{{+Q}}r %ST\"\n option dontlognull\n\
            option splice-response\n timeout connect 10s\n timeout client 60s\n timeout server 60s\n\
            frontend front\n bind {address} {listen}\n default_backend back\n\
            backend back\n server one {} {send}\n",
            tcp(&behind.address)
        );
        fs::write(folder.join("haproxy.cfg"), conf).unwrap();
        let mut command = Command::new("/usr/sbin/haproxy");
        command.args(["-db", "-f"]).arg(folder.join("haproxy.cfg"));
        command
    })
}
