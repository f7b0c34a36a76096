// SPDX-License-Identifier: Apache-2.0
//! The usual way, `peer.bpf.c`: compiled here, so that the agent's build does not carry it.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use libbpf_rs::{Link, MapCore, MapFlags, Object, ObjectBuilder, libbpf_sys};

use crate::variant::Observer;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/overhead/peer.bpf.c");

pub struct Tracepoints {
    links: Vec<Link>,
    object: Object,
}

impl Tracepoints {
    pub fn load() -> Result<Self> {
        let folder = tempfile::tempdir().context("no temporary folder")?;
        let object = folder.path().join("peer.bpf.o");
        compile(folder.path(), &object)?;
        let object = ObjectBuilder::default().open_file(&object)?.load();
        Ok(Self {
            links: Vec::new(),
            object: object.context("cannot load peer.bpf.c")?,
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
        for program in self.object.progs_mut() {
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

    fn requests(&self, pid: u32) -> Result<Option<u64>> {
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
