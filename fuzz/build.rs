// SPDX-License-Identifier: Apache-2.0
//! Compiles the kernel's framing for the host, with undefined behaviour as a trap.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=src/host");
    println!("cargo::rerun-if-changed=src/shim.c");
    println!("cargo::rerun-if-changed=src/http2.c");
    println!("cargo::rerun-if-changed=../src/bpf");
    println!("cargo::rerun-if-env-changed=CLANG");
    println!("cargo::rerun-if-env-changed=SHIM_LIBRARY");
    // A shared one, which mutants/ exchanges for others.
    if let Some(folder) = env::var_os("SHIM_LIBRARY") {
        println!("cargo::rustc-link-search=native={}", folder.display());
        println!("cargo::rustc-link-lib=dylib=shim");
        return;
    }
    cc::Build::new()
        .compiler(env::var_os("CLANG").unwrap_or_else(|| "clang".into()))
        // First, since it has headers of its own for what there is in the kernel alone.
        .include("src/host")
        .include("../src/bpf")
        .files(["src/shim.c", "src/http2.c"])
        // Words at any address are defined for BPF, and some parameters are what only other callers need.
        .flag("@src/host/flags")
        .warnings_into_errors(true)
        .compile("shim");
}
