// SPDX-License-Identifier: Apache-2.0
//! The root file system of a machine: process 1, its order, and executables at the paths that they have on the host,
//! since tests have the agent's path built in.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use cpio::newc;

use crate::arch::Arch;
use crate::guest::{ORDER, Order};

/// Where process 1 mounts, and where programs write.
const DIRECTORIES: [&str; 5] = ["/dev", "/proc", "/run", "/sys", "/tmp"];

const DIRECTORY: u32 = 0o040_755;
const EXECUTABLE: u32 = 0o100_755;

pub fn write(path: &Path, init: &Path, order: &Order, arch: Arch) -> Result<()> {
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
    let stripped = path.with_extension("stripped");
    for executable in executables {
        strip(executable, &stripped, arch)?;
        add(executable, EXECUTABLE, &fs::read(&stripped)?)?;
    }
    fs::remove_file(stripped)?;
    newc::trailer(&mut archive)?;
    Ok(archive.flush()?)
}

/// What only debuggers read is most of an executable, and a machine would have to unpack it.
fn strip(executable: &Path, stripped: &Path, arch: Arch) -> Result<()> {
    let program = format!("{}-strip", arch.gnu());
    let mut command = Command::new(program);
    command.arg("-o").arg(stripped).arg(executable);
    let status = command.status().with_context(|| format!("{command:?}"))?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}

/// Names in an archive are relative to its root.
fn name(path: &Path) -> Result<&str> {
    let relative = path.strip_prefix("/").context("an absolute path")?;
    relative.to_str().context("a path that is no text")
}
