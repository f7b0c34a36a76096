// SPDX-License-Identifier: Apache-2.0
//! The tests of the framing, each on its own: those that are quick find most faults.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::shim::Shim;

/// A test that takes longer by this factor, and this much, has been made to run for ever.
const PATIENCE: u32 = 10;
const GRACE: Duration = Duration::from_secs(5);

#[derive(Debug)]
struct Test {
    program: PathBuf,
    pub name: String,
    /// When nothing is wrong.
    takes: Duration,
}

pub struct Suite {
    /// Quick ones first.
    tests: Vec<Test>,
    folder: PathBuf,
}

impl Suite {
    /// All tests of the fuzz package, run in a copy of the project. The sound library has to pass them.
    pub fn new(project: &Path, tree: &Path, target: &Path, sound: &Shim) -> Result<Self> {
        ensure!(sound.build(None)?, "the sources do not compile");
        let mut suite = Self {
            tests: Vec::new(),
            folder: tree.join("fuzz"),
        };
        for program in programs(project, target, sound)? {
            for name in suite.list(&program, sound)? {
                let mut test = Test {
                    program: program.clone(),
                    name,
                    takes: Duration::MAX,
                };
                let start = Instant::now();
                ensure!(suite.passes(&test, sound)?, "{} fails already", test.name);
                test.takes = start.elapsed();
                suite.tests.push(test);
            }
        }
        ensure!(!suite.tests.is_empty(), "no test to find a fault");
        suite.tests.sort_by_key(|test| test.takes);
        Ok(suite)
    }

    /// Whether a test fails with this library.
    pub fn notices(&self, shim: &Shim) -> Result<bool> {
        for test in &self.tests {
            if !self.passes(test, shim)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn list(&self, program: &Path, shim: &Shim) -> Result<Vec<String>> {
        let listed = self.command(program, shim).arg("--list").output()?;
        let listed = String::from_utf8(listed.stdout)?;
        let names = listed
            .lines()
            .filter_map(|line| line.strip_suffix(": test"));
        Ok(names.map(str::to_owned).collect())
    }

    fn passes(&self, test: &Test, shim: &Shim) -> Result<bool> {
        let mut child = self
            .command(&test.program, shim)
            .args(["--exact", &test.name])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let limit = test.takes.saturating_mul(PATIENCE).saturating_add(GRACE);
        passes_within(&mut child, limit)
    }

    fn command(&self, program: &Path, shim: &Shim) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(&self.folder)
            .env("LD_LIBRARY_PATH", &shim.folder)
            .env_remove("SEED");
        command
    }
}

fn passes_within(child: &mut Child, limit: Duration) -> Result<bool> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.success());
        }
        if start.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            return Ok(false);
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// The test programs, linked so that they take whichever library is in their path.
fn programs(project: &Path, target: &Path, sound: &Shim) -> Result<Vec<PathBuf>> {
    let built = Command::new("cargo")
        .current_dir(project)
        .args(["test", "--no-run", "--locked", "--package", "http1-fuzz"])
        .args([
            "--tests",
            "--release",
            "--config",
            "profile.release.lto=false",
        ])
        .args(["--message-format", "json", "--target-dir"])
        .arg(target)
        .env("RUSTFLAGS", "-Ctarget-feature=-crt-static")
        .env("SHIM_LIBRARY", &sound.folder)
        .stderr(Stdio::inherit())
        .output()
        .context("cargo")?;
    ensure!(built.status.success(), "cargo builds no tests");
    let mut programs = Vec::new();
    for line in String::from_utf8(built.stdout)?.lines() {
        let message: Value = serde_json::from_str(line)?;
        programs.extend(message["executable"].as_str().map(PathBuf::from));
    }
    Ok(programs)
}
