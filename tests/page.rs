// SPDX-License-Identifier: Apache-2.0
//! The page in a real browser, on a real agent. `tests/page/test.mjs` says what it has to do.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::agent::{Program, output_of};
use common::answering::{answering, ask};
use common::load::Address;
use common::web;
use rustix::process::Signal;
use serde_json::json;

const AGENT: Program = common::agent!();

/// A folder of the build's own, with what the test imports. The screenshots are left there.
fn prepare() -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/page");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("page");
    fs::create_dir_all(&folder).unwrap();
    for name in [
        "package.json",
        "package-lock.json",
        "test.mjs",
        "feigned.mjs",
    ] {
        fs::copy(source.join(name), folder.join(name)).unwrap();
    }
    for (program, package) in [
        ("/usr/bin/chromium", "chromium"),
        ("/usr/bin/npm", "npm"),
        ("/usr/bin/node", "nodejs"),
    ] {
        assert!(
            Path::new(program).exists(),
            "is the package {package} installed?"
        );
    }
    let mut npm = Command::new("npm");
    npm.args(["ci", "--no-audit", "--no-fund", "--prefer-offline"])
        .env("PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD", "1")
        .current_dir(&folder);
    let output = output_of(npm);
    assert!(output.status.success(), "{output:?}");
    folder
}

#[test]
fn shows_what_happens_and_comes_back_when_the_agent_does() {
    let folder = prepare();
    let (mut agent, address) = web::start(AGENT, &[]);
    let asked = answering("<script>alert(1)<");
    let steady = answering("steady script");
    for (status, count) in [(200, 97), (404, 13), (500, 5)] {
        ask(&asked, status, count);
    }
    let Address::Tcp(SocketAddr::V4(listening)) = &asked.address else {
        panic!("{:?}", asked.address)
    };
    let port = listening.port();
    let expectations = json!({
        "asked": {
            "pid": asked.pid(),
            "port": port,
            "name": "<script>alert(1)<",
            "answers": { "200": 97, "404": 13, "500": 5 },
        },
        "steady": { "pid": steady.pid() },
    });

    let mut browser = Command::new("node")
        .arg("test.mjs")
        .arg(format!("http://{address}/"))
        .arg(expectations.to_string())
        .current_dir(&folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                ask(&steady, 200, 1);
                std::thread::sleep(Duration::from_millis(97));
            }
        });
        let mut last = String::new();
        for line in BufReader::new(browser.stdout.take().unwrap()).lines() {
            last = line.unwrap();
            println!("{last}");
            if last == "restart" {
                agent.stop(Signal::TERM);
            } else if last == "lost" {
                let listen = ["--listen", &address.to_string()];
                agent = AGENT.start(&listen);
            }
        }
        done.store(true, Ordering::Relaxed);
        assert!(
            browser.wait().unwrap().success(),
            "the last step was {last:?}"
        );
        assert_eq!(last, "done");
    });
    for name in [
        "page-light",
        "page-dark",
        "detail-light",
        "detail-dark",
        "heatmap-light",
        "heatmap-dark",
        "detail-asked",
        "light",
        "phone",
        "phone-detail",
        "waiting",
    ] {
        let picture = folder.join(name).with_extension("png");
        assert!(fs::metadata(picture).unwrap().len() > 10_000);
    }
}
