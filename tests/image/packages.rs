// SPDX-License-Identifier: Apache-2.0
//! The packages, installed, started and removed on a host with systemd, whose unit does what it says.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use common::agent::{Program, output_of};
use common::load::{Address, keep_alive};
use common::process::eventually;
use common::reader::{Reader, Receive};
use common::servers::free_address;
use common::web::{ask, sample, text};
use tempfile::TempDir;

use crate::documented;
use crate::finish::finish;
use crate::host::Host;

const AGENT: Program = common::agent!();
const LIMIT: Duration = Duration::from_secs(300);
const UNIT: &str = "scope-http-statistics.service";
const AGENT_NAME: &str = "scope-http-statistics";

/// What is asked of `systemctl show`.
fn property(host: &Host, name: &str) -> String {
    host.says(&format!("systemctl show --value --property {name} {UNIT}"))
}

fn package(kind: &str, folder: &TempDir) -> PathBuf {
    let binary = folder.path().join(AGENT_NAME);
    // As a release build is.
    if !binary.exists() {
        let mut strip = Command::new("strip");
        strip.arg("-o").arg(&binary).arg(AGENT.path());
        finish(strip, &folder.path().join("strip.log"), LIMIT);
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/package.sh");
    let mut command = Command::new(script);
    command.arg(kind).arg(&binary).arg(folder.path());
    // A clone that somebody else owns, as it may be for root.
    command.env("SOURCE_DATE_EPOCH", "1790000000");
    let log = folder.path().join(format!("{kind}.log"));
    finish(command, &log, LIMIT);
    let path = fs::read_to_string(log).unwrap();
    PathBuf::from(path.lines().last().unwrap())
}

/// Debian's own judge of packages has nothing to say.
fn is_clean(deb: &Path) {
    let mut lintian = Command::new("lintian");
    lintian
        .args(["--allow-root", "--fail-on", "error,warning"])
        .arg(deb);
    let output = output_of(lintian);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{output:?}");
}

/// It is started when it counts, and with no more rights than the documented ones.
fn runs(host: &Host, address: SocketAddr, labels: &[&str]) {
    assert_eq!(property(host, "ActiveState"), "active");
    assert_eq!(ask(address, "GET", "/readyz", &[]).status, 200);
    let server = Reader::tcp(Receive::Read);
    let served = keep_alive(&server.address, 37);
    assert_eq!((served.answers, served.served), (37, 37));
    let Address::Tcp(at) = server.address else {
        unreachable!("a server of TCP");
    };
    let label = format!("server_port=\"{}\"", at.port());
    let labels = [labels, &[&label]].concat();
    let name = "http_server_requests_total";
    eventually(Some(37.0), || {
        sample(&text(address, "/metrics"), name, &labels)
    });

    let pid = host.pid_here(&property(host, "MainPID")).unwrap();
    documented::has_rights(pid.into());
    for (name, value) in [("MemoryMax", "268435456"), ("TasksMax", "64")] {
        assert_eq!(property(host, name), value, "{name}");
    }
}

fn restarts(host: &Host) {
    host.does(&format!("systemctl kill --signal KILL {UNIT}"));
    eventually("1".to_owned(), || property(host, "NRestarts"));
    eventually("active".to_owned(), || property(host, "ActiveState"));
}

/// With a wrong command line it would end again and again.
fn gives_up_what_only_people_can_mend(host: &Host, settings: &Path) {
    let right = fs::read_to_string(settings).unwrap();
    fs::write(settings, "SCOPE_HTTP_LISTEN=nowhere\n").unwrap();
    host.says(&format!("systemctl restart {UNIT}"));
    let ended = "ActiveState=failed ExecMainStatus=2 NRestarts=0";
    let names = "--property ActiveState --property ExecMainStatus --property NRestarts";
    eventually(ended.to_owned(), || {
        let shown = host.says(&format!("systemctl show {names} {UNIT}"));
        let mut lines: Vec<_> = shown.lines().collect();
        lines.sort_unstable();
        lines.join(" ")
    });
    fs::write(settings, right).unwrap();
    host.does(&format!("systemctl restart {UNIT}"));
}

#[test]
fn packages_are_installed_run_and_are_removed() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    // Of root's own, as what it installs.
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let deb = package("deb", &folder);
    is_clean(&deb);
    let rpm = package("rpm", &folder);

    let address = free_address();
    let host = Host::boot(|tree| {
        let settings = format!("SCOPE_HTTP_LISTEN={address}\n");
        fs::write(tree.join("etc/default").join(AGENT_NAME), settings).unwrap();
        fs::copy(&deb, tree.join("agent.deb")).unwrap();
    });
    let settings = host.tree().join("etc/default").join(AGENT_NAME);
    let at = |path: &str| host.tree().join(path);
    let plugins = "test -d /run/scope/plugins/http-statistics";

    host.does("dpkg --install /agent.deb");
    assert_eq!(
        host.says(&format!("systemctl is-enabled {UNIT}")),
        "enabled"
    );
    runs(&host, address, &[]);
    host.does(plugins);
    // Of a file that somebody has changed an update keeps the changes.
    let configuration = at("etc/scope-http-statistics.toml");
    let mut changed = fs::read_to_string(&configuration).unwrap();
    changed.push_str("per-process = true\n");
    fs::write(&configuration, changed).unwrap();
    host.does("dpkg --install /agent.deb");
    runs(&host, address, &["process_pid="]);
    restarts(&host);
    gives_up_what_only_people_can_mend(&host, &settings);
    host.does(&format!(
        "systemd-analyze verify --man=no /lib/systemd/system/{UNIT}"
    ));
    host.does(&format!(
        "systemd-analyze security --no-pager --threshold 25 {UNIT}"
    ));
    host.does(&format!("dpkg --purge {AGENT_NAME}"));
    assert_eq!(property(&host, "ActiveState"), "inactive");
    host.does(&format!("! {plugins}"));
    for path in [
        "usr/bin/scope-http-statistics",
        "lib/systemd/system/scope-http-statistics.service",
    ] {
        assert!(!at(path).exists(), "{path}");
    }

    // Its scripts find no systemd that runs, as when an image is made, and leave the start to the next boot.
    let rpm_there = |args: &[&str]| {
        let mut command = Command::new("rpm");
        command.arg("--root").arg(host.tree()).args(args);
        command
    };
    let mut install = rpm_there(&["--install", "--nodeps"]);
    install.arg(&rpm);
    finish(install, &folder.path().join("install.log"), LIMIT);
    host.does(&format!(
        "systemctl daemon-reload && systemctl start {UNIT}"
    ));
    assert_eq!(
        host.says(&format!("systemctl is-enabled {UNIT}")),
        "enabled"
    );
    runs(&host, address, &[]);
    host.does(&format!("systemctl stop {UNIT}"));
    let remove = rpm_there(&["--erase", AGENT_NAME]);
    finish(remove, &folder.path().join("remove.log"), LIMIT);
    assert!(!at("usr/bin/scope-http-statistics").exists());
    let left = format!("systemctl daemon-reload && ! systemctl cat {UNIT}");
    host.does(&left);
}
