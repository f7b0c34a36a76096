// SPDX-License-Identifier: Apache-2.0
//! Compiles the kernel's framing for the host, with undefined behaviour as a trap.

fn main() {
    println!("cargo::rerun-if-changed=src/host");
    println!("cargo::rerun-if-changed=src/shim.c");
    println!("cargo::rerun-if-changed=../src/bpf");
    println!("cargo::rerun-if-env-changed=CLANG");
    cc::Build::new()
        .compiler(std::env::var_os("CLANG").unwrap_or_else(|| "clang".into()))
        // First, since it has headers of its own for what there is in the kernel alone.
        .include("src/host")
        .include("../src/bpf")
        .file("src/shim.c")
        .flag("-fsanitize=undefined")
        .flag("-fsanitize-trap=undefined")
        // Defined for BPF: words at any address, and parameters that only other callers need.
        .flag("-fno-sanitize=alignment")
        .flag("-Wno-unused-parameter")
        .flag("-Wno-unused-function")
        .warnings_into_errors(true)
        .compile("shim");
}
