// SPDX-License-Identifier: Apache-2.0
//! What the verifier makes of each BPF program on this kernel, by the backend that loads it. Each is loaded alone, so
//! that all backends are shown whichever one the agent would choose.

use std::ffi::OsString;
use std::mem::MaybeUninit;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use libbpf_rs::PrintLevel;
use libbpf_rs::skel::{OpenSkel, Skel, SkelBuilder};
use scope_http_statistics::backend::{Backend, Kernel};

#[allow(clippy::all, clippy::restriction, clippy::pedantic, dead_code)]
mod skeleton {
    include!(concat!(env!("OUT_DIR"), "/http.skel.rs"));
}

/// `BPF_LOG_STATS`: the verifier's last words alone.
const STATISTICS: u32 = 4;

/// What libbpf says while a program is loaded. The kernel hands the statistics out in no other way before 5.16.
static LOG: Mutex<String> = Mutex::new(String::new());

fn main() -> Result<()> {
    libbpf_rs::set_print(Some((PrintLevel::Debug, |_, text| {
        LOG.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push_str(&text);
    })));
    let kernel = Kernel::running()?;
    let mut storage = MaybeUninit::uninit();
    let object = skeleton::HttpSkelBuilder::default().open(&mut storage)?;
    let programs: Vec<OsString> = object
        .open_object()
        .progs()
        .map(|program| program.name().to_owned())
        .collect();

    let uname = rustix::system::uname();
    println!(
        "Linux {} on {}. A program is refused at 1000000 processed instructions.",
        uname.release().to_string_lossy(),
        uname.machine().to_string_lossy()
    );
    for backend in Backend::ALL {
        let title = format!("backend {backend}");
        println!("\n{title:<24}{:>14}{:>14}", "instructions", "processed");
        for name in &programs {
            let shown = name.to_string_lossy();
            if !kernel.facts.wants(backend, &shown) {
                continue;
            }
            match verify(&kernel, backend, name) {
                Ok((instructions, processed)) => {
                    println!("{shown:<24}{instructions:>14}{processed:>14}");
                }
                Err(error) => println!("{shown:<24}{error:>28}"),
            }
        }
    }
    Ok(())
}

/// The size of a program, and how many instructions the verifier went through.
fn verify(kernel: &Kernel, backend: Backend, name: &OsString) -> Result<(usize, u32)> {
    let mut storage = MaybeUninit::uninit();
    let mut object = skeleton::HttpSkelBuilder::default().open(&mut storage)?;
    for mut program in object.open_object_mut().progs_mut() {
        let alone = program.name() == name;
        program.set_autoload(alone);
        program.set_log_level(STATISTICS);
    }
    let constants = object.maps.rodata_data.as_mut().context("no constants")?;
    constants.http_in_storage = kernel.facts.keeps_state_in_storage(backend);
    constants.http_notes_taken = kernel.facts.takes_notes(backend);
    LOG.lock().unwrap_or_else(PoisonError::into_inner).clear();
    let object = object.load()?;
    let program = object
        .object()
        .progs()
        .find(|program| program.name() == name)
        .context("it is gone")?;
    let log = LOG.lock().unwrap_or_else(PoisonError::into_inner);
    let processed = log
        .rsplit_once("processed ")
        .and_then(|(_, rest)| rest.split_once(" insns"))
        .and_then(|(number, _)| number.parse().ok())
        .with_context(|| format!("the verifier says nothing of it: {log}"))?;
    Ok((program.insn_cnt(), processed))
}
