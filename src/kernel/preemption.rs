// SPDX-License-Identifier: Apache-2.0
//! Whether this kernel may preempt a task within a program at a tracepoint, and then skips the program in other tasks.

use std::fs;
use std::io::Write;
use std::mem::MaybeUninit;
use std::os::unix::net::UnixStream;

use anyhow::{Context, Result};
use libbpf_rs::btf::Btf;
use libbpf_rs::btf::types::Var;
use libbpf_rs::skel::{OpenSkel, Skel, SkelBuilder};

skeleton!(skeleton, "preemption");

/// Whether this kernel may preempt a task while it is in the kernel. One that leaves that to its boot parameters says so
/// in debugfs alone. `None`: that is not to be found out.
pub fn of_tasks() -> Option<bool> {
    let built = rustix::system::uname();
    let built = built.version().to_string_lossy();
    if !built.contains("PREEMPT_DYNAMIC") {
        return Some(built.contains("PREEMPT"));
    }
    let mode = fs::read_to_string("/sys/kernel/debug/sched/preempt").ok()?;
    Some(!(mode.contains("(none)") || mode.contains("(voluntary)")))
}

/// Whether it is on in a program at the tracepoint `sock_send_length`: a program looks while this process sends.
pub fn in_tracepoints(btf: &Btf<'_>) -> Result<bool> {
    // Before Linux 6.15 x86 had the count in another place, and such programs were never preempted.
    if cfg!(target_arch = "x86_64") && btf.type_by_name::<Var<'_>>("__preempt_count").is_none() {
        return Ok(false);
    }
    let mut object = MaybeUninit::uninit();
    let open = skeleton::PreemptionSkelBuilder::default().open(&mut object)?;
    let mut skeleton = open.load()?;
    skeleton.attach()?;
    let (mut end, _other) = UnixStream::pair()?;
    end.write_all(b"?")?;
    let seen = skeleton.maps.bss_data.context("no variables")?;
    Ok(seen.preemption_on)
}
