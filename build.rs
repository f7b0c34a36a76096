//! Compiles the CO-RE objects with clang and generates their skeletons into `OUT_DIR`.

use std::ffi::OsStr;
use std::path::Path;

use anyhow::{Context, Result};
use libbpf_cargo::SkeletonBuilder;

const FOLDER: &str = "src/bpf";
const OBJECTS: [&str; 3] = ["http", "connections", "preemption"];

fn main() -> Result<()> {
    println!("cargo::rerun-if-changed={FOLDER}");
    println!("cargo::rerun-if-env-changed=CLANG");

    let out_dir = std::env::var_os("OUT_DIR").context("OUT_DIR is not set: build with cargo")?;
    let arch = match std::env::var("CARGO_CFG_TARGET_ARCH")?.as_str() {
        "x86_64" => "x86",
        "aarch64" => "arm64",
        other => anyhow::bail!("no BPF register layout is known for {other}"),
    };
    for object in OBJECTS {
        let mut builder = SkeletonBuilder::new();
        if let Some(clang) = std::env::var_os("CLANG") {
            builder.clang(clang);
        }
        builder
            .source(format!("{FOLDER}/{object}.bpf.c"))
            // The instruction set is named, since newer compilers default to one that older kernels refuse.
            .clang_args([
                OsStr::new(&format!("-D__TARGET_ARCH_{arch}")),
                OsStr::new("-mcpu=v3"),
                OsStr::new("-I"),
                OsStr::new(FOLDER),
                OsStr::new("-Wall"),
                OsStr::new("-Wextra"),
                OsStr::new("-Wno-unused-parameter"),
                OsStr::new("-Werror"),
            ])
            .build_and_generate(Path::new(&out_dir).join(format!("{object}.skel.rs")))
            .with_context(|| {
                format!("{FOLDER}/{object}.bpf.c does not compile (is clang installed?)")
            })?;
    }
    Ok(())
}
