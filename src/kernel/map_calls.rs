// SPDX-License-Identifier: Apache-2.0
//! System calls that read a map, with results of their own. The iterators of libbpf-rs end at any error, so that a map which cannot be
//! read would look like one whose entries are all gone.

use std::collections::BTreeSet;
use std::ffi::c_int;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use libbpf_rs::libbpf_sys;

/// How many entries are read one by one.
const FEW: usize = 256;
/// Steps from key to key. Where entries go meanwhile it takes more of them than there are entries.
const STEPS: usize = 4 * FEW;
/// The least that the kernel needs to remember where a batch has ended.
pub const POSITION: usize = size_of::<u32>();

/// A map as the system calls see it.
pub struct Map<'fd> {
    pub fd: BorrowedFd<'fd>,
    pub key_size: usize,
    pub value_size: usize,
    pub max_entries: usize,
}

/// What came of asking for a batch: how many entries.
pub enum Batch {
    Part(usize),
    Last(usize),
    /// No entry fits: those of one bucket come together.
    TooSmall,
}

impl Map<'_> {
    /// `None` where there are more than a few, and where so many go meanwhile that there is no getting to an end: after a
    /// key that is gone the kernel begins again.
    pub fn few_keys(&self) -> io::Result<Option<BTreeSet<Vec<u8>>>> {
        let mut keys = BTreeSet::new();
        let mut latest: Option<Vec<u8>> = None;
        for _ in 0..STEPS {
            let Some(key) = self.key_after(latest.as_deref())? else {
                return Ok(Some(keys));
            };
            keys.insert(key.clone());
            if keys.len() > FEW {
                break;
            }
            latest = Some(key);
        }
        Ok(None)
    }

    fn key_after(&self, key: Option<&[u8]>) -> io::Result<Option<Vec<u8>>> {
        let mut next = vec![0; self.key_size];
        let before = key.map_or(ptr::null(), <[u8]>::as_ptr);
        // SAFETY: the kernel reads a key, unless there is none, and writes one; both have the size that the map says.
        let returned = unsafe {
            libbpf_sys::bpf_map_get_next_key(
                self.fd.as_raw_fd(),
                before.cast(),
                next.as_mut_ptr().cast(),
            )
        };
        Ok(found(returned)?.then_some(next))
    }

    /// The entries of those keys that are still there.
    pub fn values_of(&self, keys: BTreeSet<Vec<u8>>) -> io::Result<Entries> {
        let mut entries = Entries::of(self);
        let mut value = vec![0; self.value_size];
        for key in keys {
            // SAFETY: the kernel reads a key and writes a value; both have the size that the map says.
            let returned = unsafe {
                libbpf_sys::bpf_map_lookup_elem(
                    self.fd.as_raw_fd(),
                    key.as_ptr().cast(),
                    value.as_mut_ptr().cast(),
                )
            };
            if found(returned)? {
                entries.push(&key, &value);
            }
        }
        Ok(entries)
    }

    /// The next entries after a position, if it is not the first time; where they end is put into `end`.
    pub fn batch(
        &self,
        position: Option<&[u8]>,
        end: &mut [u8],
        keys: &mut [u8],
        values: &mut [u8],
        room: usize,
    ) -> io::Result<Batch> {
        let fits = keys.len() >= room * self.key_size && values.len() >= room * self.value_size;
        assert!(fits, "no room for {room} entries");
        let mut count = room as u32;
        let position = position.map_or(ptr::null(), <[u8]>::as_ptr);
        // SAFETY: the kernel reads a position, unless there is none, and writes one, each no longer than a key or `POSITION`,
        // and writes at most so many keys and values as there is room for. It does not write to the old position.
        let returned = unsafe {
            libbpf_sys::bpf_map_lookup_batch(
                self.fd.as_raw_fd(),
                position.cast_mut().cast(),
                end.as_mut_ptr().cast(),
                keys.as_mut_ptr().cast(),
                values.as_mut_ptr().cast(),
                &raw mut count,
                ptr::null(),
            )
        };
        let count = (count as usize).min(room);
        match -returned {
            0 => Ok(Batch::Part(count)),
            libc::ENOENT => Ok(Batch::Last(count)),
            libc::ENOSPC => Ok(Batch::TooSmall),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }
}

/// What libbpf returns: 0, or an error's number below zero. That an entry is not there is no error.
fn found(returned: c_int) -> io::Result<bool> {
    match -returned {
        0 => Ok(true),
        libc::ENOENT => Ok(false),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// Entries of a map, one behind the other.
pub struct Entries {
    key_size: usize,
    value_size: usize,
    keys: Vec<u8>,
    values: Vec<u8>,
}

impl Entries {
    /// None yet.
    pub fn of(map: &Map<'_>) -> Self {
        Self {
            key_size: map.key_size,
            value_size: map.value_size,
            keys: Vec::new(),
            values: Vec::new(),
        }
    }

    pub fn len(&self) -> usize {
        self.keys.len() / self.key_size
    }

    /// Keys and values.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let keys = self.keys.chunks_exact(self.key_size);
        keys.zip(self.values.chunks_exact(self.value_size))
    }

    fn push(&mut self, key: &[u8], value: &[u8]) {
        self.keys.extend(key);
        self.values.extend(value);
    }

    /// So many, of which those that are new are zeros.
    pub fn set_len(&mut self, entries: usize) {
        self.keys.resize(entries * self.key_size, 0);
        self.values.resize(entries * self.value_size, 0);
    }

    /// The keys and values from one on.
    pub fn from(&mut self, entry: usize) -> (&mut [u8], &mut [u8]) {
        let keys = &mut self.keys[entry * self.key_size..];
        (keys, &mut self.values[entry * self.value_size..])
    }
}
