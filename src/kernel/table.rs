// SPDX-License-Identifier: Apache-2.0
//! A table of counters, whose entries the programs add and count up, and which is read in our own memory: the kernel is not
//! called for it, and nothing in it waits. `src/bpf/counters/places.bpf.h` says what lies beside a table.

use std::fs;
use std::marker::PhantomData;
use std::slice;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use libbpf_rs::MapCore;
use memmap2::MmapRaw;
use plain::Plain;

use crate::kernel::free::Free;
use crate::kernel::mapped::{Mapped, map};
use crate::kernel::maps::Access;

/// What a table has in each place, in whole words.
pub trait Entry: Plain + Default {
    type Key: Plain;

    /// Where in it there are the numbers that change when it is counted up, in bytes from its beginning.
    const COUNTS: &'static [usize];
    /// The same of those that each group of CPUs has for itself, in the order of the groups.
    const OF_GROUPS: &'static [usize];
    /// And those that say whose it is.
    const KEYS: &'static [usize];

    /// Whose it is.
    fn key(&self) -> Self::Key;
}

/// In a word of those that say which places are used.
pub const PLACE_BITS: u32 = u64::BITS;
/// What no entry is known by: it counts as changed.
pub const UNKNOWN: u64 = 0;
/// Spreads keys over all numbers.
const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

/// The maps of a table.
pub struct Maps<M> {
    pub entries: M,
    pub at: M,
    pub free: M,
    pub used: M,
}

/// Of entries `T`, each in a place, in maps `M`.
pub struct Table<T, M> {
    entries: Mapped<M>,
    used: MmapRaw,
    at: M,
    free: Free<M>,
    capacity: u32,
    /// Groups of CPUs that there can be here.
    groups: usize,
    entry: PhantomData<T>,
}

impl<T: Entry, M: MapCore> Table<T, M> {
    /// An empty one, all of whose places are free. To be called once, before the programs run.
    pub fn of(maps: Maps<M>) -> Result<Self> {
        let capacity = maps.entries.max_entries();
        let words = maps.used.max_entries() as usize;
        Ok(Self {
            entries: Mapped::of(maps.entries)?,
            used: map(&maps.used, words * size_of::<u64>())?,
            at: maps.at,
            free: Free::of(maps.free, 0..capacity)?,
            capacity,
            groups: last_cpu().map_or(usize::MAX, |last| last + 1),
            entry: PhantomData,
        })
    }

    pub fn capacity(&self) -> u32 {
        self.capacity
    }

    /// The places that are used, in order.
    pub fn used(&self) -> impl Iterator<Item = u32> {
        let words = (0..).zip(self.used_words());
        words.flat_map(|(word, bits)| {
            let bits = bits.load(Ordering::Acquire);
            let used = (0..PLACE_BITS).filter(move |bit| bits >> bit & 1 == 1);
            used.map(move |bit| word * PLACE_BITS + bit)
        })
    }

    /// The entry at a place, as it is while the programs go on counting: each number in it is right, but some may be older
    /// than others.
    pub fn entry(&self, place: u32) -> Result<T> {
        self.entries.with(place, |words| {
            let mut entry = T::default();
            let copy: *mut u64 = (&raw mut entry).cast();
            for (index, word) in words
                .iter()
                .enumerate()
                .take(size_of::<T>() / size_of::<u64>())
            {
                // SAFETY: the copy is that long, and any words make a `T`, which is `Plain`.
                unsafe {
                    copy.add(index)
                        .write_unaligned(word.load(Ordering::Relaxed))
                };
            }
            entry
        })
    }

    /// The first entries of somebody who has so many, as they are: no further ones are looked at.
    pub fn first(&self, count: usize, is_theirs: impl Fn(&T::Key) -> bool) -> Result<Vec<T>> {
        let mut first = Vec::with_capacity(count);
        for place in self.used() {
            if first.len() == count {
                break;
            }
            let entry = self.entry(place)?;
            if is_theirs(&entry.key()) {
                first.push(entry);
            }
        }
        Ok(first)
    }

    /// The places whose entries are others than when this was asked the last time, or have counted something since. What that
    /// was is in `known`, by place.
    pub fn changed(&self, known: &mut Vec<u64>) -> Result<Vec<u32>> {
        let used: Vec<_> = self.used().collect();
        let Some(last) = used.last() else {
            return Ok(used);
        };
        if known.len() <= *last as usize {
            known.resize(*last as usize + 1, UNKNOWN);
        }
        self.entries.up_to(*last, |entries| {
            let changed = used.iter().copied().filter(|place| {
                let words = entries.of(*place);
                let word = |at: &usize| words[at / size_of::<u64>()].load(Ordering::Relaxed);
                let of_groups = T::OF_GROUPS.iter().take(self.groups);
                let counts = T::COUNTS.iter().chain(of_groups);
                let counts = counts.map(word).fold(0, u64::wrapping_add);
                // Two entries of one place differ, whatever they have counted.
                let keys = T::KEYS.iter().map(word).map(|key| key.wrapping_mul(ODD));
                let now = counts.wrapping_add(keys.fold(0, u64::wrapping_add));
                std::mem::replace(&mut known[*place as usize], now) != now
            });
            changed.collect()
        })
    }

