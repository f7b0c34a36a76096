// SPDX-License-Identifier: Apache-2.0
//! Runs a test program, and tells of each test as it ends.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, PipeReader, pipe};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use kernel_lab::guest::TestProgram;
use kernel_lab::libtest;
use kernel_lab::record::{Record, TestResult};
use kernel_lab::selection::obstacle;

use crate::agent::Refusals;
use crate::system;
use crate::teller::Teller;

/// For all tests of a program.
const LIMIT: Duration = Duration::from_secs(400);
/// At a time: they wait for the agent's ticks more than they work.
const THREADS: &str = "--test-threads=4";

pub fn run(
    program: &TestProgram,
    environment: &BTreeMap<String, String>,
    refusals: &Refusals,
    teller: &Teller,
) -> Result<()> {
    let tell = |test: &str, result| {
        let record = Record::Test {
            program: program.name.clone(),
            test: test.to_owned(),
            result,
        };
        teller.tell(&match &program.setting {
            Some(setting) => record.under(setting),
            None => record,
        })
    };
    if let Some(setting) = &program.setting {
        system::set(setting).with_context(|| setting.clone())?;
    }
    let mut waiting = BTreeSet::new();
    for test in listed(program)? {
        match obstacle(&test, refusals) {
            Some(reason) => tell(&test, TestResult::NotPossible(reason.to_owned()))?,
            None => {
                waiting.insert(test);
            }
        }
    }
    if waiting.is_empty() {
        return Ok(());
    }

    let deadline = Instant::now() + LIMIT;
    let (reader, writer) = pipe()?;
    let mut child = Command::new(&program.path)
        .args([THREADS, "--exact"])
        .args(&waiting)
        .envs(environment)
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .spawn()
        .with_context(|| program.name.clone())?;
    let lines = lines(reader);
    let mut text = String::new();
    let mut failed = false;
    while let Ok(line) = lines.recv_timeout(deadline - Instant::now()) {
        if let Some((test, result)) = libtest::ended(&line)
            && waiting.remove(test)
        {
            failed |= result != TestResult::Passed;
            tell(test, result)?;
        }
        text.push_str(&line);
        text.push('\n');
    }
    // It fails only where it has ended.
    let _ = child.kill();
    child.wait()?;
    for test in &waiting {
        tell(test, TestResult::TimedOut)?;
    }
    if failed || !waiting.is_empty() {
        teller.tell(&Record::Output {
            program: program.name.clone(),
            text,
        })?;
    }
    Ok(())
}

/// The tests to run. The entry of servers that they start is none.
fn listed(program: &TestProgram) -> Result<Vec<String>> {
    let output = Command::new(&program.path)
        .args(["--list", "--format", "terse"])
        .output()
        .with_context(|| program.name.clone())?;
    let text = String::from_utf8(output.stdout)?;
    let tests = libtest::listed(&text)
        .filter(|test| !test.starts_with("reader::") && program.tests.include(test));
    Ok(tests.map(str::to_owned).collect())
}

fn lines(output: PipeReader) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(output).split(b'\n') {
            let Ok(line) = line else { return };
            if sender
                .send(String::from_utf8_lossy(&line).into_owned())
                .is_err()
            {
                return;
            }
        }
    });
    receiver
}
