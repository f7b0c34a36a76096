// SPDX-License-Identifier: Apache-2.0
//! The programs of `peer.bpf.c`: compiled here, so that the agent's build does not carry them.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use libbpf_rs::{Link, MapCore, MapFlags, Object, ObjectBuilder, libbpf_sys};

use crate::observer::Observer;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/overhead/peer.bpf.c");

/// Those of its programs whose name begins like this.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Programs {
    /// The usual way to see requests.
    Peer,
    /// The usual way to see heads of HTTP/2.
    Heads,
    /// Nothing at all, at the tracepoints of `sock`: what any program there costs on this machine.
    EmptySock,
    /// The same at those of `syscall`.
    EmptySyscall,
}

impl Programs {
    fn prefix(self) -> &'static str {
        match self {
            Self::Peer => "peer_",
            Self::Heads => "heads_",
            Self::EmptySock => "empty_sock_",
            Self::EmptySyscall => "empty_exit_",
        }
    }
}

pub struct Tracepoints {
    links: Vec<Link>,
    object: Object,
    programs: Programs,
}

impl Tracepoints {
    pub fn load(programs: Programs) -> Result<Self> {
        let folder = tempfile::tempdir().context("no temporary folder")?;
        let object = folder.path().join("peer.bpf.o");
        compile(folder.path(), &object)?;
        let mut object = ObjectBuilder::default().open_file(&object)?;
        for mut program in object.progs_mut() {
            let wanted = program
                .name()
                .to_string_lossy()
                .starts_with(programs.prefix());
            program.set_autoload(wanted);
        }
        Ok(Self {
            links: Vec::new(),
            object: object.load().context("cannot load peer.bpf.c")?,
            programs,
        })
    }
}

fn compile(folder: &Path, object: &Path) -> Result<()> {
    let headers = folder.join("bpf");
    fs::create_dir(&headers)?;
    for (name, text) in libbpf_sys::API_HEADERS {
        fs::write(headers.join(name), text)?;
    }
    let clang = std::env::var_os("CLANG").unwrap_or_else(|| "clang".into());
    let status = Command::new(&clang)
        .args([
            "-g", "-O2", "-target", "bpf", "-mcpu=v3", "-Wall", "-Werror", "-c", SOURCE,
        ])
        .arg("-I")
        .arg(folder)
        .arg("-o")
        .arg(object)
        .status()
        .with_context(|| format!("cannot start {}: install clang", clang.display()))?;
    anyhow::ensure!(status.success(), "clang refused {SOURCE}");
    Ok(())
}

impl Observer for Tracepoints {
    fn attach(&mut self) -> Result<()> {
        for program in self.object.progs_mut().filter(|it| it.autoload()) {
            let link = program.attach();
            self.links
                .push(link.with_context(|| format!("cannot attach {}", program.name().display()))?);
        }
        Ok(())
    }

    fn detach(&mut self) -> Result<()> {
        self.links.clear();
        Ok(())
    }

    fn requests(&mut self, pid: u32) -> Result<Option<u64>> {
        if !matches!(self.programs, Programs::Peer | Programs::Heads) {
            return Ok(None);
        }
        let map = self.object.maps().find(|map| map.name() == "requests");
        let value = map
            .context("peer.bpf.c has no map of requests")?
            .lookup(&pid.to_ne_bytes(), MapFlags::ANY)?;
        let count = value.map_or(Ok(0), |bytes| {
            bytes.as_slice().try_into().map(u64::from_ne_bytes)
        });
        Ok(Some(count.context("a count of peer.bpf.c is no u64")?))
    }
}
