// SPDX-License-Identifier: Apache-2.0
//! wrk with a script that stops with nothing on its way, so that both ends have the same count.

use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::answers::Answers;
use crate::sites::{Site, log};

/// Both threads of it together, as `pipeline.lua` has it.
const ANSWERS: u64 = 2 * 16 * 50;

pub fn pipelines(site: &Site, _: &Path) -> Answers {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/accuracy/apps/pipeline.lua");
    let before = log(site.front()).total();
    let wrk = Command::new("wrk")
        .args([
            "--threads=2",
            "--connections=2",
            "--duration=20s",
            "--timeout=20s",
            "--script",
        ])
        .arg(script)
        .arg(site.url(""))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("wrk: {error} (is the package wrk installed?)"));
    // It sleeps for its whole duration, unless it is interrupted.
    let start = Instant::now();
    while log(site.front()).total() - before < ANSWERS && start.elapsed() < Duration::from_secs(20)
    {
        thread::sleep(Duration::from_millis(10));
    }
    thread::sleep(Duration::from_millis(50));
    // It fails only where the duration is over.
    let _ = kill_process(Pid::from_child(&wrk), Signal::INT);
    let output = wrk.wait_with_output().unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    let (counted, _) = output.split_once(" requests in ").expect(&output);
    let counted = counted.rsplit(char::is_whitespace).next().unwrap();
    Answers::of("GET", 200, counted.parse().unwrap())
}
