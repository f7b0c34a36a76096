// SPDX-License-Identifier: Apache-2.0
//! What is measured of a running agent.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::agent::{Agent, INTERVAL};
use crate::kernel::{self, Map};

/// What the agent takes at one moment.
pub struct Sample {
    pub rss_kib: u64,
    pub anonymous_kib: u64,
    pub peak_kib: u64,
    /// CPU time in a second without a client: reading all counters and turning them into rates.
    pub cpu: Duration,
    /// The first report of a snapshot; others get the same bytes.
    pub report: Duration,
    pub report_bytes: usize,
    pub gzip_bytes: usize,
    pub maps: BTreeMap<u32, Map>,
    pub programs: u64,
}

impl Sample {
    pub fn of(agent: &Agent) -> Result<Self> {
        let (start, running) = (Instant::now(), agent.times()?);
        sleep(3 * INTERVAL);
        let cpu = agent
            .times()?
            .since(&running)
            .div_f64(start.elapsed().as_secs_f64());

        let mut reports = Vec::new();
        for _ in 0..3 {
            sleep(INTERVAL);
            let start = Instant::now();
            let body = agent.report("identity")?;
            reports.push((start.elapsed(), body.len()));
        }
        reports.sort();
        let (report, report_bytes) = reports[1];
        let (maps, programs) = kernel::bpf(agent.pid())?;
        Ok(Self {
            rss_kib: agent.status("VmRSS")?,
            anonymous_kib: agent.status("RssAnon")?,
            peak_kib: agent.status("VmHWM")?,
            cpu,
            report,
            report_bytes,
            gzip_bytes: agent.report("gzip")?.len(),
            maps,
            programs,
        })
    }
}
