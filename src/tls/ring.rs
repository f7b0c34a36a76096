// SPDX-License-Identifier: Apache-2.0
//! What the programs in the kernel tell of: processes that serve TLS and are not seen into.

use std::cell::RefCell;
use std::ffi::{c_int, c_void};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::rc::Rc;
use std::slice;
use std::time::Duration;

use libbpf_rs::libbpf_sys::{ring_buffer, ring_buffer__free, ring_buffer__new, ring_buffer__poll};

/// As `src/bpf/http.h` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub pid: u32,
    pub parent: u32,
}

/// A ring of which only the descriptor is known: `libbpf_rs` has none of these.
pub struct Ring {
    ring: NonNull<ring_buffer>,
    told: Rc<RefCell<Vec<Wanted>>>,
    _map: OwnedFd,
}

impl Ring {
    pub fn of(map: OwnedFd) -> io::Result<Self> {
        let told: Rc<RefCell<Vec<Wanted>>> = Rc::default();
        let context = Rc::as_ptr(&told).cast_mut().cast();
        // SAFETY: what is called has the context that it expects, which lives as long as the ring.
        let ring = unsafe { ring_buffer__new(map.as_raw_fd(), Some(take), context, ptr::null()) };
        Ok(Self {
            ring: NonNull::new(ring).ok_or_else(io::Error::last_os_error)?,
            told,
            _map: map,
        })
    }

    /// What was told of, once anything is or so much time has passed.
    pub fn wait(&mut self, at_most: Duration) -> io::Result<Vec<Wanted>> {
        let ms = at_most.as_millis().try_into().unwrap_or(c_int::MAX);
        // SAFETY: it is there until it is dropped, and `told` is not borrowed meanwhile.
        let outcome = unsafe { ring_buffer__poll(self.ring.as_ptr(), ms) };
        match outcome {
            ..0 if -outcome != libc::EINTR => Err(io::Error::from_raw_os_error(-outcome)),
            _ => Ok(self.told.take()),
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: it is ours, and this is the end of it.
        unsafe { ring_buffer__free(self.ring.as_ptr()) };
    }
}

unsafe extern "C" fn take(context: *mut c_void, data: *mut c_void, size: u64) -> c_int {
    // SAFETY: as `Ring::of` has it.
    let told = unsafe { &*context.cast_const().cast::<RefCell<Vec<Wanted>>>() };
    // SAFETY: so many bytes are there until this returns.
    let bytes = unsafe { slice::from_raw_parts(data.cast::<u8>(), size as usize) };
    let number = |at: usize| {
        let bytes = bytes.get(at..at + size_of::<u32>())?;
        Some(u32::from_ne_bytes(bytes.try_into().ok()?))
    };
    if let (Some(pid), Some(parent)) = (number(0), number(size_of::<u32>())) {
        told.borrow_mut().push(Wanted { pid, parent });
    }
    0
}
