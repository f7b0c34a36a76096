// SPDX-License-Identifier: Apache-2.0
//! How long requests took, sorted into buckets.

use std::ops::AddAssign;

/// How long requests took, from the request line to the first byte of the final response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    pub sum_ns: u64,
    /// By upper bound, inclusive, as [`BOUNDS_US`] has them; the last bucket has none.
    pub buckets: [u64; BOUNDS_US.len() + 1],
}

/// Upper bounds of the buckets in microseconds: OpenTelemetry's, and finer ones below 5 ms.
pub const BOUNDS_US: [u64; 19] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 75_000, 100_000, 250_000, 500_000,
    750_000, 1_000_000, 2_500_000, 5_000_000, 7_500_000, 10_000_000,
];

impl Histogram {
    pub const BUCKETS: usize = BOUNDS_US.len() + 1;

    /// The buckets that are not empty, by their index.
    pub fn filled(&self) -> impl Iterator<Item = (u8, u64)> {
        let buckets = (0..).zip(self.buckets);
        buckets.filter(|(_, count)| *count > 0)
    }

    /// Requests answered.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// What has been added to `earlier`, or nothing if this did not grow out of it.
    pub fn checked_sub(&self, earlier: &Self) -> Option<Self> {
        let mut added = Self {
            sum_ns: self.sum_ns.checked_sub(earlier.sum_ns)?,
            buckets: self.buckets,
        };
        for (bucket, earlier) in added.buckets.iter_mut().zip(earlier.buckets) {
            *bucket = bucket.checked_sub(earlier)?;
        }
        Some(added)
    }
}

impl AddAssign<&Self> for Histogram {
    fn add_assign(&mut self, other: &Self) {
        self.sum_ns += other.sum_ns;
        for (bucket, other) in self.buckets.iter_mut().zip(other.buckets) {
            *bucket += other;
        }
    }
}
