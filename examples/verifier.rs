// SPDX-License-Identifier: Apache-2.0
//! What the verifier makes of each BPF program on this kernel. Each is loaded alone, so that all backends are shown
//! whichever one the agent would choose.

use std::ffi::{OsStr, OsString};
use std::mem::{MaybeUninit, take};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use libbpf_rs::PrintLevel;
use libbpf_rs::skel::{OpenSkel, Skel, SkelBuilder};

#[allow(clippy::all, clippy::restriction, clippy::pedantic, dead_code)]
mod skeleton {
    include!(concat!(env!("OUT_DIR"), "/http.skel.rs"));
}

/// Of the verifier's log, only the statistics. Kernels before 5.16 give them nowhere else.
const STATISTICS: u32 = 4;

/// What libbpf says, to which the verifier's log belongs.
static LOG: Mutex<String> = Mutex::new(String::new());

fn main() -> Result<()> {
    libbpf_rs::set_print(Some((PrintLevel::Debug, |_, text| {
        let mut log = LOG.lock().unwrap_or_else(PoisonError::into_inner);
        log.push_str(&text);
    })));
    let mut storage = MaybeUninit::uninit();
    let object = skeleton::HttpSkelBuilder::default().open(&mut storage)?;
    let programs: Vec<OsString> = object
        .open_object()
        .progs()
        .map(|program| program.name().to_owned())
        .collect();

    let kernel = rustix::system::uname();
    println!(
        "Linux {} on {}. A program is refused at 1000000 processed instructions.\n",
        kernel.release().to_string_lossy(),
        kernel.machine().to_string_lossy()
    );
    println!("{:<24}{:>14}{:>14}", "program", "instructions", "processed");
    for name in programs {
        let program = name.display();
        match verify(&name)? {
            Some((instructions, processed)) => {
                println!("{program:<24}{instructions:>14}{processed:>14}")
            }
            None => println!("{program:<24}{:>28}", "refused"),
        }
    }
    Ok(())
}

/// The size of a program, and how many instructions the verifier went through. None where the kernel refuses it.
fn verify(name: &OsStr) -> Result<Option<(usize, u64)>> {
    let mut storage = MaybeUninit::uninit();
    let mut object = skeleton::HttpSkelBuilder::default().open(&mut storage)?;
    for mut program in object.open_object_mut().progs_mut() {
        let alone = program.name() == name;
        program.set_autoload(alone);
        program.set_log_level(STATISTICS);
    }
    let loaded = object.load();
    let log = take(&mut *LOG.lock().unwrap_or_else(PoisonError::into_inner));
    let Ok(loaded) = loaded else {
        return Ok(None);
    };
    let mut programs = loaded.object().progs();
    let program = programs.find(|program| program.name() == name);
    let instructions = program.context("it is gone")?.insn_cnt();
    let (_, after) = log
        .rsplit_once("\nprocessed ")
        .with_context(|| format!("{} has no statistics: {log}", name.display()))?;
    let processed = after.split(' ').next().unwrap_or_default();
    Ok(Some((instructions, processed.parse()?)))
}
