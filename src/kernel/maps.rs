// SPDX-License-Identifier: Apache-2.0
//! System calls on the maps of the BPF object, of those that programs at events suffer from.

use std::mem::needs_drop;
use std::ptr;

use anyhow::{Context, Result, anyhow};
use libbpf_rs::{ErrorKind, MapCore, MapFlags, MapImpl};
use plain::Plain;

use crate::kernel::real_time::RealTimePriority;

/// How many calls are made without an interruption.
const TOGETHER: usize = 64;

/// How maps are read and changed.
#[derive(Clone, Copy, Debug)]
pub struct Access {
    /// Whether programs are at events. The kernel skips those on a CPU while it works on a map there, also when who asked for
    /// that is preempted.
    pub at_events: bool,
}

impl Access {
    /// What an array has for each CPU under a key.
    pub fn of_each_cpu(self, map: &impl MapCore, key: &[u8]) -> Result<Vec<Vec<u8>>> {
        let name = || map.name().to_string_lossy().into_owned();
        self.uninterrupted(|| map.lookup_percpu(key, MapFlags::ANY))
            .with_context(|| format!("{} cannot be read", name()))?
            .with_context(|| format!("{} lacks an entry", name()))
    }

    /// Deletes an entry, and says whether it was there.
    pub fn take(self, map: &impl MapCore, key: &[u8]) -> Result<bool> {
        self.uninterrupted(|| delete(map, key))
            .with_context(|| format!("{} keeps an entry", map.name().to_string_lossy()))
    }

    /// Deletes entries, where they are there.
    pub fn delete(self, map: &impl MapCore, keys: &[&[u8]]) -> Result<()> {
        self.each(keys, |key| delete(map, key).map(drop))
            .with_context(|| format!("{} keeps an entry", map.name().to_string_lossy()))
    }

    /// Does the same with each of many, which is a system call on a map.
    pub fn each<T, E>(self, all: &[T], work: impl Fn(&T) -> Result<(), E>) -> Result<(), E> {
        all.chunks(TOGETHER)
            .try_for_each(|some| self.uninterrupted(|| some.iter().try_for_each(&work)))
    }

    /// Does work that makes system calls on maps and nothing else.
    fn uninterrupted<T>(self, work: impl FnOnce() -> T) -> T {
        let taken = self.at_events.then(RealTimePriority::take);
        let _priority = taken.and_then(|taken| {
            taken
                .inspect_err(|error| {
                    log::trace!("the sampling thread may be interrupted: {error}");
                })
                .ok()
        });
        work()
    }
}

/// A map of an object once more, without a descriptor of its own: a process may have few of these. It is to be kept beside the
/// object, and no longer.
pub fn same<'obj, T>(map: &MapImpl<'obj, T>) -> MapImpl<'obj, T> {
    const { assert!(!needs_drop::<MapImpl<'static, ()>>()) };
    // SAFETY: it is a pointer to what is the object's, and nothing is done where it is dropped.
    unsafe { ptr::read(map) }
}

/// Whether it was there.
fn delete(map: &impl MapCore, key: &[u8]) -> libbpf_rs::Result<bool> {
    match map.delete(key) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        outcome => outcome.map(|()| true),
    }
}

/// Copied, since the bytes of an entry need not be aligned as `T` is.
pub fn read<T: Plain + Default>(bytes: &[u8]) -> Result<T> {
    let mut value = T::default();
    plain::copy_from_bytes(&mut value, bytes)
        .map_err(|error| anyhow!("a map entry is malformed: {error:?}"))?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use libbpf_rs::{MapHandle, MapType, libbpf_sys};

    use super::*;

    const ACCESS: Access = Access { at_events: true };

    /// A map of so many entries, by number.
    fn map(entries: u32) -> MapHandle {
        let options = libbpf_sys::bpf_map_create_opts {
            sz: size_of::<libbpf_sys::bpf_map_create_opts>() as u64,
            ..Default::default()
        };
        let map = MapHandle::create(MapType::Hash, Some("test"), 4, 4, entries, &options)
            .expect("the tests run as root");
        for key in 0..entries {
            let key = key.to_ne_bytes();
            map.update(&key, &key, MapFlags::ANY).unwrap();
        }
        map
    }

    #[test]
    fn what_is_to_be_deleted_goes_and_may_have_gone() {
        let map = map(300);
        let numbers: Vec<_> = (100..=300_u32).map(u32::to_ne_bytes).collect();
        let deleted: Vec<_> = numbers.iter().map(<[u8; 4]>::as_slice).collect();
        for _ in 0..2 {
            ACCESS.delete(&map, &deleted).unwrap();
            let mut left: Vec<_> = map.keys().collect();
            left.sort_by_key(|key| u32::from_ne_bytes(key.as_slice().try_into().unwrap()));
            assert!(
                left.into_iter()
                    .eq((0..100_u32).map(|key| key.to_ne_bytes().to_vec()))
            );
        }
    }

    #[test]
    fn what_cannot_be_done_is_an_error() {
        let map = map(1);
        let done = ACCESS.each(&[0, 1], |key: &u32| {
            map.update(&key.to_ne_bytes(), &[0; 4], MapFlags::ANY)
        });
        assert!(done.is_err(), "there is room for one");
    }
}
