// SPDX-License-Identifier: Apache-2.0
//! The kernel's framing, compiled for the host (`shim.c`), behind a safe interface.

use std::ffi::c_int;
use std::ptr;

use crate::account::{Account, Method, Request, Response};
use crate::transfer::{Conversation, Direction};

#[repr(C)]
struct Shim {
    _opaque: [u8; 0],
}

/// `struct shim_event`.
#[repr(C)]
#[derive(Clone, Copy)]
struct ShimEvent {
    /// As text, the first character in the lowest byte.
    method: u64,
    duration: u64,
    status: u16,
    kind: u8,
    minor: u8,
}

impl ShimEvent {
    fn request(&self) -> Request {
        let text = self.method.to_le_bytes();
        let token = str::from_utf8(&text)
            .unwrap_or_default()
            .trim_end_matches('\0');
        Request {
            method: Method::from_token(token),
            version: 10 + self.minor,
        }
    }
}

const REQUEST: u8 = 0;
const RESPONSE: u8 = 1;
const UNMATCHED_RESPONSE: u8 = 2;

unsafe extern "C" {
    fn shim_new(fast: c_int, scatter: c_int, forgetful: c_int) -> *mut Shim;
    fn shim_free(shim: *mut Shim);
    fn shim_receive(shim: *mut Shim, data: *const u8, len: usize);
    fn shim_receive_of(shim: *mut Shim, data: *const u8, len: usize, taken: u32);
    fn shim_send(shim: *mut Shim, data: *const u8, len: usize);
    fn shim_events(shim: *const Shim, out: *mut *const ShimEvent) -> usize;
    fn shim_taken(shim: *const Shim) -> usize;
    fn shim_steps(shim: *const Shim) -> usize;
    fn shim_may_begin(window: *const u8, filled: usize) -> c_int;
    fn shim_answers(window: *const u8, filled: usize) -> c_int;
    fn shim_unbounded(shim: *const Shim) -> usize;
    fn shim_lost(shim: *const Shim) -> usize;
    fn shim_switched(shim: *const Shim, sent: c_int) -> usize;
}

struct Connection(*mut Shim);

impl Connection {
    fn new(way: Way) -> Self {
        // SAFETY: no preconditions; the shim aborts when it is out of memory.
        Self(unsafe {
            shim_new(
                (way != Way::Thorough).into(),
                (way != Way::OneBuffer).into(),
                (way == Way::Forgetful).into(),
            )
        })
    }

    /// One syscall's bytes; `None` where only the length is known.
    fn transfer(&mut self, direction: Direction, bytes: Option<&[u8]>, len: usize) {
        let data = bytes.map_or(ptr::null(), <[u8]>::as_ptr);
        // SAFETY: the connection lives as long as self, and data is null or len bytes of a slice.
        unsafe {
            match direction {
                Direction::Receive => shim_receive(self.0, data, len),
                Direction::Send => shim_send(self.0, data, len),
            }
        }
    }

    /// A receive of these bytes, when so many have been taken from a TCP socket since the first one.
    fn receive_of(&mut self, bytes: &[u8], taken: u32) {
        // SAFETY: the connection lives as long as self, and the bytes are a slice.
        unsafe { shim_receive_of(self.0, bytes.as_ptr(), bytes.len(), taken) }
    }

    fn events(&self) -> &[ShimEvent] {
        let mut events = ptr::null();
        // SAFETY: the shim owns the array it points to, and leaves it alone until the next transfer,
        // which needs the exclusive borrow that the returned slice forbids.
        unsafe {
            match shim_events(self.0, &raw mut events) {
                0 => &[],
                count => std::slice::from_raw_parts(events, count),
            }
        }
    }

