// SPDX-License-Identifier: Apache-2.0
//! Commands that take minutes.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::process::{spawn, tie_to_parent};
use rustix::process::Signal;

/// A program with mounts of its own, and with a pid namespace whose end ends all that it started.
pub fn enclosed(program: &str, temporary: &Path) -> Command {
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--pid", "--mount-proc", "--fork", "--kill-child"])
        .arg(program)
        .env("TMPDIR", temporary);
    command
}

/// Runs a command to its end, which has to come in time and be a success. Else the last of its log is shown.
pub fn finish(mut command: Command, log: &Path, limit: Duration) {
    let output = File::create(log).unwrap();
    command
        .stdin(Stdio::null())
        .stdout(output.try_clone().unwrap())
        .stderr(output);
    let mut child = spawn(tie_to_parent(&mut command, Signal::KILL)).unwrap();
    let start = Instant::now();
    let end = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status.to_string();
        }
        if start.elapsed() > limit {
            child.kill().unwrap();
            child.wait().unwrap();
            break format!("nothing in {limit:?}");
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    let program = command.get_args().find(|arg| is_program(arg));
    let program = program.unwrap_or_default().display();
    println!("{program}: {end} after {:?}", start.elapsed());
    if end != "exit status: 0" {
        let text = String::from_utf8_lossy(&fs::read(log).unwrap()).into_owned();
        let lines: Vec<_> = text.lines().collect();
        let last = &lines[lines.len().saturating_sub(60)..];
        panic!(
            "{command:?}: {end} (are the packages that scripts/install-dependencies.sh names installed?)\n{}",
            last.join("\n")
        );
    }
}

fn is_program(arg: &OsStr) -> bool {
    !arg.as_encoded_bytes().starts_with(b"-")
}
