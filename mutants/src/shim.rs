// SPDX-License-Identifier: Apache-2.0
//! The kernel's framing as a library for the host, with one file of it exchanged.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::json;

/// What the library and its tests are made of, so that the project may change in the meantime.
pub fn copy(project: &Path, tree: &Path) -> Result<()> {
    if tree.exists() {
        fs::remove_dir_all(tree)?;
    }
    for (folder, within) in [("fuzz", ""), ("src/bpf", "src")] {
        let within = tree.join(within);
        fs::create_dir_all(&within)?;
        let copied = Command::new("cp")
            .arg("-r")
            .args([&project.join(folder), &within])
            .status()?;
        ensure!(copied.success(), "{folder} cannot be copied");
    }
    Ok(())
}

/// Where one library is built, again and again.
pub struct Shim {
    pub folder: PathBuf,
    fuzz: PathBuf,
    sources: PathBuf,
}

impl Shim {
    /// Of the sources in a [`copy`].
    pub fn new(tree: &Path, folder: PathBuf) -> Result<Self> {
        fs::create_dir_all(&folder)?;
        Ok(Self {
            folder,
            fuzz: tree.join("fuzz"),
            sources: tree.join("src/bpf"),
        })
    }

    /// As it is, or with other content for one file, which the compiler alone sees. False if it is no valid program.
    pub fn build(&self, optimisation: &str, exchanged: Option<(&Path, &str)>) -> Result<bool> {
        let mut roots = Vec::new();
        if let Some((path, content)) = exchanged {
            let other = self.folder.join("exchanged.h");
            fs::write(&other, content)?;
            roots.push(json!({ "type": "file", "name": path, "external-contents": other }));
        }
        let overlay = self.folder.join("overlay.json");
        fs::write(
            &overlay,
            json!({ "version": 0, "roots": roots }).to_string(),
        )?;
        let clang = std::env::var_os("CLANG").unwrap_or_else(|| "clang".into());
        let built = Command::new(clang)
            .current_dir(&self.fuzz)
            .arg("-ivfsoverlay")
            .arg(overlay)
            .args(["-Isrc/host", "-I"])
            .arg(&self.sources)
            .args(["@src/host/flags", "-w", optimisation, "-fPIC", "-shared"])
            .args(["src/shim.c", "src/http2.c", "-o"])
            .arg(self.library())
            .stderr(Stdio::null())
            .status()
            .context("clang")?;
        Ok(built.success())
    }

    pub fn library(&self) -> PathBuf {
        self.folder.join("libshim.so")
    }
}
