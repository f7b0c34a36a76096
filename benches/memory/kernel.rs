// SPDX-License-Identifier: Apache-2.0
//! What the agent has the kernel allocate.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;

use anyhow::{Context, Result};
use libbpf_rs::query::MapInfoIter;
use libbpf_rs::{MapCore, MapHandle, MapType};

pub struct Map {
    pub name: String,
    pub max_entries: u32,
    /// Key and value.
    pub entry_bytes: u32,
    /// Where the map can be walked.
    pub entries: Option<usize>,
    /// What the kernel says the map takes, without what it allocates for sockets.
    pub memlock: u64,
}

/// The maps of a process by their id, and what its programs take.
pub fn bpf(pid: u32) -> Result<(BTreeMap<u32, Map>, u64)> {
    let mut memlocks = BTreeMap::new();
    let mut programs = BTreeMap::new();
    for file in fs::read_dir(format!("/proc/{pid}/fdinfo"))? {
        let info = match fs::read_to_string(file?.path()) {
            // The descriptor of a connection that has just ended.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            info => info?,
        };
        let number = |field: &str| {
            info.lines()
                .find_map(|line| line.strip_prefix(field)?.trim().parse::<u64>().ok())
        };
        if let Some(memlock) = number("memlock:") {
            match (number("map_id:"), number("prog_id:")) {
                (Some(map), _) => memlocks.insert(u32::try_from(map)?, memlock),
                (None, Some(program)) => programs.insert(program, memlock),
                (None, None) => None,
            };
        }
    }
    let mut maps = BTreeMap::new();
    for info in MapInfoIter::default() {
        let Some(&memlock) = memlocks.get(&info.id) else {
            continue;
        };
        let walked = matches!(info.ty, MapType::Hash | MapType::LruHash);
        let map = Map {
            name: info.name.to_string_lossy().into_owned(),
            max_entries: info.max_entries,
            entry_bytes: info.key_size + info.value_size,
            entries: walked.then(|| count(info.id)).transpose()?,
            memlock,
        };
        maps.insert(info.id, map);
    }
    Ok((maps, programs.into_values().sum()))
}

fn count(map: u32) -> Result<usize> {
    let map = MapHandle::from_map_id(map)?;
    // A walk begins anew where the entry it stands on goes away.
    Ok(map.keys().take(map.max_entries() as usize).count())
}

/// A slab cache of the kernel's general allocator.
#[derive(Clone, Copy)]
pub struct Cache {
    pub objects: i64,
    pub bytes: i64,
}

/// The caches that the storage of sockets comes from, among much else.
pub fn caches() -> Result<BTreeMap<String, Cache>> {
    let slabs = fs::read_to_string("/proc/slabinfo").context("/proc/slabinfo cannot be read")?;
    slabs
        .lines()
        .filter(|line| line.starts_with("kmalloc-"))
        .map(|line| {
            let mut columns = line.split_ascii_whitespace();
            let name = columns.next().context("no name")?.to_owned();
            let objects = columns.next().context("no objects")?.parse()?;
            let bytes = columns.nth(1).context("no size")?.parse()?;
            Ok((name, Cache { objects, bytes }))
        })
        .collect()
}
