// SPDX-License-Identifier: Apache-2.0
//! System calls as 32-bit programs make them, from a 64-bit one: `int 0x80` takes their numbers and their structures, and
//! addresses below 4 GiB.

use std::arch::asm;
use std::io;
use std::ptr::null_mut;

use nix::libc::{MAP_32BIT, MAP_ANONYMOUS, MAP_FAILED, MAP_PRIVATE, PROT_READ, PROT_WRITE, mmap};

pub const GETPID: u32 = 20;
pub const READ: u32 = 3;
pub const WRITE: u32 = 4;
pub const READV: u32 = 145;
pub const WRITEV: u32 = 146;
pub const SENDTO: u32 = 369;
pub const SENDMSG: u32 = 370;
pub const RECVFROM: u32 = 371;
pub const RECVMSG: u32 = 372;

/// A buffer, as `readv` and its like have it.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub struct Iovec {
    pub base: u32,
    pub length: u32,
}

#[derive(Clone, Copy, Default)]
#[repr(C)]
pub struct Message {
    name: [u32; 2],
    pub vector: u32,
    pub vectors: u32,
    control: [u32; 2],
    flags: u32,
}

/// Memory that such a call can name; it lasts as long as the process.
pub fn low<T: Copy + Default>(count: usize) -> &'static mut [T] {
    // SAFETY: a new mapping of nothing.
    let start = unsafe {
        mmap(
            null_mut(),
            count * size_of::<T>(),
            PROT_READ | PROT_WRITE,
            MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT,
            -1,
            0,
        )
    };
    assert_ne!(start, MAP_FAILED, "{}", io::Error::last_os_error());
    // SAFETY: nobody else knows of this mapping, which is never undone; zeros are a value of each of these types.
    unsafe { std::slice::from_raw_parts_mut(start.cast(), count) }
}

pub fn address<T>(of: &T) -> u32 {
    std::ptr::from_ref(of).addr().try_into().unwrap()
}

/// # Safety
/// As for the call itself.
pub unsafe fn call(number: u32, arguments: [u32; 4]) -> io::Result<u32> {
    let [first, second, third, fourth] = arguments;
    let mut result = number;
    // SAFETY: the caller's affair. A fifth and a sixth argument stand for an address that nobody wants.
    unsafe {
        asm!(
            "xchg rbx, {first:r}",
            "int 0x80",
            "xchg rbx, {first:r}",
            first = inout(reg) u64::from(first) => _,
            inout("eax") result,
            in("ecx") second,
            in("edx") third,
            in("esi") fourth,
            in("edi") 0,
            out("r8") _,
            out("r9") _,
            out("r10") _,
            out("r11") _,
        );
    }
    match result.cast_signed() {
        error @ -4095..0 => Err(io::Error::from_raw_os_error(-error)),
        _ => Ok(result),
    }
}
