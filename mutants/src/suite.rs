// SPDX-License-Identifier: Apache-2.0
//! The tests of the framing, each on its own: those that are quick find most faults.

use std::fs;
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
/// Random conversations of each kind that find nearly all faults.
const FEW: &str = "3000";

/// How hard the tests look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// Random conversations are few, and compiling takes longer than running.
    Quick,
    Thorough,
}

impl Effort {
    fn optimisation(self) -> &'static str {
        match self {
            Self::Quick => "-O0",
            Self::Thorough => "-O1",
        }
    }
}

#[derive(Debug)]
struct Test {
    program: PathBuf,
    name: String,
    /// When nothing is wrong.
    takes: Duration,
}

pub struct Suite {
    effort: Effort,
    /// Quick ones first.
    tests: Vec<Test>,
    folder: PathBuf,
    /// The library that is sound.
    sound: Vec<u8>,
}

/// What becomes of a mutant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The compiler refuses it, or makes the same of it as of the original.
    NoChange,
    Noticed,
    Survived,
}

impl Suite {
    /// All tests in these programs, run in a copy of the project. The sound library has to pass them.
    pub fn new(tree: &Path, programs: &[PathBuf], sound: &Shim, effort: Effort) -> Result<Self> {
        let built = sound.build(effort.optimisation(), None)?;
        ensure!(built, "the sources do not compile");
        let mut suite = Self {
            effort,
            tests: Vec::new(),
            folder: tree.join("fuzz"),
            sound: fs::read(sound.library())?,
        };
        for program in programs {
            for name in suite.list(program, sound)? {
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

    /// Tries the library with other content for one file.
    pub fn outcome(&self, shim: &Shim, path: &Path, content: &str) -> Result<Outcome> {
        let optimisation = self.effort.optimisation();
        if !shim.build(optimisation, Some((path, content)))?
            || fs::read(shim.library())? == self.sound
        {
            return Ok(Outcome::NoChange);
        }
        for test in &self.tests {
            if !self.passes(test, shim)? {
                return Ok(Outcome::Noticed);
            }
        }
        Ok(Outcome::Survived)
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
            .env_remove("SEED")
            .env_remove("SEEDS");
        if self.effort == Effort::Quick {
            command.env("SEEDS", FEW);
        }
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
pub fn programs(project: &Path, target: &Path, sound: &Shim) -> Result<Vec<PathBuf>> {
    // Cargo links with what is there.
    ensure!(
        sound.build(Effort::Quick.optimisation(), None)?,
        "the sources do not compile"
    );
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
