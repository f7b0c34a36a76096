// SPDX-License-Identifier: Apache-2.0
//! The maps of the BPF object: all entries of one, and each deleted.

use std::io;

use anyhow::{Context, Result, anyhow};
use libbpf_rs::{ErrorKind, MapCore, MapFlags};
use plain::Plain;

use crate::kernel::map_calls::{Batch, Entries, Map, POSITION};
use crate::kernel::real_time::RealTimePriority;

/// How many map entries are asked for at first.
const BATCH: usize = 1024;
/// How many are deleted without an interruption.
const DELETED: usize = 64;

/// How maps are read and changed.
#[derive(Clone, Copy, Debug)]
pub struct Access {
    /// Whether programs are at events. They suffer when work on a map is interrupted.
    pub at_events: bool,
}

impl Access {
    /// All entries of a map, each once. While the kernel reads a batch, it skips the programs at events on that CPU, also when
    /// the reader is preempted. In a map of few entries that would be for as long as it takes to pass over all empty buckets; to
    /// read one entry takes no time.
    pub fn entries(self, map: &impl MapCore) -> Result<Entries> {
        let raw = Map {
            fd: map.as_fd(),
            key_size: map.key_size() as usize,
            value_size: map.value_size() as usize,
            max_entries: map.max_entries() as usize,
        };
        self.all(&raw)
            .with_context(|| format!("{} cannot be read", map.name().to_string_lossy()))
    }

    fn all(self, map: &Map<'_>) -> io::Result<Entries> {
        match map.few_keys()? {
            Some(keys) => self.uninterrupted(|| map.values_of(keys)),
            None => self.batches(map, BATCH),
        }
    }

    /// `room` is how many entries are asked for at a time, at first.
    fn batches(self, map: &Map<'_>, room: usize) -> io::Result<Entries> {
        let mut entries = Entries::of(map);
        let mut room = room.min(map.max_entries);
        let mut position = None;
        loop {
            let known = entries.len();
            entries.set_len(known + room);
            let (keys, values) = entries.from(known);
            let mut end = vec![0; map.key_size.max(POSITION)];
            let batch = self
                .uninterrupted(|| map.batch(position.as_deref(), &mut end, keys, values, room))?;
            match batch {
                Batch::Last(count) => {
                    entries.set_len(known + count);
                    return Ok(entries);
                }
                Batch::Part(count) if count > 0 => {
                    entries.set_len(known + count);
                    position = Some(end);
                }
                Batch::TooSmall if room < map.max_entries => {
                    entries.set_len(known);
                    room = room.saturating_mul(4).min(map.max_entries);
                }
                // More of the same would be without an end.
                Batch::Part(_) | Batch::TooSmall => {
                    return Err(io::Error::other("the kernel does not get on in it"));
                }
            }
        }
    }

    /// One entry, if it is there.
    pub fn entry(self, map: &impl MapCore, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.uninterrupted(|| map.lookup(key, MapFlags::ANY))
            .with_context(|| format!("{} cannot be read", map.name().to_string_lossy()))
    }

    /// What an array has for each CPU under a key.
    pub fn of_each_cpu(self, map: &impl MapCore, key: &[u8]) -> Result<Vec<Vec<u8>>> {
        let name = || map.name().to_string_lossy().into_owned();
        self.uninterrupted(|| map.lookup_percpu(key, MapFlags::ANY))
            .with_context(|| format!("{} cannot be read", name()))?
            .with_context(|| format!("{} lacks an entry", name()))
    }

