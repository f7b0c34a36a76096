// SPDX-License-Identifier: Apache-2.0
//! Kernels that lack something: each is a clear error that says what to do. What is lacking is hidden by
//! an empty file system, mounted in a mount namespace of the agent's own.

mod common;

use std::process::Command;

use common::agent::{folder, only_error, output_of};

/// The error of an agent that cannot see what lies below the given directories.
fn error_without(hidden: &[&str], backend: &str) -> String {
    let folder = folder();
    let mounts: String = hidden
        .iter()
        .map(|directory| format!("mount -t tmpfs none {directory} && "))
        .collect();
    let mut command = Command::new("unshare");
    command
        .args([
            "--mount",
            "sh",
            "-c",
            &format!("{mounts} exec \"$@\""),
            "sh",
        ])
        .arg(env!("CARGO_BIN_EXE_scope-http-statistics"))
        .args(["--backend", backend, "--plugins-root"])
        .arg(folder.path().join("plugins"))
        .args(["--listen", "none"]);
    only_error(&output_of(command))
}

#[test]
fn without_btf_the_error_names_it_once() {
    let error = error_without(&["/sys/kernel/btf"], "auto");
    assert_eq!(error.matches("BTF (").count(), 1, "{error}");
    assert!(error.contains("CONFIG_DEBUG_INFO_BTF"), "{error}");
}

#[test]
fn without_tracefs_the_syscall_backend_says_how_to_mount_it() {
    let error = error_without(&["/sys/kernel/tracing", "/sys/kernel/debug"], "syscall");
    assert!(
        error.contains("mount -t tracefs tracefs /sys/kernel/tracing"),
        "{error}"
    );
}
