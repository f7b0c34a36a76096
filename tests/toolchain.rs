// SPDX-License-Identifier: Apache-2.0
//! Who has a toolchain that is too old is told so in one line, and not by the errors of cargo.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use common::agent::{folder, output_of};
use tempfile::TempDir;

const SCRIPT: &str = "scripts/install-dependencies.sh";

/// What Cargo.toml asks for.
const NEEDED: &str = env!("CARGO_PKG_RUST_VERSION");

/// A folder with a cargo and a rustc that can only say how old they are.
fn toolchain(cargo: &str, rustc: &str) -> TempDir {
    let folder = folder();
    for (name, version) in [("cargo", cargo), ("rustc", rustc)] {
        let path = folder.path().join(name);
        let script = format!(
            "#!/bin/sh\nif [ \"$*\" = --version ]; then echo '{name} {version}'\n\
             else echo error: a line of {name}; exit 101; fi\n"
        );
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    }
    folder
}

fn run(toolchain: &TempDir, command: &[&str]) -> Output {
    let path = format!(
        "{}:{}",
        toolchain.path().display(),
        std::env::var("PATH").unwrap()
    );
    let mut child = Command::new(command[0]);
    child
        .args(&command[1..])
        .env("PATH", path)
        // Of a make that runs the tests.
        .env_remove("MAKEFLAGS")
        .env_remove("MAKELEVEL")
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")));
    output_of(child)
}

/// The lines of a command that has failed, but for the one in which make says so.
fn complaints(toolchain: &TempDir, command: &[&str]) -> Vec<String> {
    let output = run(toolchain, command);
    assert!(!output.status.success(), "{output:?}");
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(text).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with("make: *** "));
    lines.map(str::to_owned).collect()
}

#[test]
fn an_old_toolchain_is_named_in_one_line() {
    let new = format!("{NEEDED}.0 (0000000 2000-01-01)");
    for (cargo, rustc, found) in [
        // What Debian 12 has, cargo and rustc of two makes, and one minor version too few.
        ("1.65.0", "1.63.0", "cargo is 1.65.0: "),
        (&new, "1.85.0", "rustc is 1.85.0: "),
        ("1.90.0 (840b83a10 2025-07-30)", &new, "cargo is 1.90.0: "),
        ("1.9.0", &new, "cargo is 1.9.0: "),
    ] {
        let toolchain = toolchain(cargo, rustc);
        for command in [
            &[SCRIPT, "build"][..],
            &["make"],
            &["make", "build"],
            &["make", "lint"],
        ] {
            let complaints = complaints(&toolchain, command);
            let [line] = &complaints[..] else {
                panic!("{command:?}: {complaints:#?}");
            };
            let start = format!("Rust {NEEDED} or later is needed, and ");
            assert!(line.starts_with(&start), "{line}");
            assert!(line.contains(found), "{line}");
        }
    }
}

#[test]
fn a_toolchain_that_is_just_new_enough_passes() {
    for version in [
        NEEDED,
        &format!("{NEEDED}.1 (0000000 2000-01-01)"),
        "1.100.0-nightly",
    ] {
        let output = run(&toolchain(version, version), &[SCRIPT, "build"]);
        assert!(output.status.success(), "{version}: {output:?}");
    }
}
