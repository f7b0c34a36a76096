// SPDX-License-Identifier: Apache-2.0
//! Programs of the Python Package Index in the versions of `requirements.txt`, apart from those of the host.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use common::agent::output_of;

/// A program of theirs, to be run in the folder of the project.
pub fn program(name: &str) -> Command {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(install);
    let mut command = Command::new(folder.join("bin").join(name));
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command
}

/// Unless an earlier run has done so.
fn install() -> PathBuf {
    let wanted = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/deploy/requirements.txt");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("deploy-python");
    let installed = folder.join("requirements.txt");
    let is_same = |installed| fs::read(&wanted).unwrap() == installed;
    if fs::read(&installed).is_ok_and(is_same) {
        return folder;
    }
    let mut make = Command::new("/usr/bin/python3");
    make.args(["-m", "venv", "--clear"]).arg(&folder);
    let mut install = Command::new(folder.join("bin/pip"));
    install
        .args(["install", "--quiet", "--require-hashes", "--requirement"])
        .arg(&wanted);
    for command in [make, install] {
        let output = output_of(command);
        assert!(
            output.status.success(),
            "{output:?} (is the package python3-venv installed?)"
        );
    }
    fs::copy(wanted, installed).unwrap();
    folder
}
