// SPDX-License-Identifier: Apache-2.0
//! What the kernel hands to a program at the exit of a system call lies on its stack, with bytes between the fields that nothing
//! has been written to. Many kernels zero them; here they are not zero, whatever the kernel does: the programs are run by the test
//! as programs of a raw tracepoint, whose context it may choose.
//!
//! Of the call that such a program finds in its registers, which is the one that runs it, all arguments have to be those of a
//! receive or send: its first is the number of the command, and so of the socket; its second, the address of what describes the
//! run, is that of a vector as well.

use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::thread;
use std::{ptr, slice};

use libbpf_rs::skel::{OpenSkel, SkelBuilder};
use libbpf_rs::{MapCore, MapFlags, OpenObject, ProgramInput, ProgramType};
use nix::libc::{
    MAP_ANONYMOUS, MAP_FAILED, MAP_FIXED_NOREPLACE, MAP_PRIVATE, PROT_READ, PROT_WRITE, SYS_bpf,
    SYS_readv, SYS_writev, dup2, mmap, syscall,
};
use nix::sched::{CloneFlags, unshare};
use plain::Plain;
use scope_http_statistics::kernel::skeleton::{HttpSkel, HttpSkelBuilder, types};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// `BPF_PROG_TEST_RUN`, and the descriptor that a system call with this first argument is about.
const COMMAND: i32 = 10;
/// The upper half of an address at which nothing else is.
const HIGH: u32 = 0x10;
const ROOM: usize = 4096;

#[test]
fn by_syscall() {
    // With descriptors of its own, one of which has to have a certain number.
    thread::spawn(|| {
        unshare(CloneFlags::CLONE_FILES).unwrap();
        a_call_is_known_by_its_number();
    })
    .join()
    .unwrap();
}

fn a_call_is_known_by_its_number() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    // SAFETY: whatever had this number, it is nothing of this thread's, and other threads keep theirs.
    assert_eq!(unsafe { dup2(server.as_raw_fd(), COMMAND) }, COMMAND);
    let mut object = MaybeUninit::uninit();
    let skeleton = load(&mut object);
    let memory = memory();

    client.write_all(REQUEST).unwrap();
    server.read_exact(&mut [0; REQUEST.len()]).unwrap();
    run(
        &skeleton.progs.http_exit_receive,
        memory,
        SYS_readv,
        REQUEST,
    );
    server.write_all(ANSWER).unwrap();
    run(&skeleton.progs.http_exit_send, memory, SYS_writev, ANSWER);

    let processes = &skeleton.maps.http_processes;
    let place = 0_u32.to_ne_bytes();
    let value = processes.lookup(&place, MapFlags::ANY).unwrap().unwrap();
    let mut process = types::http_process::default();
    process.copy_from_bytes(&value).unwrap();
    let requests: u64 = process
        .owner
        .requests
        .iter()
        .map(|of_some| of_some.count)
        .sum();
    // By its kind and by its number.
    let series = skeleton.maps.http_series_at.keys().count();
    assert_eq!((requests, series), (1, 2));
}

/// The programs that look at calls, as programs that the test may run. State lies where they expect it.
fn load(object: &mut MaybeUninit<OpenObject>) -> HttpSkel<'_> {
    let mut open = HttpSkelBuilder::default().open(object).unwrap();
    for mut program in open.open_object_mut().progs_mut() {
        let name = program.name().to_string_lossy().into_owned();
        let runs = ["http_exit_receive", "http_exit_send"].contains(&&*name);
        program.set_autoload(runs || name == "http_identify");
        if runs {
            program.set_prog_type(ProgramType::RawTracepoint);
        }
    }
    // What other backends need, which old kernels may not have.
    let maps = &mut open.maps;
    maps.http_connections.set_autocreate(false).unwrap();
    maps.http_messages.set_autocreate(false).unwrap();
    maps.http_notes.set_autocreate(false).unwrap();
    maps.rodata_data.as_mut().unwrap().http_room = [4; 4];
    let mut skeleton = open.load().unwrap();
    // A few places in each table are all that is needed.
    for free in [
        &skeleton.maps.http_processes_free,
        &skeleton.maps.http_workloads_free,
        &skeleton.maps.http_series_free,
    ] {
        for place in (0_u32..4).rev() {
            free.update(&[], &place.to_ne_bytes(), MapFlags::ANY)
                .unwrap();
        }
    }
    let identify = &skeleton.progs.http_identify;
    let identified = identify.test_run(ProgramInput::default()).unwrap();
    assert_eq!(identified.return_value, 0);
    // It would not count itself.
    skeleton.maps.bss_data.as_mut().unwrap().agent_pid = 0;
    skeleton
}

/// Memory at the address whose lower half is zero. It lasts as long as the process.
fn memory() -> &'static mut [u8] {
    let address = ptr::without_provenance_mut((HIGH as usize) << 32);
    let access = PROT_READ | PROT_WRITE;
    let kind = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
    // SAFETY: a new mapping of nothing, and of no place where something is.
    let memory = unsafe { mmap(address, ROOM, access, kind, -1, 0) };
    assert_ne!(memory, MAP_FAILED, "{}", io::Error::last_os_error());
    // SAFETY: nobody else knows of this mapping, which is never undone.
    unsafe { slice::from_raw_parts_mut(memory.cast(), ROOM) }
}

/// `struct syscall_trace_exit`
#[repr(C)]
struct Context {
    entry: u64,
    number: i32,
    between: u32,
    returned: i64,
}

/// What the kernel is to run, as `union bpf_attr` has it, and the beginning of a vector: the first two fields are the address of a
/// buffer, the next two its length.
#[repr(C)]
#[derive(Default)]
struct Run {
    program: u32,
    high: u32,
    room: u64,
    data: [u64; 2],
    repeat: [u32; 2],
    context_size: [u32; 2],
    context: [u64; 2],
    flags: [u32; 2],
}

/// Runs a program at the exit of a call that has moved these bytes.
fn run(program: &impl AsFd, memory: &mut [u8], number: i64, bytes: &[u8]) {
    let program = program.as_fd().as_raw_fd().cast_unsigned();
    let room = &mut memory[program as usize..];
    room[..bytes.len()].copy_from_slice(bytes);
    let context = Context {
        entry: 0,
        number: number.try_into().unwrap(),
        between: 0xa5a5_a5a5,
        returned: bytes.len().try_into().unwrap(),
    };
    let mut run = Run {
        program,
        high: HIGH,
        room: room.len() as u64,
        context_size: [size_of::<Context>() as u32, 0],
        context: [ptr::from_ref(&context).addr() as u64, 0],
        ..Run::default()
    };
    // SAFETY: both structures live, and are as large as is said.
    let returned = unsafe { syscall(SYS_bpf, COMMAND, &raw mut run, size_of::<Run>()) };
    assert_eq!(returned, 0, "{}", io::Error::last_os_error());
}
