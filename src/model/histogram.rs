// SPDX-License-Identifier: Apache-2.0
//! How long requests took, sorted into [`BUCKETS`].

use std::fmt;
use std::ops::AddAssign;

use crate::model::buckets::{BUCKETS, CLASSICS};

/// How long requests took, from the request line to the first byte of the final response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    pub sum_ns: u64,
    /// In order. Of the hundreds of buckets few have anything in them.
    filled: Vec<Filled>,
}

/// A bucket and how much is in it, in one word: there are many of these.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Filled(u64);

/// More than anybody counts.
const COUNT_BITS: u32 = 48;

impl Filled {
    fn new(bucket: u16, count: u64) -> Self {
        Self(u64::from(bucket) << COUNT_BITS | count)
    }

    fn bucket(self) -> u16 {
        (self.0 >> COUNT_BITS) as u16
    }

    fn count(self) -> u64 {
        self.0 & ((1 << COUNT_BITS) - 1)
    }
}

impl fmt::Debug for Filled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.bucket(), self.count())
    }
}

impl Histogram {
    /// Of buckets in any order.
    pub fn new(sum_ns: u64, buckets: impl IntoIterator<Item = (u16, u64)>) -> Self {
        let buckets = buckets.into_iter();
        let mut histogram = Self {
            sum_ns,
            filled: Vec::with_capacity(buckets.size_hint().0),
        };
        for (bucket, count) in buckets {
            histogram.add(bucket, count);
        }
        histogram
    }

    /// Of so many requests that took the same time each.
    pub fn of(count: u64, ns: u64) -> Self {
        Self::new(count * ns, [(BUCKETS.of(ns), count)])
    }

    pub fn add(&mut self, bucket: u16, count: u64) {
        if count == 0 {
            return;
        }
        match self.filled.binary_search_by_key(&bucket, |it| it.bucket()) {
            Ok(at) => self.filled[at].0 += count,
            Err(at) => {
                // Most have a few: room for more would be most of what is kept of them.
                self.filled.reserve_exact(1);
                self.filled.insert(at, Filled::new(bucket, count));
            }
        }
    }

    /// Takes out what was added before.
    pub fn remove(&mut self, bucket: u16, count: u64) {
        if let Ok(at) = self.filled.binary_search_by_key(&bucket, |it| it.bucket()) {
            self.filled[at].0 -= count.min(self.filled[at].count());
            if self.filled[at].count() == 0 {
                self.filled.remove(at);
            }
        }
    }

    /// The buckets that are not empty, in their order.
    pub fn filled(&self) -> impl DoubleEndedIterator<Item = (u16, u64)> {
        self.filled.iter().map(|it| (it.bucket(), it.count()))
    }

    pub fn is_empty(&self) -> bool {
        self.sum_ns == 0 && self.filled.is_empty()
    }

    /// Requests answered.
    pub fn count(&self) -> u64 {
        self.filled.iter().map(|it| it.count()).sum()
    }

    /// By upper bound, inclusive, as [`BOUNDS_US`](crate::model::buckets::BOUNDS_US) has them; the last bucket has none.
    pub fn classic(&self) -> [u64; CLASSICS] {
        let mut classic = [0; CLASSICS];
        for (bucket, count) in self.filled() {
            classic[BUCKETS.classic(bucket)] += count;
        }
        classic
    }
}

impl AddAssign<&Self> for Histogram {
    fn add_assign(&mut self, other: &Self) {
        self.sum_ns += other.sum_ns;
        for (bucket, count) in other.filled() {
            self.add(bucket, count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_have_all_and_classic_buckets_are_theirs() {
        let mut sum = Histogram::of(3, 120_000_000);
        sum += &Histogram::of(5, 99_999);
        sum += &Histogram::of(7, 120_000_001);
        assert_eq!(sum.count(), 15);
        assert_eq!(sum.sum_ns, 3 * 120_000_000 + 5 * 99_999 + 7 * 120_000_001);
        assert_eq!(sum.filled().count(), 2);
        let mut classic = [0; CLASSICS];
        (classic[0], classic[11]) = (5, 10);
        assert_eq!(sum.classic(), classic);
    }

    #[test]
    fn what_is_removed_was_never_there() {
        let bucket = BUCKETS.of(5);
        let mut histogram = Histogram::of(3, 5);
        histogram.remove(bucket, 2);
        assert_eq!(histogram.filled().collect::<Vec<_>>(), [(bucket, 1)]);
        histogram.remove(bucket, 1);
        histogram.remove(bucket, 1);
        assert_eq!(histogram.count(), 0);
    }
}
