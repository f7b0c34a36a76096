// SPDX-License-Identifier: Apache-2.0
//! How many places of the tables users hold (`src/bpf/counters/shares.bpf.h`): the programs count up what is taken, and
//! what is given back here is counted down in the same memory.

use std::io;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU64, Ordering};

use libbpf_rs::MapCore;
use memmap2::{MmapOptions, MmapRaw};

use crate::kernel::skeleton::types;

/// What tables have places for, numbered as in `enum http_resource`.
#[derive(Clone, Copy, Debug)]
pub enum Resource {
    Processes,
    Workloads,
    Series,
    Spans,
}

pub struct Shares {
    mapped: MmapRaw,
    /// The last is that of all together.
    last: u32,
}

impl Shares {
    pub fn of(map: &impl MapCore) -> io::Result<Self> {
        let entries = map.max_entries() as usize;
        Ok(Self {
            mapped: MmapOptions::new()
                .len(entries * size_of::<types::http_share>())
                .map_raw(map.as_fd().as_raw_fd())?,
            last: map.max_entries() - 1,
        })
    }

    /// Places that were taken out of a share are free again.
    pub fn give_back(&self, share: u32, resource: Resource, places: usize) {
        for share in [share, self.last] {
            self.held(share, resource)
                .fetch_sub(places as u64, Ordering::Relaxed);
        }
    }

    /// Places that are taken by all together.
    pub fn all(&self, resource: Resource) -> u64 {
        self.held(self.last, resource).load(Ordering::Relaxed)
    }

    fn held(&self, share: u32, resource: Resource) -> &AtomicU64 {
        let word = share.min(self.last) as usize * size_of::<types::http_share>()
            / size_of::<u64>()
            + resource as usize;
        // SAFETY: it lies within what is mapped as long as `self` lives, and all who write to it do so atomically.
        unsafe { &*self.mapped.as_ptr().cast::<AtomicU64>().add(word) }
    }
}
