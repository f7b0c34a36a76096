// SPDX-License-Identifier: Apache-2.0
//! What the verifier makes of the BPF programs of each backend on this kernel.

use std::mem::MaybeUninit;

use anyhow::Result;
use scope_http_statistics::backend::Backend;
use scope_http_statistics::bpf::{Bpf, Options};

fn main() -> Result<()> {
    let kernel = rustix::system::uname();
    println!(
        "Linux {} on {}. A program is refused at 1000000 processed instructions.",
        kernel.release().to_string_lossy(),
        kernel.machine().to_string_lossy()
    );
    for backend in Backend::ALL {
        let mut object = MaybeUninit::uninit();
        let options = Options {
            backend: Some(backend),
            max_processes: 1024,
            max_connections: 1024,
        };
        match Bpf::load(&mut object, &options) {
            Ok(bpf) => print(backend, &bpf)?,
            Err(error) => println!("\n{error:#}"),
        }
    }
    Ok(())
}

fn print(backend: Backend, bpf: &Bpf<'_>) -> Result<()> {
    let title = format!("backend {backend}");
    println!("\n{title:<24}{:>14}{:>14}", "instructions", "processed");
    for program in bpf.verified()? {
        println!(
            "{:<24}{:>14}{:>14}",
            program.name, program.instructions, program.processed
        );
    }
    Ok(())
}
