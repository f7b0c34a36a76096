// SPDX-License-Identifier: Apache-2.0
//! What the kernel's verifier makes of the programs of a backend: how far they are from what it refuses.

use std::mem::{MaybeUninit, take};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use libbpf_rs::PrintLevel;
use libbpf_rs::skel::{OpenSkel, Skel};

use crate::backend::{Backend, Kernel};
use crate::bpf::{Options, configured};

/// A program that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    pub name: String,
    pub instructions: usize,
    /// How many the verifier went through, on all ways.
    pub processed: u64,
}

/// `BPF_LOG_STATS`: of the verifier's log the last words alone, which kernels before 5.16 give nowhere else.
const STATISTICS: u32 = 4;

/// What libbpf says, and so the verifier's log of each program.
static LOG: Mutex<String> = Mutex::new(String::new());

/// Loads the programs of a backend as the agent does.
pub fn verify(backend: Backend, options: &Options) -> Result<Vec<Verified>> {
    libbpf_rs::set_print(Some((PrintLevel::Debug, |_, text| {
        let mut log = LOG.lock().unwrap_or_else(PoisonError::into_inner);
        log.push_str(&text);
    })));
    let kernel = Kernel::running()?;
    let mut object = MaybeUninit::uninit();
    let mut open = configured(&mut object, backend, &kernel, options)?;
    for mut program in open.open_object_mut().progs_mut() {
        program.set_log_level(STATISTICS);
    }
    let loaded = open.load();
    let log = take(&mut *LOG.lock().unwrap_or_else(PoisonError::into_inner));
    loaded?
        .object()
        .progs()
        .filter(libbpf_rs::ProgramImpl::autoload)
        .map(|program| {
            let name = program.name().to_string_lossy().into_owned();
            let processed = processed(&log, &name)
                .with_context(|| format!("the verifier says nothing of {name}: {log}"))?;
            Ok(Verified {
                name,
                instructions: program.insn_cnt(),
                processed,
            })
        })
        .collect()
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
