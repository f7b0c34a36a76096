// SPDX-License-Identifier: Apache-2.0
//! The places of an array that the programs may take: a stack of them.

use std::ops::Range;

use anyhow::{Context, Result};
use libbpf_rs::{MapCore, MapFlags};

use crate::kernel::maps::Access;

pub struct Free<M>(M);

impl<M: MapCore> Free<M> {
    /// All of these. To be called once, before the programs run.
    pub fn of(map: M, places: Range<u32>) -> Result<Self> {
        let free = Self(map);
        // The one that is pushed last is taken first: what is used stays together at the beginning.
        places.rev().try_for_each(|place| free.push(&place))?;
        Ok(free)
    }

    pub fn give_back(&self, places: &[u32], access: Access) -> Result<()> {
        access.each(places, |place| self.push(place))
    }

    fn push(&self, place: &u32) -> Result<()> {
        let pushed = self.0.update(&[], &place.to_ne_bytes(), MapFlags::ANY);
        pushed.context("a place of an array cannot be given back")
    }
}
