// SPDX-License-Identifier: Apache-2.0
//! nghttpd under h2load, and nginx with all methods and statuses.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use common::alone;
use common::process::eventually;
use common::servers::Server;
use common::web::text;

use super::{agent, assert_nothing_is_unknown, counted, expected, nghttpd, pid, run};

pub fn many_streams_of_h2load(backend: &str) {
    let _alone = alone();
    let (_agent, address) = agent(backend);
    let server = nghttpd();
    for (path, requests, clients, streams, body) in [
        ("file", 1009, 1, 1, false),
        ("file", 997, 3, 10, true),
        ("none", 2003, 3, 100, false),
        ("none", 499, 1, 499, false),
    ] {
        let mut command = Command::new("h2load");
        command
            .args(["-n", &requests.to_string(), "-c", &clients.to_string()])
            .args(["-m", &streams.to_string()]);
        if body {
            command.arg("-d").arg(server.file("file"));
        }
        let said = run(command.arg(format!("{}{path}", server.address.url())));
        let done = format!("{requests} done");
        assert!(said.contains(&done), "{said}");
    }
    let pid = pid(server.pid());
    let all = expected([
        ("GET", "200", 1009),
        ("POST", "200", 997),
        ("GET", "404", 2502),
    ]);
    eventually(all, || counted(&text(address, "/metrics"), &pid));
    assert_nothing_is_unknown(&text(address, "/metrics"));
}

const NGINX: &str = r#"
daemon off;
worker_processes 1;
pid PLACE/pid;
error_log stderr;
events {}
http {
    log_format all '$request_method $status $server_protocol';
    access_log PLACE/log all;
    client_body_temp_path PLACE/body;
    proxy_temp_path PLACE/proxy;
    fastcgi_temp_path PLACE/fastcgi;
    uwsgi_temp_path PLACE/uwsgi;
    scgi_temp_path PLACE/scgi;
    server {
        listen ADDRESS http2;
        location / { return 200 "some text"; }
        location /201 { return 201; }
        location /204 { return 204; }
        location /302 { return 302 /; }
        location /404 { return 404; }
        location /429 { return 429; }
        location /500 { return 500; }
        location /503 { return 503; }
    }
}
"#;

pub fn every_method_and_status_of_nginx(backend: &str) {
    let _alone = alone();
    let (_agent, address) = agent(backend);
    let nginx = Server::start("nginx", |address, folder| {
        let config = NGINX
            .replace("PLACE", folder.to_str().unwrap())
            .replace("ADDRESS", &address.to_string());
        fs::write(folder.join("config"), config).unwrap();
        let mut command = Command::new("nginx");
        command.arg("-c").arg(folder.join("config"));
        command
    });
    let methods = [
        "GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND",
    ];
    let paths = ["", "201", "204", "302", "404", "429", "500", "503"];
    let url = |path: &str| format!("{}{path}", nginx.address.url());
    for method in methods {
        for (n, path) in paths.iter().enumerate() {
            // Each kind in a number of its own.
            for _ in 0..=n {
                let mut command = Command::new("curl");
                command.args(["-s", "--http2-prior-knowledge", "-X", method]);
                run(command.args(["-o", "/dev/null", &url(path)]));
            }
        }
    }
    run(Command::new("curl").args(["-s", "--http2-prior-knowledge", "--head", &url("")]));
    let log = || {
        let mut kinds = BTreeMap::new();
        for line in fs::read_to_string(nginx.file("log")).unwrap().lines() {
            let (kind, version) = line.rsplit_once(' ').unwrap();
            assert_eq!(version, "HTTP/2.0");
            let (method, status) = kind.split_once(' ').unwrap();
            let method = if method == "PROPFIND" {
                "_OTHER"
            } else {
                method
            };
            *kinds
                .entry((method.to_owned(), status.to_owned()))
                .or_insert(0) += 1;
        }
        kinds
    };
    let sent: u64 = 7 * (1..=8).sum::<u64>() + 1;
    eventually(sent, || log().values().sum());
    // The worker is a child.
    let worker = fs::read_to_string(format!("/proc/{0}/task/{0}/children", nginx.pid())).unwrap();
    let worker = pid(worker.trim().parse().unwrap());
    eventually((sent, log()), || {
        counted(&text(address, "/metrics"), &worker)
    });
    assert_nothing_is_unknown(&text(address, "/metrics"));
}
