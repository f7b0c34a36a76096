//! Compiles the CO-RE objects with clang and generates their skeletons into `OUT_DIR`.

use std::path::Path;

use anyhow::{Context, Result};
use libbpf_cargo::SkeletonBuilder;

const FOLDER: &str = "src/bpf";
/// Each with the folder of headers that come before others, if there is one.
const OBJECTS: [(&str, Option<&str>); 4] = [
    ("http", None),
    ("connections", None),
    ("preemption", None),
    ("tls", Some("tls/instead")),
];

fn main() -> Result<()> {
    println!("cargo::rerun-if-changed={FOLDER}");
    println!("cargo::rerun-if-env-changed=CLANG");

    let out_dir = std::env::var_os("OUT_DIR").context("OUT_DIR is not set: build with cargo")?;
    let arch = match std::env::var("CARGO_CFG_TARGET_ARCH")?.as_str() {
        "x86_64" => "x86",
        "aarch64" => "arm64",
        other => anyhow::bail!("no BPF register layout is known for {other}"),
    };
    for (object, instead) in OBJECTS {
        let mut builder = SkeletonBuilder::new();
        if let Some(clang) = std::env::var_os("CLANG") {
            builder.clang(clang);
        }
        let folders = instead.map(|it| format!("{FOLDER}/{it}"));
        let folders = folders.into_iter().chain([FOLDER.to_owned()]);
        let mut args: Vec<_> = folders.map(|folder| format!("-I{folder}")).collect();
        args.push(format!("-D__TARGET_ARCH_{arch}"));
        // The instruction set is named, since newer compilers default to one that older kernels refuse.
        args.extend(
            [
                "-mcpu=v3",
                "-Wall",
                "-Wextra",
                "-Wno-unused-parameter",
                "-Werror",
            ]
            .map(str::to_owned),
        );
        builder
            .source(format!("{FOLDER}/{object}.bpf.c"))
            .clang_args(args)
            .build_and_generate(Path::new(&out_dir).join(format!("{object}.skel.rs")))
            .with_context(|| {
                format!("{FOLDER}/{object}.bpf.c does not compile (is clang installed?)")
            })?;
    }
    Ok(())
}