    /// What was made of all that was transferred.
    fn followed(&self) -> Followed {
        let mut account = Account::default();
        let mut matched = Vec::new();
        for event in self.events() {
            let request = event.request();
            match event.kind {
                REQUEST => account.requests.push(request),
                RESPONSE => account.responses.push(Response {
                    request,
                    status: event.status,
                    duration: event.duration,
                }),
                UNMATCHED_RESPONSE => account.unmatched.push(event.status),
                kind => panic!("shim.c: event of kind {kind}"),
            }
            if event.kind != REQUEST {
                matched.push(event.kind == RESPONSE);
            }
        }
        let shim = self.0;
        // SAFETY: the shim lives as long as the connection.
        unsafe {
            Followed {
                account,
                taken: shim_taken(shim),
                matched,
                steps: shim_steps(shim),
                unbounded: shim_unbounded(shim),
                lost: shim_lost(shim),
                switched: [0, 1].map(|sent| shim_switched(shim, sent).checked_sub(1)),
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: made by shim_new and not used after this.
        unsafe { shim_free(self.0) }
    }
}

/// How the framing reads heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// At once where it can, as in the kernel.
    Fast,
    /// By the state machine alone.
    Thorough,
    /// Fast, and the bytes of each transfer lie in one buffer.
    OneBuffer,
    /// Fast, and what does not fit into the connection is lost now and then.
    Forgetful,
}

/// Those that count the same on every stream that is seen from its first byte.
pub const WAYS: [Way; 2] = [Way::Fast, Way::Thorough];

pub struct Followed {
    pub account: Account,
    /// Heads that were taken at once.
    pub taken: usize,
    /// Of each final response, in their order, whether it was that to a request.
    pub matched: Vec<bool>,
    /// What it took, in steps of the walk.
    pub steps: usize,
    /// Requests that came after an answer without a length.
    pub unbounded: usize,
    /// How often the framing was lost of bytes that could be read.
    pub lost: usize,
    /// Of each direction, after how many octets HTTP/2 began, which is four into its preface.
    pub switched: [Option<usize>; 2],
}

/// What the framing makes of a conversation.
pub fn follow(conversation: &Conversation, way: Way) -> Followed {
    let mut connection = Connection::new(way);
    for transfer in &conversation.transfers {
        let bytes = conversation.bytes(transfer);
        connection.transfer(
            transfer.direction,
            transfer.readable.then_some(bytes),
            bytes.len(),
        );
    }
    connection.followed()
}

/// What a thread of a server does with a TCP socket.
#[derive(Clone, Copy, Debug)]
pub enum Call<'a> {
    /// What it has received, and how many bytes the socket has handed out by then, since the first receive and by whatever way.
    Receive(&'a [u8], u32),
    Send(&'a [u8]),
}

/// What the framing makes of calls in the order in which it is told of them.
pub fn follow_calls(calls: &[Call<'_>], way: Way) -> Followed {
    let mut connection = Connection::new(way);
    for call in calls {
        match *call {
            Call::Receive(bytes, taken) => connection.receive_of(bytes, taken),
            Call::Send(bytes) => connection.transfer(Direction::Send, Some(bytes), bytes.len()),
        }
    }
    connection.followed()
}

/// What the framing counts in a conversation, in the kernel's way.
pub fn count(conversation: &Conversation) -> Account {
    follow(conversation, Way::Fast).account
}

/// The first bytes of a transfer, with as many behind them as the framing may read.
fn window(bytes: &[u8]) -> Vec<u8> {
    [bytes, &[b'1'; 16]].concat()
}

/// Whether a stream may begin like that.
pub fn may_begin(bytes: &[u8]) -> bool {
    // SAFETY: the window is longer than what is read of it.
    unsafe { shim_may_begin(window(bytes).as_ptr(), bytes.len()) != 0 }
}

/// Whether a transfer that begins like that is an answer.
pub fn answers(bytes: &[u8]) -> bool {
    // SAFETY: the window is longer than what is read of it.
    unsafe { shim_answers(window(bytes).as_ptr(), bytes.len()) != 0 }
}
