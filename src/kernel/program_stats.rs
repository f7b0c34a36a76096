// SPDX-License-Identifier: Apache-2.0
//! Reads the kernel's statistics of a program. It measures times and runs only where it is told to (`sysctl kernel.bpf_stats_enabled=1`).

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::model::counters::ProgramStats;

/// What was last seen of each program. It is something that the agent says of itself: where it cannot be read, what was last seen
/// stands, so that no number goes back.
#[derive(Default)]
pub struct Latest(BTreeMap<String, ProgramStats>);

impl Latest {
    pub fn update(&mut self, program: String, stats: Result<ProgramStats>) {
        match stats {
            Ok(stats) => drop(self.0.insert(program, stats)),
            Err(error) => log::debug!("of {program} nothing new is known: {error:#}"),
        }
    }

    /// By program.
    pub fn all(&self) -> Vec<(String, ProgramStats)> {
        let stats = self.0.iter();
        stats.map(|(name, stats)| (name.clone(), *stats)).collect()
    }
}

/// The statistics of the program behind a descriptor.
pub fn of(program: BorrowedFd<'_>) -> Result<ProgramStats> {
    let path = format!("/proc/self/fdinfo/{}", program.as_raw_fd());
    let text = fs::read_to_string(&path).with_context(|| format!("{path} cannot be read"))?;
    Ok(parse(&text))
}

fn parse(fdinfo: &str) -> ProgramStats {
    let value = |key| {
        fdinfo
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find_map(|(name, value)| (name == key).then(|| value.trim().parse().ok()).flatten())
            .unwrap_or(0)
    };
    ProgramStats {
        run_time: Duration::from_nanos(value("run_time_ns")),
        runs: value("run_cnt"),
        recursion_misses: value("recursion_misses"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_numbers_or_none() {
        let text = "pos:\t0\nflags:\t02000002\nprog_type:\t26\nprog_jited:\t1\nprog_tag:\t0c3f\nmemlock:\t8192\n\
                    prog_id:\t71\nrun_time_ns:\t123456789\nrun_cnt:\t1009\nrecursion_misses:\t3\n";
        let stats = ProgramStats {
            run_time: Duration::from_nanos(123_456_789),
            runs: 1009,
            recursion_misses: 3,
        };
        assert_eq!(parse(text), stats);
        assert_eq!(parse("pos:\t0\n"), ProgramStats::default());
    }

    #[test]
    fn what_cannot_be_read_stays_as_it_was() {
        let stats = |runs| ProgramStats {
            runs,
            ..ProgramStats::default()
        };
        let unreadable = || Err(anyhow::anyhow!("too many open files"));
        let mut latest = Latest::default();
        latest.update("one".to_owned(), Ok(stats(7)));
        latest.update("two".to_owned(), unreadable());
        latest.update("one".to_owned(), unreadable());
        assert_eq!(latest.all(), [("one".to_owned(), stats(7))]);
        latest.update("one".to_owned(), Ok(stats(9)));
        assert_eq!(latest.all(), [("one".to_owned(), stats(9))]);
    }
}
