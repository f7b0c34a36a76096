// SPDX-License-Identifier: Apache-2.0
//! What the verifier makes of the BPF programs of each backend on this kernel.

use scope_http_statistics::backend::Backend;
use scope_http_statistics::bpf::Options;
use scope_http_statistics::choice::{load, objects};
use scope_http_statistics::verifier::verified;

fn main() {
    let kernel = rustix::system::uname();
    println!(
        "Linux {} on {}. A program is refused at 1000000 processed instructions.",
        kernel.release().to_string_lossy(),
        kernel.machine().to_string_lossy()
    );
    for backend in Backend::ALL {
        let options = Options {
            backend: Some(backend),
            max_processes: 1024,
            max_connections: 1024,
        };
        let mut objects = objects();
        let title = format!("backend {backend}");
        let programs = load(&mut objects, &options).and_then(|bpf| verified(&bpf, &options));
        match programs {
            Ok(programs) => {
                println!("\n{title:<24}{:>14}{:>14}", "instructions", "processed");
                for program in programs {
                    let (name, size) = (program.name, program.instructions);
                    println!("{name:<24}{size:>14}{:>14}", program.processed);
                }
            }
            Err(error) => println!("\n{title}\nerror: {error:#}"),
        }
    }
}
