// SPDX-License-Identifier: Apache-2.0
//! An agent within this process, for as long as somebody looks: it has no socket, no port and no file, so that nothing is left of it
//! however the process ends.

use std::fs::File;
use std::io::IsTerminal;
use std::os::fd::OwnedFd;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use tokio::runtime::Runtime;

use crate::api::document::Document;
use crate::api::routes::document;
use crate::confine;
use crate::kernel::load::Options;
use crate::model::selection::Selection;
use crate::sampler::Sampler;
use crate::terminal::client::{ALL, BUSIEST};

pub struct Own {
    host: String,
    sampler: Sampler,
    _quiet: Option<Quiet>,
}

impl Own {
    /// Resolves once requests are counted.
    pub fn start(
        runtime: &Runtime,
        host: String,
        options: Options,
        selection: Selection,
    ) -> Result<Self> {
        let quiet = Quiet::begin().context("stderr cannot be set aside")?;
        let (sampler, _) = runtime.block_on(Sampler::start(options, selection))?;
        confine::showing();
        Ok(Self {
            host,
            sampler,
            _quiet: quiet,
        })
    }

    pub fn document(&self, all: bool) -> Result<Document> {
        let latest = self.sampler.latest();
        ensure!(
            !latest.is_stale(Instant::now()),
            "the kernel's counters are out of reach"
        );
        document(&latest, &self.host, if all { ALL } else { BUSIEST })
    }
}

/// Where stderr is the terminal that is drawn on, nobody writes to it meanwhile, the process that looks into TLS neither.
struct Quiet(OwnedFd);

impl Quiet {
    fn begin() -> Result<Option<Self>> {
        let stderr = std::io::stderr();
        if !stderr.is_terminal() {
            return Ok(None);
        }
        let before = rustix::io::dup(&stderr)?;
        rustix::stdio::dup2_stderr(File::options().write(true).open("/dev/null")?)?;
        Ok(Some(Self(before)))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // Whoever should read it may be gone.
        let _ = rustix::stdio::dup2_stderr(&self.0);
    }
}
