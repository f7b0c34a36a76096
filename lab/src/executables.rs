// SPDX-License-Identifier: Apache-2.0
//! The executables that cargo builds for the tests: the very same ones that run on the host.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::arch::Arch;

#[derive(Debug, Default)]
pub struct Executables {
    pub agent: PathBuf,
    /// Prints what the verifier makes of each BPF program.
    pub verifier: PathBuf,
    pub tests: BTreeMap<String, PathBuf>,
}

impl Executables {
    /// All of them, as they are built for the host, or else the named tests only: what takes long to build for another
    /// architecture is not built in vain.
    pub fn build(project: &Path, arch: Arch, tests: Option<&[&str]>) -> Result<Self> {
        let own = ["build", "--locked", "--bins", "--example", "verifier"];
        let mut artifacts = cargo(project, arch, &own)?;
        let mut arguments = vec!["test", "--no-run", "--locked"];
        for test in tests.unwrap_or_default() {
            arguments.extend(["--test", test]);
        }
        artifacts.extend(cargo(project, arch, &arguments)?);
        from_artifacts(&artifacts)
    }
}

/// The program of process 1.
pub fn build_init(project: &Path, arch: Arch) -> Result<PathBuf> {
    let package = env!("CARGO_PKG_NAME");
    let arguments = ["build", "--locked", "--package", package, "--bin", "init"];
    let artifacts = cargo(project, arch, &arguments)?;
    artifacts
        .into_iter()
        .find(|artifact| artifact.is("bin", "init"))
        .and_then(|artifact| artifact.executable)
        .context("cargo built no init")
}

#[derive(Debug, Deserialize)]
struct Artifact {
    target: Target,
    profile: Profile,
    executable: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Profile {
    test: bool,
}

impl Artifact {
    fn is(&self, kind: &str, name: &str) -> bool {
        !self.profile.test && self.target.name == name && self.target.kind.iter().any(|k| k == kind)
    }
}

fn cargo(project: &Path, arch: Arch, arguments: &[&str]) -> Result<Vec<Artifact>> {
    let output = Command::new("cargo")
        .args(arguments)
        .args([
            "--target",
            arch.target(),
            "--message-format=json-render-diagnostics",
        ])
        .arg("--manifest-path")
        .arg(project.join("Cargo.toml"))
        .stderr(Stdio::inherit())
        .output()
        .context("cargo")?;
    ensure!(output.status.success(), "cargo: {}", output.status);
    artifacts(std::str::from_utf8(&output.stdout)?)
}

/// Of cargo's messages, each a line of JSON, those about what it built.
fn artifacts(messages: &str) -> Result<Vec<Artifact>> {
    #[derive(Deserialize)]
    struct Message {
        reason: String,
    }
    let mut artifacts = Vec::new();
    for line in messages.lines() {
        let message: Message = serde_json::from_str(line).context(line.to_owned())?;
        if message.reason == "compiler-artifact" {
            artifacts.push(serde_json::from_str(line).context(line.to_owned())?);
        }
    }
    Ok(artifacts)
}

fn from_artifacts(artifacts: &[Artifact]) -> Result<Executables> {
    let find = |kind, name| {
        let artifact = artifacts.iter().find(|artifact| artifact.is(kind, name));
        let path = artifact.and_then(|artifact| artifact.executable.clone());
        path.with_context(|| format!("cargo built no {kind} {name}"))
    };
    let tests = artifacts.iter().filter(|artifact| artifact.profile.test);
    Ok(Executables {
        agent: find("bin", "scope-http-statistics")?,
        verifier: find("example", "verifier")?,
        tests: tests
            .filter_map(|artifact| {
                Some((artifact.target.name.clone(), artifact.executable.clone()?))
            })
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: &str, name: &str, test: bool, executable: &str) -> String {
        format!(
            r#"{{"reason":"compiler-artifact","target":{{"kind":["{kind}"],"name":"{name}","src_path":"x"}},"profile":{{"opt_level":"0","test":{test}}},"executable":{executable}}}"#
        )
    }

    #[test]
    fn executables_are_found_among_cargos_messages() {
        let messages = [
            message("lib", "scope_http_statistics", false, "null"),
            message("bin", "scope-http-statistics", true, r#""/t/unit""#),
            message("bin", "scope-http-statistics", false, r#""/t/agent""#),
            message("example", "verifier", false, r#""/t/verifier""#),
            message("test", "live_readers", true, r#""/t/live_readers-1""#),
            r#"{"reason":"build-finished","success":true}"#.to_owned(),
        ];
        let found = from_artifacts(&artifacts(&messages.join("\n")).unwrap()).unwrap();
        assert_eq!(found.agent, Path::new("/t/agent"));
        assert_eq!(found.verifier, Path::new("/t/verifier"));
        assert_eq!(found.tests["live_readers"], Path::new("/t/live_readers-1"));
        assert_eq!(found.tests["scope-http-statistics"], Path::new("/t/unit"));
    }
}
