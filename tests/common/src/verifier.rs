// SPDX-License-Identifier: Apache-2.0
//! What the kernel's verifier makes of the programs of a backend: how far they are from what it refuses.

use std::collections::HashMap;
use std::fmt::Write;
use std::mem::take;
use std::os::fd::AsFd;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use libbpf_rs::query::ProgInfoIter;
use libbpf_rs::{PrintLevel, Program};
use scope_http_statistics::kernel::backend::Backend;
use scope_http_statistics::kernel::load::{Bpf, Options, verify};
use scope_http_statistics::tls::attach::{Programs, Way};

/// A program that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    pub name: String,
    pub instructions: usize,
    /// How many the verifier went through, on all ways.
    pub processed: u64,
}

/// `BPF_LOG_STATS`: of the verifier's log the last words alone.
const STATISTICS: u32 = 4;

/// What libbpf says, and so the verifier's log of each program.
static LOG: Mutex<String> = Mutex::new(String::new());

/// What the verifier made of the programs that the agent has loaded. Kernels before 5.16 tell only whom they load programs
/// for, so that they have to be loaded once more.
pub fn verified(bpf: &Bpf<'_>, options: &Options) -> Result<Vec<Verified>> {
    let verified = told(bpf.programs())?;
    if verified.iter().all(|program| program.processed > 0) {
        return Ok(verified);
    }
    libbpf_rs::set_print(Some((PrintLevel::Debug, |_, text| {
        let mut log = LOG.lock().unwrap_or_else(PoisonError::into_inner);
        log.push_str(&text);
    })));
    let outcome = verify(bpf.backend(), options, STATISTICS);
    let log = take(&mut *LOG.lock().unwrap_or_else(PoisonError::into_inner));
    outcome?;
    list(bpf.programs(), |program| {
        let name = program.name().to_string_lossy();
        processed(&log, &name).with_context(|| format!("the verifier says nothing of {name}"))
    })
}

/// The same of the programs within TLS, which are for newer kernels alone.
pub fn verified_within_tls() -> Result<Vec<Verified>> {
    told(Programs::alone(Way::of_this_kernel()?)?.all())
}

fn told<'a>(programs: impl Iterator<Item = Program<'a>>) -> Result<Vec<Verified>> {
    let told: HashMap<u32, u32> = ProgInfoIter::default()
        .map(|info| (info.id, info.verified_insns))
        .collect();
    list(programs, |program: &Program<'_>| {
        let id = Program::id_from_fd(program.as_fd())?;
        let processed = *told.get(&id).context("a program is not listed")?;
        Ok(u64::from(processed))
    })
}

fn list<'a>(
    programs: impl Iterator<Item = Program<'a>>,
    processed: impl Fn(&Program<'_>) -> Result<u64>,
) -> Result<Vec<Verified>> {
    programs
        .filter(libbpf_rs::ProgramImpl::autoload)
        .map(|program| {
            Ok(Verified {
                name: program.name().to_string_lossy().into_owned(),
                instructions: program.insn_cnt(),
                processed: processed(&program)?,
            })
        })
        .collect()
}

/// A line for each program of a backend, below a title.
pub fn table(backend: Backend, programs: &[Verified]) -> String {
    titled(&format!("backend {backend}"), programs)
}

pub fn titled(title: &str, programs: &[Verified]) -> String {
    let mut text = format!("{title:<24}{:>14}{:>14}\n", "instructions", "processed");
    for program in programs {
        let (name, size, processed) = (&program.name, program.instructions, program.processed);
        let _ = writeln!(text, "{name:<24}{size:>14}{processed:>14}");
    }
    text
}

/// How many instructions of a program were gone through.
fn processed(log: &str, program: &str) -> Option<u64> {
    let (_, log) = log.split_once(&format!("prog '{program}': -- BEGIN PROG LOAD LOG --\n"))?;
    let (log, _) = log.split_once("-- END PROG LOAD LOG --")?;
    let (_, number) = log.rsplit_once("processed ")?;
    let (number, _) = number.split_once(" insns")?;
    number.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
libbpf: map 'http_series': created successfully, fd=8
libbpf: prog 'http_exit_read': -- BEGIN PROG LOAD LOG --
processed 71997 insns (limit 1000000) max_states_per_insn 4 total_states 3521 peak_states 1200 mark_read 61
-- END PROG LOAD LOG --
libbpf: prog 'http_exit_readv': -- BEGIN PROG LOAD LOG --
verification time 4711 usec
processed 71998 insns (limit 1000000)
-- END PROG LOAD LOG --
libbpf: prog 'http_exit_write': -- BEGIN PROG LOAD LOG --
-- END PROG LOAD LOG --
";

    #[test]
    fn each_program_has_its_own_count() {
        assert_eq!(processed(LOG, "http_exit_read"), Some(71997));
        assert_eq!(processed(LOG, "http_exit_readv"), Some(71998));
        assert_eq!(processed(LOG, "http_exit_write"), None);
        assert_eq!(processed(LOG, "http_sock_recv"), None);
    }
}
