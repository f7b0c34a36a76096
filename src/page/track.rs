// SPDX-License-Identifier: Apache-2.0
//! The last minute by seconds, or the last hour by minutes.

use std::time::Duration;

use crate::page::stretch::{Stretch, age};

/// Seconds, and minutes.
pub const REMEMBERED: usize = 60;

/// Bytes that there is room for at a time.
const CHUNK: usize = 128;

#[derive(Default)]
pub struct Track {
    /// The first number that there may be something of.
    since: u64,
    /// Those in which something has happened, oldest first.
    stretches: Vec<u8>,
}

impl Track {
    pub fn new(since: u64) -> Self {
        Self {
            since,
            stretches: Vec::new(),
        }
    }

    /// Adds the latest one.
    pub fn push(&mut self, stretch: &Stretch) {
        // Writing to memory cannot fail.
        let bytes = postcard::to_allocvec(stretch).unwrap_or_default();
        // Of room for twice as much half would be empty, and there are many of these.
        if self.stretches.capacity() - self.stretches.len() < bytes.len() {
            self.stretches.reserve_exact(bytes.len().max(CHUNK));
        }
        self.stretches.extend(bytes);
    }

    /// Forgets what is too old, and says what that was. To be called before twice as many have passed as are remembered.
    pub fn forget(&mut self, number: u64, mut say: impl FnMut(Stretch)) {
        let mut kept = &self.stretches[..];
        // Each begins with its number: most that are asked for have nothing to forget.
        while kept
            .first()
            .is_some_and(|it| age(*it, number) >= REMEMBERED)
            && let Ok((oldest, rest)) = postcard::take_from_bytes::<Stretch>(kept)
        {
            say(oldest);
            kept = rest;
        }
        let forgotten = self.stretches.len() - kept.len();
        if forgotten > 0 {
            self.stretches.drain(..forgotten);
            if self.stretches.is_empty() {
                self.stretches.shrink_to_fit();
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.stretches.is_empty()
    }

    pub fn bytes(&self) -> usize {
        self.stretches.capacity()
    }

    /// Those up to a number in which something has happened and that are no older than asked, oldest first.
    pub fn latest(&self, number: u64, count: usize) -> Vec<Stretch> {
        let mut left = &self.stretches[..];
        let all = std::iter::from_fn(|| {
            let (stretch, rest) = postcard::take_from_bytes::<Stretch>(left).ok()?;
            left = rest;
            Some(stretch)
        });
        all.filter(|it| it.age(number) < count.min(REMEMBERED))
            .collect()
    }

    /// What `make` makes of each of the last ones since the first, which took so long; of those in which nothing has happened, nothing.
    pub fn each<T: Default>(
        &self,
        number: u64,
        elapsed: &[Duration],
        make: impl Fn(&Stretch, Duration) -> T,
    ) -> Vec<T> {
        let known = (number + 1).saturating_sub(self.since) as usize;
        let count = known.min(elapsed.len());
        let mut stretches = self.latest(number, count).into_iter().peekable();
        let ages = (0..count).rev().zip(&elapsed[elapsed.len() - count..]);
        ages.map(|(age, elapsed)| {
            let stretch = stretches.next_if(|it| it.age(number) == age);
            stretch.map_or_else(T::default, |it| make(&it, *elapsed))
        })
        .collect()
    }
}
