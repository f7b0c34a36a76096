// SPDX-License-Identifier: Apache-2.0
//! The kernel's HTTP/2, compiled for the host (`http2.c`), behind a safe interface.

use std::ffi::c_int;
use std::ptr;

use crate::account::Method;
use crate::transfer::Direction;

#[repr(C)]
struct Shim {
    _opaque: [u8; 0],
}

/// `struct h2_shim_block`: a header block as it was read.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    pub stream: u32,
    seen: u16,
    status: u16,
    grpc: u16,
    method: u8,
    sent: u8,
    last: u8,
    pad: [u8; 3],
}

const SEEN_METHOD: u16 = 1 << 0;
const SEEN_STATUS: u16 = 1 << 1;
const SEEN_GRPC: u16 = 1 << 2;
const SEEN_PSEUDO: u16 = 1 << 3;
const SEEN_UNKNOWN: u16 = 1 << 4;
const SEEN_AGED: u16 = 1 << 5;

/// In the order of `enum http_method`, and `H2_METHOD_UNKNOWN` behind it.
const METHODS: [Method; 10] = [
    Method::Other,
    Method::Connect,
    Method::Delete,
    Method::Get,
    Method::Head,
    Method::Options,
    Method::Patch,
    Method::Post,
    Method::Put,
    Method::Trace,
];

fn method(number: u8) -> Option<Method> {
    METHODS.get(usize::from(number)).copied()
}

impl Block {
    pub fn method(&self) -> Option<Method> {
        let seen = self.seen & SEEN_METHOD != 0;
        seen.then(|| method(self.method).expect("a block has no unknown method"))
    }

    /// 0 where it is none.
    pub fn status(&self) -> Option<u16> {
        (self.seen & SEEN_STATUS != 0).then_some(self.status)
    }

    pub fn grpc(&self) -> Option<u16> {
        (self.seen & SEEN_GRPC != 0).then_some(self.grpc)
    }

    /// Whether it had any pseudo-header.
    pub fn is_head(&self) -> bool {
        self.seen & SEEN_PSEUDO != 0
    }

    /// Whether the name of some field was not known.
    pub fn is_unknown(&self) -> bool {
        self.seen & SEEN_UNKNOWN != 0
    }

    /// Since it was older than what is remembered.
    pub fn is_aged(&self) -> bool {
        self.seen & SEEN_AGED != 0
    }

    pub fn direction(&self) -> Direction {
        direction(self.sent)
    }

    /// Whether the stream's direction ends with it.
    pub fn is_last(&self) -> bool {
        self.last != 0
    }
}

fn direction(sent: u8) -> Direction {
    if sent == 0 {
        Direction::Receive
    } else {
        Direction::Send
    }
}

/// `struct h2_shim_outcome`: what is to be counted.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ShimOutcome {
    duration: u64,
    outcome: u32,
    requests: u32,
    stream: u32,
    status: u16,
    grpc: u16,
    method: u8,
    sent: u8,
    pad: [u8; 6],
}

/// What is counted, one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Count {
    Requests(u32),
    /// Of a stream: method, status (0: unknown), and how many transfers later.
    Response(u32, Option<Method>, u16, u64),
    /// Of a stream: its gRPC status, likewise.
    Call(u32, u16, u64),
    Abandoned(u32, Option<Method>, u64),
    Refused(u32, Option<Method>, u64),
    Unmatched(u32),
    JoinedLate(u32),
    TableAged(u32),
}

pub const GRPC_OTHER: u16 = 0xffe;
pub const GRPC_UNKNOWN: u16 = 0xfff;

impl ShimOutcome {
    fn counts(&self, out: &mut Vec<Count>) {
        let Self {
            stream, duration, ..
        } = *self;
        let method = method(self.method);
        // In the order of `enum h2_outcome`; the bits between belong to the caller of the C.
        let all = [
            (0, Count::Requests(self.requests)),
            (1, Count::Response(stream, method, self.status, duration)),
            (2, Count::Call(stream, self.grpc, duration)),
            (3, Count::Abandoned(stream, method, duration)),
            (4, Count::Refused(stream, method, duration)),
            (5, Count::Unmatched(stream)),
            (8, Count::JoinedLate(stream)),
            (9, Count::TableAged(stream)),
        ];
        let told = all
            .into_iter()
            .filter(|(bit, _)| self.outcome >> bit & 1 != 0);
        out.extend(told.map(|(_, count)| count));
    }
}