    /// Takes small numbers out of an entry, which begin so many bytes from its beginning.
    pub fn take_out<const N: usize>(&self, place: u32, at: usize) -> Result<[u32; N]> {
        self.entries.take_out(place, at)
    }

    /// The number so many bytes from the beginning of an entry.
    pub fn word(&self, place: u32, at: usize) -> Result<u64> {
        self.entries.with(place, |words| {
            words[at / size_of::<u64>()].load(Ordering::Relaxed)
        })
    }

    /// Deletes what leads to entries, so that nobody finds them who has not found them before.
    pub fn unlink(&self, keys: &[&[u8]], access: Access) -> Result<()> {
        access.delete(&self.at, keys)
    }

    /// Clears places and gives them back. No task that could count there may be left.
    pub fn clear(&self, entries: &[(u32, T::Key)], access: Access) -> Result<()> {
        // SAFETY: `Plain`: whoever declares a key so has seen that it has no padding.
        let keys = entries
            .iter()
            .map(|(_, key)| unsafe { plain::as_bytes(key) });
        self.unlink(&keys.collect::<Vec<_>>(), access)?;
        let places: Vec<_> = entries.iter().map(|(place, _)| *place).collect();
        self.release(&places, access)
    }

    /// The same of places to which no key leads any more. One that was given back already, before an error, stays so.
    pub fn release(&self, places: &[u32], access: Access) -> Result<()> {
        let mut freed = Vec::with_capacity(places.len());
        for place in places {
            self.entries.with(*place, |words| {
                for word in words {
                    word.store(0, Ordering::Relaxed);
                }
            })?;
            let bit = 1 << (place % PLACE_BITS);
            let word = &self.used_words()[(place / PLACE_BITS) as usize];
            if word.fetch_and(!bit, Ordering::Release) & bit != 0 {
                freed.push(*place);
            }
        }
        self.free.give_back(&freed, access)
    }

    fn used_words(&self) -> &[AtomicU64] {
        let words = self.used.len() / size_of::<u64>();
        // SAFETY: it is mapped as long as `self` lives, a page has any alignment, and all who write to it do so atomically.
        unsafe { slice::from_raw_parts(self.used.as_mut_ptr().cast(), words) }
    }
}

/// The last CPU that this host can ever have, if that can be told.
fn last_cpu() -> Option<usize> {
    let possible = fs::read_to_string("/sys/devices/system/cpu/possible").ok()?;
    last_of(&possible)
}

