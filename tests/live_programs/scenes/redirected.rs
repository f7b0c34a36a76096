// SPDX-License-Identifier: Apache-2.0
//! Bytes that a sockmap hands from one socket to another on the same host, as proxies beside their servers do: they never pass TCP,
//! whose sequence numbers stand still.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::{null, null_mut};
use std::time::Duration;

use common::trampolines::descriptor;
use libbpf_rs::libbpf_sys::{
    BPF_F_INGRESS, BPF_FUNC_msg_redirect_map, BPF_MAP_TYPE_SOCKMAP, BPF_PROG_TYPE_SK_MSG,
    BPF_PSEUDO_MAP_FD, BPF_SK_MSG_VERDICT, bpf_insn, bpf_map_create, bpf_map_update_elem,
    bpf_prog_attach, bpf_prog_load,
};

use super::cast::{ANSWER, REQUEST, Scene, tcp};
use super::counts;

const REQUESTS: u64 = 5;
const LIMIT: Duration = Duration::from_secs(20);
/// Of each body, each of which would be requests if it were none.
const PARTS: usize = 3;

pub fn bodies_that_a_sockmap_redirects_are_none(backend: &str) {
    counts(backend, Scene::Redirected, REQUESTS);
}

/// What one client sends is received by the server of another, to which nothing but the map leads.
pub fn act() {
    let (mut sender, _peer) = tcp();
    let (mut client, mut server) = tcp();
    server.set_read_timeout(Some(LIMIT)).unwrap();
    let _redirected = Redirected::new(&sender, &server);
    let head = format!(
        "POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n",
        PARTS * REQUEST.len()
    );
    for _ in 0..REQUESTS {
        for part in [head.as_bytes()].into_iter().chain([REQUEST; PARTS]) {
            sender.write_all(part).unwrap();
            server.read_exact(&mut vec![0; part.len()]).unwrap();
        }
        server.write_all(ANSWER).unwrap();
        client.read_exact(&mut [0; ANSWER.len()]).unwrap();
    }
}

/// Whatever one socket sends is put at once among what another one has to receive.
struct Redirected {
    _from: OwnedFd,
    _to: OwnedFd,
    _program: OwnedFd,
}

impl Redirected {
    fn new(from: &TcpStream, to: &TcpStream) -> Self {
        let (from_map, to_map) = (sockmap(), sockmap());
        put(&to_map, to);
        let program = redirecting_into(&to_map);
        // SAFETY: both descriptors are open.
        let error = unsafe {
            let (program, map) = (program.as_raw_fd(), from_map.as_raw_fd());
            bpf_prog_attach(program, map, BPF_SK_MSG_VERDICT, 0)
        };
        assert_eq!(error, 0);
        // The kernel asks only then for the map's program.
        put(&from_map, from);
        Self {
            _from: from_map,
            _to: to_map,
            _program: program,
        }
    }
}

/// A map that has room for one socket.
fn sockmap() -> OwnedFd {
    const SIZE: u32 = size_of::<u32>() as u32;
    // SAFETY: it needs neither a name nor options.
    let map = unsafe { bpf_map_create(BPF_MAP_TYPE_SOCKMAP, null(), SIZE, SIZE, 1, null()) };
    descriptor(map).expect("the kernel has sockmaps")
}

fn put(map: &OwnedFd, socket: &TcpStream) {
    let (key, value) = (0_u32, socket.as_raw_fd());
    // SAFETY: key and value are as large as the map says.
    let error = unsafe {
        bpf_map_update_elem(
            map.as_raw_fd(),
            (&raw const key).cast(),
            (&raw const value).cast(),
            0,
        )
    };
    assert_eq!(error, 0);
}

/// `return bpf_msg_redirect_map(message, map, 0, BPF_F_INGRESS)`: the message is in register 1 when the program begins.
fn redirecting_into(map: &OwnedFd) -> OwnedFd {
    /// Operation codes.
    const LOAD_WIDE: u8 = 0x18;
    const MOVE: u8 = 0xb7;
    const CALL: u8 = 0x85;
    const EXIT: u8 = 0x95;

    let instruction = |code, to, from, imm| {
        let mut instruction = bpf_insn {
            code,
            imm,
            ..Default::default()
        };
        instruction.set_dst_reg(to);
        instruction.set_src_reg(from);
        instruction
    };
    let program = [
        instruction(LOAD_WIDE, 2, BPF_PSEUDO_MAP_FD as u8, map.as_raw_fd()),
        instruction(0, 0, 0, 0),
        instruction(MOVE, 3, 0, 0),
        instruction(MOVE, 4, 0, BPF_F_INGRESS as i32),
        instruction(CALL, 0, 0, BPF_FUNC_msg_redirect_map as i32),
        instruction(EXIT, 0, 0, 0),
    ];
    // SAFETY: the license ends with a zero, the program has the length that is said, and the call keeps none of them.
    let program = unsafe {
        bpf_prog_load(
            BPF_PROG_TYPE_SK_MSG,
            null(),
            c"GPL".as_ptr(),
            program.as_ptr(),
            program.len() as u64,
            null_mut(),
        )
    };
    descriptor(program).expect("the kernel lets programs redirect messages")
}