unsafe extern "C" {
    fn h2_shim_new(way: c_int) -> *mut Shim;
    fn h2_shim_free(shim: *mut Shim);
    fn h2_shim_receive(shim: *mut Shim, data: *const u8, len: usize);
    fn h2_shim_send(shim: *mut Shim, data: *const u8, len: usize);
    fn h2_shim_blocks(shim: *const Shim, out: *mut *const Block) -> usize;
    fn h2_shim_outcomes(shim: *const Shim, out: *mut *const ShimOutcome) -> usize;
    fn h2_shim_steps(shim: *const Shim) -> usize;
    fn h2_shim_losses(shim: *const Shim) -> usize;
    fn h2_shim_held(shim: *const Shim) -> usize;
    fn h2_shim_greets(window: *const u8, filled: usize) -> c_int;
}

/// Where a connection is followed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// The client's preface.
    Preface,
    /// An upgrade by a GET of HTTP/1, which stream 1 answers.
    Upgrade,
    /// The middle, if it is HTTP/2 at all.
    Middle,
}

pub struct Connection(*mut Shim);

impl Connection {
    pub fn new(from: From) -> Self {
        // SAFETY: no preconditions; the shim aborts when it is out of memory.
        Self(unsafe { h2_shim_new(from as c_int) })
    }

    /// The bytes of one syscall.
    pub fn transfer(&mut self, direction: Direction, bytes: &[u8]) {
        self.moved(direction, bytes.as_ptr(), bytes.len());
    }

    /// So many bytes that nobody can see.
    pub fn hidden(&mut self, direction: Direction, len: usize) {
        self.moved(direction, ptr::null(), len);
    }

    fn moved(&mut self, direction: Direction, data: *const u8, len: usize) {
        // SAFETY: the connection lives as long as self, and data is null or len bytes of a slice.
        unsafe {
            match direction {
                Direction::Receive => h2_shim_receive(self.0, data, len),
                Direction::Send => h2_shim_send(self.0, data, len),
            }
        }
    }

    pub fn blocks(&self) -> &[Block] {
        let mut blocks = ptr::null();
        // SAFETY: the shim owns the array it points to, and leaves it alone until the next transfer, which needs the
        // exclusive borrow that the returned slice forbids.
        unsafe {
            match h2_shim_blocks(self.0, &raw mut blocks) {
                0 => &[],
                count => std::slice::from_raw_parts(blocks, count),
            }
        }
    }

    pub fn counts(&self) -> Vec<Count> {
        let mut outcomes = ptr::null();
        // SAFETY: as of the blocks.
        let outcomes = unsafe {
            match h2_shim_outcomes(self.0, &raw mut outcomes) {
                0 => &[],
                count => std::slice::from_raw_parts(outcomes, count),
            }
        };
        let mut counts = Vec::new();
        for outcome in outcomes {
            outcome.counts(&mut counts);
        }
        counts
    }

    /// What it took to follow all transfers.
    pub fn steps(&self) -> usize {
        // SAFETY: the shim lives as long as self.
        unsafe { h2_shim_steps(self.0) }
    }

    /// How often a direction could no longer be followed.
    pub fn losses(&self) -> usize {
        // SAFETY: the shim lives as long as self.
        unsafe { h2_shim_losses(self.0) }
    }

    /// Streams that are outstanding, as far as is known.
    pub fn held(&self) -> usize {
        // SAFETY: the shim lives as long as self.
        unsafe { h2_shim_held(self.0) }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: made by h2_shim_new and not used after this.
        unsafe { h2_shim_free(self.0) }
    }
}

/// With as many bytes behind it as may be read.
fn window(bytes: &[u8]) -> Vec<u8> {
    [bytes, &[0; 32]].concat()
}

/// Whether a server that begins a connection like that speaks HTTP/2.
pub fn greets(bytes: &[u8]) -> bool {
    // SAFETY: the window is longer than what is read of it.
    unsafe { h2_shim_greets(window(bytes).as_ptr(), bytes.len()) != 0 }
}