/// Of a list of numbers and of ranges.
fn last_of(list: &str) -> Option<usize> {
    list.trim().rsplit([',', '-']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use libbpf_rs::{MapFlags, MapHandle, MapType, libbpf_sys};

    use super::*;

    #[test]
    fn the_last_cpu_is_the_last_of_a_list() {
        for (list, last) in [
            ("0\n", Some(0)),
            ("0-127\n", Some(127)),
            ("0,2-3,9\n", Some(9)),
            ("\n", None),
        ] {
            assert_eq!(last_of(list), last, "{list}");
        }
    }

    const ACCESS: Access = Access { at_events: false };
    /// More than one page, and no power of two.
    const CAPACITY: u32 = 3000;

    /// A key, and a count.
    #[repr(C)]
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    struct Row {
        key: u64,
        count: u64,
        more: [u64; 6],
    }

    // SAFETY: `#[repr(C)]`, integers only, no padding.
    unsafe impl Plain for Row {}

    impl Entry for Row {
        type Key = u64;

        const COUNTS: &'static [usize] = &[8, 16];
        const OF_GROUPS: &'static [usize] = &[];
        const KEYS: &'static [usize] = &[0];

        fn key(&self) -> u64 {
            self.key
        }
    }

    fn create(kind: MapType, key: u32, value: usize, entries: u32, flags: u32) -> MapHandle {
        let options = libbpf_sys::bpf_map_create_opts {
            sz: size_of::<libbpf_sys::bpf_map_create_opts>() as u64,
            map_flags: flags,
            ..Default::default()
        };
        MapHandle::create(kind, Some("test"), key, value as u32, entries, &options)
            .expect("the tests run as root")
    }

    /// A table, and those of its maps that the programs would change.
    fn table() -> (Table<Row, MapHandle>, Maps<MapHandle>) {
        let mapped = libbpf_sys::BPF_F_MMAPABLE;
        let words = CAPACITY.div_ceil(PLACE_BITS);
        let maps = Maps {
            entries: create(MapType::Array, 4, size_of::<Row>(), CAPACITY, mapped),
            at: create(MapType::Hash, 8, 4, CAPACITY, 0),
            free: create(MapType::Stack, 0, 4, CAPACITY, 0),
            used: create(MapType::Array, 4, 8, words, mapped),
        };
        let same = |map: &MapHandle| MapHandle::from_map_id(map.info().unwrap().info.id).unwrap();
        let table = Table::of(Maps {
            entries: same(&maps.entries),
            at: same(&maps.at),
            free: same(&maps.free),
            used: same(&maps.used),
        });
        (table.unwrap(), maps)
    }

    /// What a program does. `None` if there is no place.
    fn add(maps: &Maps<MapHandle>, key: u64) -> Option<u32> {
        let place = maps.free.lookup_and_delete(&[]).unwrap()?;
        let row = Row {
            key,
            count: 3 * key,
            more: [key; 6],
        };
        // SAFETY: `Plain`.
        let bytes = unsafe { plain::as_bytes(&row) };
        maps.entries.update(&place, bytes, MapFlags::ANY).unwrap();
        maps.at
            .update(&key.to_ne_bytes(), &place, MapFlags::NO_EXIST)
            .unwrap();
        let place = u32::from_ne_bytes(place.try_into().unwrap());
        let word = (place / PLACE_BITS).to_ne_bytes();
        let bits = maps.used.lookup(&word, MapFlags::ANY).unwrap().unwrap();
        let bits = u64::from_ne_bytes(bits.try_into().unwrap()) + (1 << (place % PLACE_BITS));
        maps.used
            .update(&word, &bits.to_ne_bytes(), MapFlags::ANY)
            .unwrap();
        Some(place)
    }

    fn rows(table: &Table<Row, MapHandle>) -> Vec<(u32, Row)> {
        let used = table.used();
        used.map(|place| (place, table.entry(place).unwrap()))
            .collect()
    }

    #[test]
    fn every_place_can_be_taken_once_and_low_ones_go_first() {
        let (table, maps) = table();
        assert_eq!(rows(&table), []);
        for key in 1..=u64::from(CAPACITY) {
            assert_eq!(add(&maps, key), Some(key as u32 - 1));
        }
        assert_eq!(add(&maps, 10_000), None);
        let rows = rows(&table);
        assert_eq!(rows.len(), CAPACITY as usize);
        for (place, row) in rows {
            assert_eq!((row.key, row.count), (u64::from(place) + 1, 3 * row.key));
            assert_eq!(table.word(place, 8).unwrap(), row.count);
            assert_eq!(row.more, [row.key; 6]);
        }
        assert!(table.entry(CAPACITY).is_err());
    }

    #[test]
    fn no_more_is_looked_at_than_there_is_to_find() {
        let (table, maps) = table();
        for key in 1..=100 {
            add(&maps, key).unwrap();
        }
        let looked = std::cell::Cell::new(0);
        let first = |count| {
            looked.set(0);
            let is_theirs = |key: &u64| {
                looked.set(looked.get() + 1);
                [3, 5].contains(key)
            };
            let first = table.first(count, is_theirs).unwrap();
            first.iter().map(|row| row.key).collect::<Vec<_>>()
        };
        assert_eq!((first(2), looked.get()), (vec![3, 5], 5));
        assert_eq!((first(3), looked.get()), (vec![3, 5], 100));
        assert_eq!((first(0), looked.get()), (vec![], 0));
    }

    #[test]
    fn what_has_changed_is_told_once() {
        let (table, maps) = table();
        let mut known = Vec::new();
        for key in 1..=100 {
            add(&maps, key).unwrap();
        }
        assert!(table.changed(&mut known).unwrap().into_iter().eq(0..100));
        assert!(table.changed(&mut known).unwrap().is_empty());
        let row = Row {
            key: 8,
            count: 25,
            more: [8; 6],
        };
        // SAFETY: `Plain`.
        let bytes = unsafe { plain::as_bytes(&row) };
        let place = 7_u32.to_ne_bytes();
        maps.entries.update(&place, bytes, MapFlags::ANY).unwrap();
        assert_eq!(table.changed(&mut known).unwrap(), [7]);
        known[9] = UNKNOWN;
        assert_eq!(table.changed(&mut known).unwrap(), [9]);
    }

    #[test]
    fn what_is_cleared_is_empty_and_can_be_taken_again() {
        let (table, maps) = table();
        for key in 1..=200 {
            add(&maps, key).unwrap();
        }
        let gone: Vec<_> = (50..150)
            .map(|place| (place, u64::from(place) + 1))
            .collect();
        table.clear(&gone, ACCESS).unwrap();
        let left: Vec<_> = rows(&table).iter().map(|(_, row)| row.key).collect();
        assert!(left.iter().copied().eq((1..=50).chain(151..=200)));
        assert!((50..150).all(|place| table.entry(place).unwrap() == Row::default()));
        assert_eq!(maps.at.keys().count(), 100);
        let taken: std::collections::BTreeSet<_> =
            (1000..1100).map(|key| add(&maps, key).unwrap()).collect();
        assert!(taken.into_iter().eq(50..150));
    }
}
