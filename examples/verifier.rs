// SPDX-License-Identifier: Apache-2.0
//! Which backend the agent takes on this kernel, and what the verifier makes of the BPF programs of each.

use anyhow::Result;
use scope_http_statistics::backend::Backend;
use scope_http_statistics::bpf::Options;
use scope_http_statistics::choice::{load, objects};
use scope_http_statistics::verifier::{Verified, verified};

/// A backend that the kernel accepts.
struct Loaded {
    backend: Backend,
    /// Why it was chosen.
    reason: String,
    programs: Vec<Verified>,
}

fn main() {
    let kernel = rustix::system::uname();
    println!(
        "Linux {} on {}. A program is refused at 1000000 processed instructions.",
        kernel.release().to_string_lossy(),
        kernel.machine().to_string_lossy()
    );
    let chosen = try_to_load(None);
    match &chosen {
        Ok(loaded) => println!("\nauto: {}: {}", loaded.backend, loaded.reason),
        Err(error) => println!("\nauto: error: {error:#}"),
    }
    for backend in Backend::ALL {
        match &chosen {
            Ok(loaded) if loaded.backend == backend => print(backend, &chosen),
            _ => print(backend, &try_to_load(Some(backend))),
        }
    }
}

fn try_to_load(backend: Option<Backend>) -> Result<Loaded> {
    let options = Options {
        backend,
        max_processes: 1024,
        max_connections: 1024,
    };
    let mut objects = objects();
    let bpf = load(&mut objects, &options)?;
    Ok(Loaded {
        backend: bpf.backend(),
        reason: bpf.reason().to_owned(),
        programs: verified(&bpf, &options)?,
    })
}

fn print(backend: Backend, loaded: &Result<Loaded>) {
    let title = format!("backend {backend}");
    match loaded {
        Ok(loaded) => {
            println!("\n{title:<24}{:>14}{:>14}", "instructions", "processed");
            for program in &loaded.programs {
                let (name, size) = (&program.name, program.instructions);
                println!("{name:<24}{size:>14}{:>14}", program.processed);
            }
        }
        Err(error) => println!("\n{title}\nerror: {error:#}"),
    }
}
