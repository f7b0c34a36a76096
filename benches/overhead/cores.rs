// SPDX-License-Identifier: Apache-2.0
//! Two cores: what is measured runs on one, what must not disturb it on the other.

use anyhow::{Context, Result};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

#[derive(Clone, Copy, Debug)]
pub struct Cores {
    pub here: usize,
    pub there: usize,
}

impl Cores {
    pub fn find() -> Result<Self> {
        let allowed = sched_getaffinity(None).context("cannot ask which CPUs are allowed")?;
        let mut allowed = (0..CpuSet::MAX_CPU).filter(|&cpu| allowed.is_set(cpu));
        match (allowed.next(), allowed.next()) {
            (Some(here), Some(there)) => Ok(Self { here, there }),
            _ => anyhow::bail!("the benchmark needs two CPUs: allow it a second one"),
        }
    }
}

/// Keeps the calling thread, and the processes it starts from now on, on one core.
pub fn pin(cpu: usize) -> Result<()> {
    let mut only = CpuSet::new();
    only.set(cpu);
    sched_setaffinity(None, &only).with_context(|| format!("cannot stay on CPU {cpu}"))
}
