// SPDX-License-Identifier: Apache-2.0
//! Programs of other languages, made ready to run where they stay.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::agent::output_of;

/// With the libraries of Debian's packages. What was compiled once lies beside the program.
pub fn go(source: &Path, program: PathBuf, options: &[&str]) -> PathBuf {
    // The first time takes as long as the machine takes.
    let output = Command::new("/usr/bin/go")
        .arg("build")
        .args(options)
        .arg("-o")
        .args([program.as_path(), source])
        .env("GO111MODULE", "off")
        .env("GOPATH", "/usr/share/gocode")
        .env("GOCACHE", program.with_file_name("go-cache"))
        .output()
        .unwrap_or_else(|error| panic!("go: {error} (is the package golang-go installed?)"));
    assert!(output.status.success(), "{}: {output:?}", source.display());
    program
}

/// The `app.js` of a folder, in another one, with what it imports beside it.
pub fn node(source: &Path, folder: &Path) -> PathBuf {
    fs::create_dir_all(folder).unwrap();
    for name in ["package.json", "package-lock.json", "app.js"] {
        fs::copy(source.join(name), folder.join(name)).unwrap();
    }
    let mut npm = Command::new("npm");
    npm.args(["ci", "--no-audit", "--no-fund", "--prefer-offline"])
        .arg("--ignore-scripts")
        .current_dir(folder);
    let output = output_of(npm);
    assert!(output.status.success(), "{output:?}");
    folder.join("app.js")
}
