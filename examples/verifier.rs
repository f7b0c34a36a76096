// SPDX-License-Identifier: Apache-2.0
//! Which backend the agent takes on this kernel, and what the verifier makes of the BPF programs of each.

use anyhow::Result;
use clap::Parser;
use common::verifier::{Verified, table, titled, verified, verified_within_tls};
use scope_http_statistics::kernel::backend::Backend;
use scope_http_statistics::kernel::choice::{load, objects};
use scope_http_statistics::kernel::load::Options;

/// Tells which backend the agent takes on this kernel, and what the verifier makes of the BPF programs of each.
#[derive(Parser)]
struct Arguments {
    /// To be tried instead of all
    backends: Vec<Backend>,

    /// The programs within TLS, instead of any backend
    #[arg(long)]
    tls: bool,
}

/// A backend that the kernel accepts.
struct Loaded {
    backend: Backend,
    /// Why it was chosen.
    reason: String,
    programs: Vec<Verified>,
}

fn main() {
    let Arguments { backends, tls } = Arguments::parse();
    let kernel = rustix::system::uname();
    println!(
        "Linux {} on {}. A program is refused at 1000000 processed instructions.",
        kernel.release().to_string_lossy(),
        kernel.machine().to_string_lossy()
    );
    if tls {
        return print_those_within_tls();
    }
    if !backends.is_empty() {
        for backend in backends {
            print(backend, &try_to_load(Some(backend)));
        }
        return;
    }
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
    print_those_within_tls();
}

fn print_those_within_tls() {
    match verified_within_tls() {
        Ok(programs) => print!("\n{}", titled("within TLS", &programs)),
        Err(error) => println!("\nwithin TLS\nerror: {error:#}"),
    }
}

fn try_to_load(backend: Option<Backend>) -> Result<Loaded> {
    let options = Options {
        backend,
        max_processes: 1024,
        max_workloads: 1024,
        max_connections: 1024,
        max_h2_connections: 1024,
        max_tls_connections: None,
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
    match loaded {
        Ok(loaded) => print!("\n{}", table(backend, &loaded.programs)),
        Err(error) => println!("\nbackend {backend}\nerror: {error:#}"),
    }
}
