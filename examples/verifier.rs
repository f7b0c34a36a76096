// SPDX-License-Identifier: Apache-2.0
//! Which backend the agent takes on this kernel, and what the verifier makes of the BPF programs of each.

use anyhow::{Error, Result};
use scope_http_statistics::backend::Backend;
use scope_http_statistics::bpf::Options;
use scope_http_statistics::choice::{load, objects};
use scope_http_statistics::verifier::{Verified, verified};

/// A backend that was loaded, why it was chosen, and its programs.
type Loaded = (Backend, String, Vec<Verified>);

fn main() {
    let kernel = rustix::system::uname();
    println!(
        "Linux {} on {}. A program is refused at 1000000 processed instructions.",
        kernel.release().to_string_lossy(),
        kernel.machine().to_string_lossy()
    );
    let chosen = try_backend(None);
    match &chosen {
        Ok((backend, why, _)) => println!("\nauto: {backend}: {why}"),
        Err(error) => println!("\nauto: error: {error:#}"),
    }
    for backend in Backend::ALL {
        match &chosen {
            Ok((loaded, _, programs)) if *loaded == backend => print(backend, Ok(programs)),
            _ => print(
                backend,
                try_backend(Some(backend))
                    .as_ref()
                    .map(|(_, _, programs)| &**programs),
            ),
        }
    }
}

fn try_backend(backend: Option<Backend>) -> Result<Loaded> {
    let options = Options {
        backend,
        max_processes: 1024,
        max_connections: 1024,
    };
    let mut objects = objects();
    let bpf = load(&mut objects, &options)?;
    let programs = verified(&bpf, &options)?;
    Ok((bpf.backend(), bpf.reason().to_owned(), programs))
}

fn print(backend: Backend, programs: Result<&[Verified], &Error>) {
    let title = format!("backend {backend}");
    match programs {
        Ok(programs) => {
            println!("\n{title:<24}{:>14}{:>14}", "instructions", "processed");
            for program in programs {
                let (name, size) = (&program.name, program.instructions);
                println!("{name:<24}{size:>14}{:>14}", program.processed);
            }
        }
        Err(error) => println!("\n{title}\nerror: {error:#}"),
    }
}
