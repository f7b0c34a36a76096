// SPDX-License-Identifier: Apache-2.0
//! The maps of the BPF object, entry by entry.

use anyhow::{Context, Result, anyhow};
use libbpf_rs::{ErrorKind, MapCore, MapFlags};
use plain::Plain;

/// How many entries are read one by one.
const FEW: usize = 256;
/// How many map entries are asked for at first.
const BATCH: u32 = 1024;
/// More than a bucket of a hash map ever holds.
const BUCKET: usize = 64;

/// All entries of a map, keys and values. While the kernel reads a batch, it skips the programs at events on that CPU, also when
/// the reader is preempted. In a map of few entries that would be for as long as it takes to pass over all empty buckets; to
/// read one entry takes no time.
pub fn entries(map: &impl MapCore) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let keys: Vec<_> = map.keys().take(FEW + 1).collect();
    if keys.len() > FEW {
        return batches(map);
    }
    let unreadable = || unreadable(map);
    keys.into_iter()
        .filter_map(|key| {
            let value = map.lookup(&key, MapFlags::ANY).with_context(unreadable);
            value.transpose().map(|value| Ok((key, value?)))
        })
        .collect()
}

/// The kernel ends a batch early where the next bucket does not fit, and the iterator takes such a batch for the last one. So a
/// batch counts only if a bucket would still have fitted, or the whole map.
fn batches(map: &impl MapCore) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let all = map.max_entries();
    let mut count = BATCH.min(all);
    loop {
        let entries: Vec<_> = map
            .lookup_batch(count, MapFlags::ANY, MapFlags::ANY)
            .with_context(|| unreadable(map))?
            .collect();
        if count == all || entries.len() + BUCKET <= count as usize {
            return Ok(entries);
        }
        count = count.saturating_mul(4).min(all);
    }
}

fn unreadable(map: &impl MapCore) -> String {
    format!("{} cannot be read", map.name().to_string_lossy())
}

/// Deletes an entry, if it is there.
pub fn delete(map: &impl MapCore, key: &[u8]) -> Result<()> {
    match map.delete(key) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} keeps an entry", map.name().to_string_lossy()))
        }
        _ => Ok(()),
    }
}

/// Copied, since the bytes of an entry need not be aligned as `T` is.
pub fn read<T: Plain + Default>(bytes: &[u8]) -> Result<T> {
    let mut value = T::default();
    plain::copy_from_bytes(&mut value, bytes)
        .map_err(|error| anyhow!("a map entry is malformed: {error:?}"))?;
    Ok(value)
}
