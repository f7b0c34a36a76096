// SPDX-License-Identifier: Apache-2.0
//! The root file system of a machine: process 1, its order, and executables at the paths that they have on the host,
//! since tests have the agent's path built in.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use cpio::newc;

use crate::guest::{ORDER, Order};

/// Where process 1 mounts, and where programs write.
const DIRECTORIES: [&str; 5] = ["/dev", "/proc", "/run", "/sys", "/tmp"];

const DIRECTORY: u32 = 0o040_755;
const EXECUTABLE: u32 = 0o100_755;

pub fn write(path: &Path, init: &Path, order: &Order) -> Result<()> {
    let mut archive = BufWriter::new(File::create(path)?);
    let programs = order.programs.iter().map(|program| &program.path);
    let executables: BTreeSet<&PathBuf> = programs
        .chain([&order.agent])
        .chain(&order.verifier)
        .collect();

    let mut directories: BTreeSet<&Path> = DIRECTORIES.map(Path::new).into();
    for executable in &executables {
        directories.extend(executable.ancestors().skip(1));
    }
    directories.remove(Path::new("/"));
    let mut inode = 0;
    let mut add = |path: &Path, mode, content: &[u8]| -> Result<()> {
        inode += 1;
        let entry = newc::Builder::new(name(path)?).ino(inode).mode(mode);
        let length = u32::try_from(content.len())?;
        let mut file = entry.write(&mut archive, length);
        file.write_all(content)?;
        file.finish()?;
        Ok(())
    };
    for directory in directories {
        add(directory, DIRECTORY, &[])?;
    }
    add(Path::new("/init"), EXECUTABLE, &fs::read(init)?)?;
    add(Path::new(ORDER), EXECUTABLE, &serde_json::to_vec(order)?)?;
    for executable in executables {
        let content = fs::read(executable).with_context(|| executable.display().to_string())?;
        add(executable, EXECUTABLE, &content)?;
    }
    newc::trailer(&mut archive)?;
    Ok(archive.flush()?)
}

/// Names in an archive are relative to its root.
fn name(path: &Path) -> Result<&str> {
    let relative = path.strip_prefix("/").context("an absolute path")?;
    relative.to_str().context("a path that is no text")
}