    /// Deletes entries, where they are there.
    pub fn delete(self, map: &impl MapCore, keys: &[&[u8]]) -> Result<()> {
        for some in keys.chunks(DELETED) {
            self.uninterrupted(|| some.iter().try_for_each(|key| delete(map, key)))
                .with_context(|| format!("{} keeps an entry", map.name().to_string_lossy()))?;
        }
        Ok(())
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

fn delete(map: &impl MapCore, key: &[u8]) -> libbpf_rs::Result<()> {
    match map.delete(key) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        outcome => outcome,
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
    use std::collections::BTreeSet;
    use std::fs::File;
    use std::os::fd::AsFd;
    use std::sync::atomic::{AtomicBool, Ordering};

    use libbpf_rs::{MapHandle, MapType, libbpf_sys};

    use super::*;

    const ACCESS: Access = Access { at_events: true };

    /// A map in which `key` has the value `3 * key`.
    fn map(entries: u64) -> MapHandle {
        let options = libbpf_sys::bpf_map_create_opts {
            sz: size_of::<libbpf_sys::bpf_map_create_opts>() as u64,
            ..Default::default()
        };
        let most = entries.max(1) as u32;
        let map = MapHandle::create(MapType::Hash, Some("test"), 8, 8, most, &options)
            .expect("the tests run as root");
        for key in 0..entries {
            put(&map, key);
        }
        map
    }

    fn put(map: &MapHandle, key: u64) {
        let value = (3 * key).to_ne_bytes();
        map.update(&key.to_ne_bytes(), &value, MapFlags::ANY)
            .unwrap();
    }

    fn raw(map: &MapHandle) -> Map<'_> {
        Map {
            fd: map.as_fd(),
            key_size: 8,
            value_size: 8,
            max_entries: map.max_entries() as usize,
        }
    }

    /// The keys, each with the value that belongs to it.
    fn keys(entries: &Entries) -> Vec<u64> {
        let number = |bytes: &[u8]| u64::from_ne_bytes(bytes.try_into().unwrap());
        let pairs = entries.iter().map(|(key, value)| {
            assert_eq!(number(value), 3 * number(key));
            number(key)
        });
        let keys: Vec<_> = pairs.collect();
        assert_eq!(keys.len(), entries.len());
        keys
    }

    #[test]
    fn every_entry_is_read_once() {
        for count in [0, 1, 255, 256, 257, 1023, 1024, 1025, 10_000] {
            let map = map(count);
            let mut keys = keys(&ACCESS.entries(&map).unwrap());
            keys.sort_unstable();
            assert!(keys.iter().copied().eq(0..count), "{count}: {}", keys.len());
        }
    }

    #[test]
    fn a_batch_that_is_smaller_than_a_bucket_is_made_larger() {
        let map = map(10_000);
        let raw = raw(&map);
        let mut end = [0; 8];
        let (mut keys_of_one, mut values_of_one) = ([0; 8], [0; 8]);
        let mut position: Option<Vec<u8>> = None;
        // In ten thousand entries there is a bucket with more than one.
        let too_small = (0..10_000).any(|_| {
            let (keys, values) = (&mut keys_of_one, &mut values_of_one);
            let batch = raw.batch(position.as_deref(), &mut end, keys, values, 1);
            position = Some(end.to_vec());
            matches!(batch.unwrap(), Batch::TooSmall)
        });
        assert!(too_small);
        let mut keys = keys(&ACCESS.batches(&raw, 1).unwrap());
        keys.sort_unstable();
        assert!(keys.into_iter().eq(0..10_000));
    }

    #[test]
    fn what_is_no_map_is_an_error_and_not_an_empty_one() {
        let file = File::open("/dev/null").unwrap();
        let none = Map {
            fd: file.as_fd(),
            key_size: 8,
            value_size: 8,
            max_entries: 10,
        };
        assert!(ACCESS.all(&none).is_err());
        assert!(ACCESS.batches(&none, BATCH).is_err());
        let values = none.values_of(BTreeSet::from([vec![0; 8]]));
        assert!(values.is_err());
    }

    #[test]
    fn what_is_to_be_deleted_goes_and_may_have_gone() {
        let map = map(300);
        let numbers: Vec<_> = (100..=300_u64).map(u64::to_ne_bytes).collect();
        let deleted: Vec<_> = numbers.iter().map(<[u8; 8]>::as_slice).collect();
        for _ in 0..2 {
            ACCESS.delete(&map, &deleted).unwrap();
            let mut keys = keys(&ACCESS.entries(&map).unwrap());
            keys.sort_unstable();
            assert!(keys.into_iter().eq(0..100));
        }
    }

    #[test]
    fn an_entry_that_goes_between_its_key_and_its_value_is_left_out() {
        let map = map(3);
        let raw = raw(&map);
        let found = raw.few_keys().unwrap().unwrap();
        map.delete(&1_u64.to_ne_bytes()).unwrap();
        assert_eq!(keys(&raw.values_of(found).unwrap()), [0, 2]);
    }

    #[test]
    fn what_goes_and_comes_while_it_is_read_is_read_once_and_the_rest_too() {
        for lasting in [100, 2000] {
            // A third of it comes and goes, all the time.
            let map = map(lasting + lasting / 2);
            let done = AtomicBool::new(false);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        for key in lasting..lasting + lasting / 2 {
                            map.delete(&key.to_ne_bytes()).unwrap();
                            std::thread::yield_now();
                            put(&map, key);
                        }
                    }
                });
                for _ in 0..200 {
                    let keys = keys(&ACCESS.entries(&map).unwrap());
                    let different: BTreeSet<_> = keys.iter().copied().collect();
                    assert_eq!(different.len(), keys.len());
                    assert!((0..lasting).all(|key| different.contains(&key)));
                }
                done.store(true, Ordering::Relaxed);
            });
        }
    }
}
