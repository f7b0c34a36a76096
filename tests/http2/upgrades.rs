// SPDX-License-Identifier: Apache-2.0
//! `Upgrade: h2c` to Apache. A request that is upgraded counts once: as one of HTTP/1.1, with the status that stream 1 has.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use common::agent::Agent;
use common::alone;
use common::process::eventually;
use common::servers::Server;
use common::web::text;

use super::{VERSION_1, agent, assert_nothing_is_unknown, counted, counted_as, pid, run};

const MODULES: [&str; 4] = ["mpm_event", "authz_core", "alias", "http2"];

/// In one process.
fn apache(protocols: &str) -> Server {
    Server::start("apache2-bin", |address, folder| {
        fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
        fs::write(folder.join("file"), "some text").unwrap();
        let mut conf = String::new();
        for module in MODULES {
            let file = format!("/usr/lib/apache2/modules/mod_{module}.so");
            writeln!(conf, "LoadModule {module}_module {file}").unwrap();
        }
        let path = folder.display();
        write!(
            conf,
            "ServerRoot {path}\nPidFile {path}/pid\nErrorLog {path}/error.log\nServerName test\n\
            Listen {address}\nUser www-data\nGroup www-data\nProtocols {protocols}\n\
            DocumentRoot {path}\nRedirect 410 /gone\n\
            LogFormat \"%m %>s %H\" seen\nCustomLog {path}/log seen\n"
        )
        .unwrap();
        fs::write(folder.join("apache.conf"), conf).unwrap();
        let mut command = Command::new("/usr/sbin/apache2");
        command.args(["-X", "-f"]).arg(folder.join("apache.conf"));
        command
    })
}

struct Scene {
    _agent: Agent,
    address: SocketAddr,
    server: Server,
}

/// By method, status and version.
type Kinds<'k> = BTreeMap<(&'k str, &'k str, &'k str), u64>;

impl Scene {
    fn new(backend: &str, protocols: &str) -> Self {
        let (agent, address) = agent(backend);
        Self {
            _agent: agent,
            address,
            server: apache(protocols),
        }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.server.address.url())
    }

    /// `logged`: what the server's log has. `upgraded`: those that came by HTTP/1 and were answered by HTTP/2, by status.
    fn counts(&self, logged: &Kinds<'_>, upgraded: &Kinds<'_>) {
        let log = || fs::read_to_string(self.server.file("log")).unwrap();
        let lines: u64 = logged.values().sum();
        eventually(lines, || log().lines().count() as u64);
        let log = log();
        let mut seen: Kinds<'_> = BTreeMap::new();
        for line in log.lines() {
            let mut words = line.split(' ');
            let mut word = || words.next().unwrap();
            *seen.entry((word(), word(), word())).or_default() += 1;
        }
        assert_eq!(seen, *logged);
        let mut expected = [BTreeMap::new(), BTreeMap::new()];
        for ((method, status, version), count) in &seen {
            let came_by_1 = upgraded.get(&(*method, *status, *version)).unwrap_or(&0);
            let mut put = |version: usize, count: u64| {
                let kind = ((*method).to_owned(), (*status).to_owned());
                if count > 0 {
                    *expected[version].entry(kind).or_default() += count;
                }
            };
            match *version {
                "HTTP/2.0" => {
                    put(1, count - came_by_1);
                    put(0, *came_by_1);
                }
                // Apache logs the 101 as an answer.
                "HTTP/1.1" if *status != "101" => put(0, *count),
                _ => {}
            }
        }
        let requests = expected.iter().flat_map(|it| it.values()).sum::<u64>();
        let pid = pid(self.server.pid());
        let expected = expected.map(|answers| (requests, answers));
        eventually(expected, || {
            let metrics = text(self.address, "/metrics");
            [
                counted_as(&metrics, &pid, VERSION_1),
                counted(&metrics, &pid),
            ]
        });
        assert_nothing_is_unknown(&text(self.address, "/metrics"));
    }
}

/// Apache may leave after the first answer, so that what goes on is another test's.
pub fn upgrades_by_nghttp(backend: &str) {
    let _alone = alone();
    let scene = Scene::new(backend, "h2c http/1.1");
    for path in ["file", "none"] {
        for _ in 0..5 {
            run(Command::new("nghttp")
                .args(["--upgrade", "--no-dep", "--null-out"])
                .arg(scene.url(path)));
        }
    }
    let upgraded = [
        (("GET", "200", "HTTP/2.0"), 5),
        (("GET", "404", "HTTP/2.0"), 5),
    ];
    let mut logged = BTreeMap::from(upgraded);
    logged.insert(("GET", "101", "HTTP/1.1"), 10);
    scene.counts(&logged, &BTreeMap::from(upgraded));
}

pub fn upgrades_by_curl(backend: &str) {
    let _alone = alone();
    let scene = Scene::new(backend, "h2c http/1.1");
    let ask = |more: &[&str], path: &str| {
        run(Command::new("curl")
            .args(["-s", "--http2", "-o", "/dev/null"])
            .args(more)
            .arg(scene.url(path)));
    };
    for _ in 0..3 {
        ask(&[], "file");
        ask(&["--head"], "file");
    }
    for _ in 0..2 {
        ask(&["-X", "DELETE"], "none");
        // It does not upgrade what has a body, nor what it redirects.
        ask(&["-d", "text"], "none");
        ask(&[], "gone");
    }
    let upgraded = [
        (("GET", "200", "HTTP/2.0"), 3),
        (("HEAD", "200", "HTTP/2.0"), 3),
        (("DELETE", "405", "HTTP/2.0"), 2),
    ];
    let mut logged = BTreeMap::from(upgraded);
    logged.extend([
        (("POST", "404", "HTTP/1.1"), 2),
        (("GET", "410", "HTTP/1.1"), 2),
        (("GET", "101", "HTTP/1.1"), 3),
        (("HEAD", "101", "HTTP/1.1"), 3),
        (("DELETE", "101", "HTTP/1.1"), 2),
    ]);
    scene.counts(&logged, &BTreeMap::from(upgraded));
}

/// By a server that speaks no HTTP/2.
pub fn upgrades_that_are_not_granted(backend: &str) {
    let _alone = alone();
    let scene = Scene::new(backend, "http/1.1");
    for _ in 0..3 {
        run(Command::new("curl")
            .args(["-s", "--http2", "-o", "/dev/null", "-o", "/dev/null"])
            .args([scene.url("file"), scene.url("none")]));
    }
    let logged = BTreeMap::from([
        (("GET", "200", "HTTP/1.1"), 3),
        (("GET", "404", "HTTP/1.1"), 3),
    ]);
    scene.counts(&logged, &BTreeMap::new());
}
