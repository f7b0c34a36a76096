// SPDX-License-Identifier: Apache-2.0
//! The buckets of durations, which series have in spans (`src/bpf/counters/spans.bpf.h`).

use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Result;
use libbpf_rs::MapCore;

use crate::kernel::free::Free;
use crate::kernel::mapped::Mapped;
use crate::kernel::maps::Access;
use crate::kernel::skeleton::types;
use crate::model::buckets::{BUCKETS, SPAN_BUCKETS, SPAN_PLACES, SPANS};

/// In maps `M`.
pub struct Spans<M> {
    spans: Mapped<M>,
    free: Free<M>,
    capacity: u32,
}

impl<M: MapCore> Spans<M> {
    /// All of which are free. To be called once, before the programs run.
    pub fn of(spans: M, free: M) -> Result<Self> {
        let capacity = spans.max_entries();
        Ok(Self {
            spans: Mapped::of(spans)?,
            // The first one is none.
            free: Free::of(free, 1..capacity)?,
            capacity,
        })
    }

    pub fn capacity(&self) -> u32 {
        self.capacity - 1
    }

    /// Takes out what a series has counted since the last time, by bucket, and adds it to these.
    pub fn take_out(&self, series: &types::http_series, all: &mut Vec<(u16, u64)>) -> Result<()> {
        gather(series, all, |place| self.spans.take_out(place, 0))
    }

    /// What it has counted and nobody has taken out.
    pub fn read(&self, series: &types::http_series) -> Result<Vec<(u16, u64)>> {
        let read = |number: &AtomicU32| number.load(Ordering::Relaxed);
        let mut all = Vec::new();
        gather(series, &mut all, |place| self.spans.numbers(place, 0, read))?;
        Ok(all)
    }

    /// Gives back the spans of a series in which nobody counts any more, and which has them no more; says how many they were.
    pub fn give_back(&self, places: [u32; SPANS], access: Access) -> Result<usize> {
        let places: Vec<_> = places.into_iter().filter(|place| *place != 0).collect();
        for place in &places {
            self.spans.take_out::<SPAN_BUCKETS>(*place, 0)?;
        }
        self.free.give_back(&places, access)?;
        Ok(places.len())
    }
}

fn gather(
    series: &types::http_series,
    all: &mut Vec<(u16, u64)>,
    counts: impl Fn(u32) -> Result<[u32; SPAN_BUCKETS]>,
) -> Result<()> {
    for (span, place) in (0..).zip(series.spans).filter(|(_, place)| *place != 0) {
        let buckets = span * SPAN_PLACES as u16..;
        let filled = buckets.zip(counts(place)?).filter(|(_, count)| *count > 0);
        all.extend(filled.map(|(bucket, count)| (bucket, u64::from(count))));
    }
    Ok(())
}

/// Those for which there was no room in spans are in classic buckets, of which one of ours stands for each.
pub fn coarse(counts: &[u32]) -> impl Iterator<Item = (u16, u64)> {
    let filled = counts.iter().enumerate().filter(|(_, count)| **count > 0);
    filled.map(|(classic, count)| (BUCKETS.of_classic(classic), u64::from(*count)))
}
