// SPDX-License-Identifier: Apache-2.0
//! The kernel's framing, compiled for the host (`shim.c`), behind a safe interface.

use std::ptr;

use crate::account::{Account, Method, Request, Response};
use crate::transfer::{Conversation, Direction};

#[repr(C)]
struct ShimConn {
    _opaque: [u8; 0],
}

/// `struct shim_event`.
#[repr(C)]
#[derive(Clone, Copy)]
struct ShimEvent {
    /// As text, the first character in the lowest byte.
    method: u64,
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
    fn shim_new() -> *mut ShimConn;
    fn shim_free(conn: *mut ShimConn);
    fn shim_receive(conn: *mut ShimConn, data: *const u8, len: usize);
    fn shim_send(conn: *mut ShimConn, data: *const u8, len: usize);
    fn shim_events(conn: *mut ShimConn, out: *mut *const ShimEvent) -> usize;
}

struct Connection(*mut ShimConn);

impl Connection {
    fn new() -> Self {
        // SAFETY: no preconditions; the shim aborts when it is out of memory.
        Self(unsafe { shim_new() })
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

    fn events(&mut self) -> &[ShimEvent] {
        let mut events = ptr::null();
        // SAFETY: the shim owns the array it points to, and leaves it alone until the next transfer,
        // which needs the exclusive borrow that the returned slice holds.
        unsafe {
            match shim_events(self.0, &raw mut events) {
                0 => &[],
                count => std::slice::from_raw_parts(events, count),
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

/// What the framing counts in a conversation.
pub fn count(conversation: &Conversation) -> Account {
    let mut connection = Connection::new();
    for transfer in &conversation.transfers {
        let bytes = conversation.bytes(transfer);
        connection.transfer(
            transfer.direction,
            transfer.readable.then_some(bytes),
            bytes.len(),
        );
    }
    let mut account = Account::default();
    for event in connection.events() {
        let request = event.request();
        match event.kind {
            REQUEST => account.requests.push(request),
            RESPONSE => account.responses.push(Response {
                request,
                status: event.status,
            }),
            UNMATCHED_RESPONSE => account.unmatched.push(event.status),
            kind => panic!("shim.c: event of kind {kind}"),
        }
    }
    account
}
