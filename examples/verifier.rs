// SPDX-License-Identifier: Apache-2.0
//! What the verifier makes of each BPF program on this kernel. Each is loaded alone, so that all backends are shown
//! whichever one the agent would choose.

use std::ffi::OsString;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;

use anyhow::{Context, Result};
use libbpf_rs::Program;
use libbpf_rs::query::ProgInfoIter;
use libbpf_rs::skel::{OpenSkel, Skel, SkelBuilder};

#[allow(clippy::all, clippy::restriction, clippy::pedantic, dead_code)]
mod skeleton {
    include!(concat!(env!("OUT_DIR"), "/http.skel.rs"));
}

fn main() -> Result<()> {
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
        let (instructions, processed) = verify(&name)
            .with_context(|| format!("{} is refused by this kernel", name.display()))?;
        println!("{:<24}{instructions:>14}{processed:>14}", name.display());
    }
    Ok(())
}

/// The size of a program, and how many instructions the verifier went through.
fn verify(name: &OsString) -> Result<(usize, u32)> {
    let mut storage = MaybeUninit::uninit();
    let mut object = skeleton::HttpSkelBuilder::default().open(&mut storage)?;
    for mut program in object.open_object_mut().progs_mut() {
        let alone = program.name() == name;
        program.set_autoload(alone);
    }
    let object = object.load()?;
    let program = object
        .object()
        .progs()
        .find(|program| program.name() == name)
        .context("it is gone")?;
    let id = Program::id_from_fd(program.as_fd())?;
    let info = ProgInfoIter::default()
        .find(|info| info.id == id)
        .context("the kernel does not list it")?;
    Ok((program.insn_cnt(), info.verified_insns))
}
