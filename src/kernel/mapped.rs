// SPDX-License-Identifier: Apache-2.0
//! An array of the programs in our own memory.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::slice;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use anyhow::{Context, Result, ensure};
use libbpf_rs::MapCore;
use memmap2::{MmapOptions, MmapRaw};

/// So much of an array is mapped at least: what is mapped counts as the agent's memory.
const LEAST_MAPPED: usize = 64 << 10;

/// The entries of an array, as many from the first on as were asked for.
pub struct Mapped<M> {
    map: M,
    /// From one entry to the next.
    stride: usize,
    length: usize,
    mapped: RefCell<MmapRaw>,
}

/// The first of the entries.
#[derive(Clone, Copy)]
pub struct Entries<'a> {
    words: &'a [AtomicU64],
    /// From one to the next, in words.
    stride: usize,
}

impl<'a> Entries<'a> {
    /// The words of one of them.
    pub fn of(self, place: u32) -> &'a [AtomicU64] {
        &self.words[place as usize * self.stride..][..self.stride]
    }
}

impl<M: MapCore> Mapped<M> {
    pub fn of(entries: M) -> Result<Self> {
        let stride = (entries.value_size() as usize).next_multiple_of(size_of::<u64>());
        let length = stride * entries.max_entries() as usize;
        let mapped = map(&entries, LEAST_MAPPED.min(length))?;
        Ok(Self {
            map: entries,
            stride,
            length,
            mapped: RefCell::new(mapped),
        })
    }

    /// Does something with the words of an entry.
    pub fn with<R>(&self, place: u32, work: impl FnOnce(&[AtomicU64]) -> R) -> Result<R> {
        self.up_to(place, |entries| work(entries.of(place)))
    }

    /// Does something with the entries up to this one.
    pub fn up_to<R>(&self, place: u32, work: impl FnOnce(Entries) -> R) -> Result<R> {
        let end = (place as usize + 1) * self.stride;
        ensure!(
            end <= self.length,
            "a table of counters has no place {place}"
        );
        let mut mapped = self.mapped.borrow_mut();
        if end > mapped.len() {
            let more = mapped_for(end).min(self.length);
            *mapped = map(&self.map, more).context("a table of counters cannot be mapped")?;
        }
        // SAFETY: the entry ends within what is mapped, which stays so while it is borrowed; entries are aligned to words; and all
        // who write to it meanwhile do so a word at a time.
        let words =
            unsafe { slice::from_raw_parts(mapped.as_mut_ptr().cast(), end / size_of::<u64>()) };
        Ok(work(Entries {
            words,
            stride: self.stride / size_of::<u64>(),
        }))
    }

    /// Does something with the small numbers in an entry that begin so many bytes from its beginning.
    pub fn numbers<const N: usize>(
        &self,
        place: u32,
        at: usize,
        work: impl Fn(&AtomicU32) -> u32,
    ) -> Result<[u32; N]> {
        self.with(place, |words| {
            // SAFETY: a word is two numbers, for which it is aligned, and the programs write to them one by one and atomically.
            let numbers: &[AtomicU32] =
                unsafe { slice::from_raw_parts(words.as_ptr().cast(), words.len() * 2) };
            let mut all = [0; N];
            for (it, number) in all.iter_mut().zip(&numbers[at / size_of::<u32>()..]) {
                *it = work(number);
            }
            all
        })
    }

    /// Takes them out: what was there, and is not there any more. The programs may go on counting there.
    pub fn take_out<const N: usize>(&self, place: u32, at: usize) -> Result<[u32; N]> {
        self.numbers(place, at, |number| match number.load(Ordering::Relaxed) {
            0 => 0,
            _ => number.swap(0, Ordering::Relaxed),
        })
    }
}

/// How much is mapped where so much is needed: a sixteenth more, so that it is seldom done again.
fn mapped_for(end: usize) -> usize {
    (end + end / 16).next_multiple_of(LEAST_MAPPED)
}

/// The first bytes of an array.
pub fn map(array: &impl AsFd, length: usize) -> io::Result<MmapRaw> {
    MmapOptions::new()
        .len(length)
        .map_raw(array.as_fd().as_raw_fd())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_is_mapped_that_is_not_needed() {
        for end in (1..1 << 26).step_by(10_007) {
            let mapped = mapped_for(end);
            assert!(mapped >= end && mapped <= end + end / 16 + LEAST_MAPPED);
        }
    }

    #[test]
    fn what_grows_is_not_mapped_for_each_entry() {
        let (mut mapped, mut times) = (0, 0);
        for end in (0..1 << 26).step_by(416) {
            if end > mapped {
                (mapped, times) = (mapped_for(end), times + 1);
            }
        }
        assert!(times < 128, "{times}");
    }
}
