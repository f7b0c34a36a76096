// SPDX-License-Identifier: Apache-2.0
//! What the agent has of memory and does not need is given back.

use std::ffi::{c_int, c_void};
use std::ptr;

use libc::{PF_W, PT_LOAD, dl_phdr_info};
use rustix::thread::disable_transparent_huge_pages;

/// "Memory purging is delayed by N milliseconds": `mi_option_purge_delay` of mimalloc's `mi_option_e`, a second by default.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

/// To be called first: from now on memory that is let go of is the system's at once, and none comes in pages of 2 MiB, of which a
/// host may give one for each byte that is touched.
pub fn keep_small() {
    // SAFETY: any thread may set it at any time.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, 0) };
    // Kernels without such pages have nothing to be told.
    let _ = disable_transparent_huge_pages(true);
}

/// What is no longer needed lies between what is: after a busy time that would be most of the agent's memory.
pub fn give_back_memory() {
    // SAFETY: any thread may call it at any time.
    unsafe { libmimalloc_sys::mi_collect(true) };
    // What libraries in C have had is glibc's.
    // SAFETY: as above.
    unsafe { libc::malloc_trim(0) };
}

/// Of the program's own file, most is needed once: the BPF objects, and what loads them. What is needed again comes back by itself,
/// out of the kernel's cache of files.
pub fn let_go_of_program() {
    // SAFETY: the function keeps nothing of what it is given.
    unsafe { libc::dl_iterate_phdr(Some(let_go_of), ptr::null_mut()) };
}

/// Of what was never written to: there the memory is what the file is.
///
/// # Safety
/// `object` is what `dl_iterate_phdr` says of a program that is loaded.
unsafe extern "C" fn let_go_of(object: *mut dl_phdr_info, _: usize, _: *mut c_void) -> c_int {
    // SAFETY: the caller's promise.
    let object = unsafe { &*object };
    let segments = object.dlpi_phnum.into();
    // SAFETY: that many are there for as long as the program is loaded.
    let segments = unsafe { std::slice::from_raw_parts(object.dlpi_phdr, segments) };
    let page = rustix::param::page_size() as u64;
    let of_file = |it: &&libc::Elf64_Phdr| it.p_type == PT_LOAD && it.p_flags & PF_W == 0;
    for segment in segments.iter().filter(of_file) {
        let start = object.dlpi_addr + segment.p_vaddr;
        let first = start - start % page;
        let length = (start + segment.p_memsz - first) as usize;
        // SAFETY: the mapping is private, of a file that cannot be written to while it is executed, and nobody has written to it.
        unsafe { libc::madvise(first as *mut c_void, length, libc::MADV_DONTNEED) };
    }
    // The first is the program itself; after it others may come, as the kernel's.
    1
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Pages of files, in KiB.
    fn of_files() -> u64 {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|it| it.starts_with("RssFile:"));
        let mut words = line.unwrap().split_whitespace();
        words.nth(1).unwrap().parse().unwrap()
    }

    static LONG: [u8; 1 << 22] = [7; 1 << 22];

    #[test]
    fn what_of_the_program_is_needed_again_comes_back() {
        let sum = || LONG.iter().map(|it| u64::from(*it)).sum::<u64>();
        let all = sum();
        let before = of_files();
        let_go_of_program();
        let after = of_files();
        assert!(
            after + (LONG.len() as u64 >> 11) < before,
            "{after} KiB of {before}"
        );
        assert_eq!(sum(), all);
    }
}
