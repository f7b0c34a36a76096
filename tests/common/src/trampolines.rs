// SPDX-License-Identifier: Apache-2.0
//! Whether this kernel lets BPF programs watch the exits of its functions, as the backend `fexit` needs. Asked of the
//! kernel itself with the smallest such program, and not of the agent.

use std::ffi::CStr;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::null;
use std::sync::OnceLock;
use std::thread;

use libbpf_rs::libbpf_sys::{
    BPF_PROG_TYPE_TRACING, BPF_TRACE_FEXIT, bpf_insn, bpf_prog_load, bpf_prog_load_opts,
    bpf_raw_tracepoint_open, libbpf_find_vmlinux_btf_id,
};

use crate::agent::{Program, only_error};

const FUNCTION: &CStr = c"inet_recvmsg";
/// `r0 = 0` and `exit`, as operation codes.
const CODES: [u8; 2] = [0xb7, 0x95];

/// Runs a test of the backend `fexit`. Where the kernel refuses such programs, that is said aloud, and the agent has to
/// say it too.
pub fn test(agent: Program, test: impl FnOnce()) {
    static REFUSAL: OnceLock<Option<String>> = OnceLock::new();
    let Some(refusal) = REFUSAL.get_or_init(|| refusal(agent)) else {
        return test();
    };
    let name = thread::current().name().unwrap_or_default().to_owned();
    // Past the harness, which shows only what failing tests print.
    let line = format!("NOT RUN: {name}: this kernel refuses every fexit program: {refusal}\n");
    io::stderr().write_all(line.as_bytes()).unwrap();
}

/// Whether `fexit` has to do without the tracepoints (before Linux 6.5). Then it does not see the end of a receive that was
/// waited for when it came.
pub fn alone() -> bool {
    function(c"inet_sendpage").is_some()
}

/// Why the kernel refuses.
fn refusal(agent: Program) -> Option<String> {
    let refusal = attach().err()?.to_string();
    let error = only_error(&agent.run(&["--backend", "fexit"]));
    assert!(error.contains("trampolines"), "{error}");
    assert!(error.contains(&refusal), "{error}, but not {refusal}");
    Some(refusal)
}

/// Loads and attaches the program, and lets go of it.
fn attach() -> io::Result<()> {
    let program = CODES.map(|code| bpf_insn {
        code,
        ..Default::default()
    });
    let mut options = bpf_prog_load_opts {
        sz: size_of::<bpf_prog_load_opts>() as u64,
        expected_attach_type: BPF_TRACE_FEXIT,
        attach_btf_id: function(FUNCTION).expect("the kernel has TCP"),
        ..Default::default()
    };
    // SAFETY: the texts end with a zero, the program has the length that is said, and the call keeps none of them.
    let program = descriptor(unsafe {
        bpf_prog_load(
            BPF_PROG_TYPE_TRACING,
            null(),
            c"GPL".as_ptr(),
            program.as_ptr(),
            program.len() as u64,
            &raw mut options,
        )
    })?;
    // SAFETY: it needs no name to attach to the function that the program was loaded for.
    descriptor(unsafe { bpf_raw_tracepoint_open(null(), program.as_raw_fd()) })?;
    Ok(())
}

/// A function of the kernel by its number in the kernel's BTF.
fn function(name: &CStr) -> Option<u32> {
    // SAFETY: the name ends with a zero.
    let function = unsafe { libbpf_find_vmlinux_btf_id(name.as_ptr(), BPF_TRACE_FEXIT) };
    function.try_into().ok()
}

/// What a call of libbpf returns: a new descriptor, or a negative error number.
pub fn descriptor(returned: RawFd) -> io::Result<OwnedFd> {
    if returned < 0 {
        return Err(io::Error::from_raw_os_error(-returned));
    }
    // SAFETY: the call has just made it, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(returned) })
}
