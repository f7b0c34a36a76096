// SPDX-License-Identifier: Apache-2.0
//! Which durations a bucket has: so many that none is wider than a twentieth of what is in it, between the bounds of Prometheus'
//! native histograms (<https://prometheus.io/docs/specs/native_histograms/>, schema 4: 16 for each doubling) and those of
//! classic ones, so that counts of either kind are sums of buckets. The programs find them by the same tables
//! (`src/bpf/counters/spans.bpf.h`). Pure.

use std::sync::LazyLock;

/// Upper bounds of classic buckets in microseconds: OpenTelemetry's, and finer ones below 5 ms.
pub const BOUNDS_US: [u64; 19] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 75_000, 100_000, 250_000, 500_000,
    750_000, 1_000_000, 2_500_000, 5_000_000, 7_500_000, 10_000_000,
];

/// So many and the one for what is longer.
pub const CLASSICS: usize = BOUNDS_US.len() + 1;

/// Of native histograms.
pub const SCHEMA: i32 = 4;
/// Nothing is told apart that is shorter than two to this power, in seconds.
const SHORTEST: i32 = -19;

/// Buckets come in spans (`HTTP_SPANS`, `HTTP_SPAN_BUCKETS` and `HTTP_SPAN_PLACES` of the programs), each of which ends at
/// four times the duration of the one before.
pub const SPANS: usize = 16;
pub const SPAN_BUCKETS: usize = 40;
pub const SPAN_PLACES: usize = 64;
pub const PLACES: usize = SPANS * SPAN_PLACES;
/// Where the first span ends, in nanoseconds.
const FIRST_SPAN_BITS: usize = 11;
/// What is no bucket has a bound that nothing is over.
const NO_BOUND: u64 = i64::MAX as u64;

pub static BUCKETS: LazyLock<Buckets> = LazyLock::new(Buckets::new);

/// A bucket is known by its span and its place in it, which together are in the order of durations.
pub struct Buckets {
    /// Inclusive, in nanoseconds.
    upper: [u64; PLACES],
    /// Exclusive.
    lower: [u64; PLACES],
    first: [u8; PLACES],
    classic: [u8; PLACES],
    native: [i16; PLACES],
}

/// The upper bound of a native bucket, in whole nanoseconds.
fn native_ns(index: i32) -> u64 {
    let exponent = f64::from(index) / f64::from(1 << SCHEMA);
    (exponent.exp2() * 1e9) as u64
}

impl Buckets {
    fn new() -> Self {
        let mut buckets = Self {
            upper: [NO_BOUND; PLACES],
            lower: [NO_BOUND; PLACES],
            first: [0; PLACES],
            classic: [0; PLACES],
            native: [0; PLACES],
        };
        let longest = 1 << (FIRST_SPAN_BITS + 2 * (SPANS - 1));
        let zero = SHORTEST << SCHEMA;
        let native = (zero..).map(native_ns).take_while(|ns| *ns < longest);
        let classic = BOUNDS_US.iter().map(|us| us * 1000);
        let ends = (0..SPANS).map(|span| (1 << (FIRST_SPAN_BITS + 2 * span)) - 1);
        let mut bounds: Vec<u64> = native.chain(classic).chain(ends).collect();
        bounds.sort_unstable();
        bounds.dedup();
        let (mut lower, mut index) = (0, zero);
        let (mut span, mut place) = (0, 0);
        for upper in bounds {
            while native_ns(index) < upper {
                index += 1;
            }
            let at = span * SPAN_PLACES + place;
            buckets.upper[at] = upper;
            buckets.lower[at] = lower;
            buckets.native[at] = index as i16;
            buckets.classic[at] = BOUNDS_US.partition_point(|us| us * 1000 < upper) as u8;
            lower = upper;
            place += 1;
            if (upper + 1).is_power_of_two() {
                (span, place) = (span + 1, 0);
            }
        }
        buckets.find_first();
        buckets
    }

    /// An octave has 32 parts of the same length; the first span is one octave, and whatever is shorter.
    fn find_first(&mut self) {
        let parts = SPAN_PLACES as u64 / 2;
        for place in SPAN_PLACES..PLACES {
            let (octave, part) = (place as u64 / parts, place as u64 % parts);
            let shortest = (parts + part) << (octave + FIRST_SPAN_BITS as u64 - 2 - 5);
            let of_span = place / SPAN_PLACES * SPAN_PLACES;
            let bounds = &self.upper[of_span..of_span + SPAN_BUCKETS];
            self.first[place] = bounds.partition_point(|bound| *bound < shortest) as u8;
        }
    }

    /// As the programs have them: upper bounds, to which one more is added that is never reached.
    pub fn bounds_ns(&self) -> [u64; PLACES + 1] {
        let mut bounds = [NO_BOUND; PLACES + 1];
        bounds[..PLACES].copy_from_slice(&self.upper);
        bounds
    }

    /// The first bucket of a span for durations of each of its parts.
    pub fn first(&self) -> [u8; PLACES] {
        self.first
    }

    pub fn classics(&self) -> [u8; PLACES] {
        self.classic
    }

    /// The one for a duration.
    pub fn of(&self, ns: u64) -> u16 {
        let mut all = (0..PLACES).filter(|place| self.upper[*place] != NO_BOUND);
        let longest = PLACES - SPAN_PLACES
            + self.upper[PLACES - SPAN_PLACES..].partition_point(|it| *it != NO_BOUND)
            - 1;
        all.find(|place| ns <= self.upper[*place])
            .unwrap_or(longest) as u16
    }

    /// One that stands for all of a classic bucket: in its middle, or where that has no end at its beginning.
    pub fn of_classic(&self, classic: usize) -> u16 {
        let lower = classic.checked_sub(1).map_or(0, |it| BOUNDS_US[it]);
        let upper = BOUNDS_US.get(classic).copied().unwrap_or(lower);
        self.of((lower + upper) * 500 + u64::from(upper == lower))
    }

    /// Which classic bucket it is a part of. Behind the last bound there is one more.
    pub fn classic(&self, bucket: u16) -> usize {
        self.classic
            .get(usize::from(bucket))
            .copied()
            .map_or(CLASSICS - 1, usize::from)
    }

    /// Which native bucket it is a part of; `None` of the one that counts as zero.
    pub fn native(&self, bucket: u16) -> Option<i32> {
        let index = self
            .native
            .get(usize::from(bucket))
            .copied()
            .map(i32::from)?;
        (index > SHORTEST << SCHEMA).then_some(index)
    }

    /// Durations in it are longer than the first and not longer than the second, in nanoseconds.
    pub fn range(&self, bucket: u16) -> (u64, u64) {
        let bucket = usize::from(bucket).min(PLACES - 1);
        (self.lower[bucket], self.upper[bucket])
    }
}

/// What counts as zero in a native histogram, in seconds.
pub fn zero_threshold() -> f64 {
    f64::from(SHORTEST).exp2()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the programs find it.
    fn found(ns: u64) -> u16 {
        let longest = (1 << 41) - 1;
        let ns = ns.min(longest);
        let log = (ns | 1 << 10).ilog2();
        let part = (log as usize - 9) * 32 + (ns >> (log - 5) & 31) as usize;
        let span = part & !63;
        let first = span + usize::from(BUCKETS.first[part]);
        let bounds = BUCKETS.bounds_ns();
        let over = |at: usize| usize::from(ns > bounds[at]);
        (first + over(first) + over(first + 1)) as u16
    }

    fn all() -> impl Iterator<Item = u16> {
        (0..PLACES as u16).filter(|it| BUCKETS.upper[usize::from(*it)] != NO_BOUND)
    }

    #[test]
    fn numbers_are_those_of_the_programs() {
        let header = include_str!("../bpf/http.h");
        for (name, number) in [
            ("SPANS", SPANS),
            ("SPAN_BUCKETS", SPAN_BUCKETS),
            ("SPAN_PLACES", SPAN_PLACES),
            ("COARSE_BUCKETS", CLASSICS),
        ] {
            let line = format!("HTTP_{name} = {number},");
            assert!(header.contains(&line), "{line}");
        }
    }

    #[test]
    fn every_duration_is_found_by_the_tables() {
        let edges = all().flat_map(|it| {
            let (lower, upper) = BUCKETS.range(it);
            [lower + 1, lower + (upper - lower) / 2, upper, upper + 1]
        });
        for ns in edges.chain([0, 1, 1023, 1024, u64::MAX]) {
            assert_eq!(found(ns), BUCKETS.of(ns), "{ns} ns");
        }
        assert!(all().all(|it| usize::from(it) % SPAN_PLACES < SPAN_BUCKETS));
    }

    #[test]
    fn none_is_wider_than_a_twentieth() {
        for bucket in all().skip(1) {
            let (lower, upper) = BUCKETS.range(bucket);
            assert!(
                upper > lower && (upper - lower) * 20 <= upper,
                "{lower} to {upper} ns"
            );
        }
        assert_eq!(BUCKETS.range(0), (0, 1907));
    }

    #[test]
    fn classic_and_native_ones_are_sums_of_them() {
        for bucket in all() {
            let (lower, upper) = BUCKETS.range(bucket);
            let classic = BUCKETS.classic(bucket);
            assert!(classic == 0 || lower >= BOUNDS_US[classic - 1] * 1000);
            assert!(classic == BOUNDS_US.len() || upper <= BOUNDS_US[classic] * 1000);
            if let Some(index) = BUCKETS.native(bucket) {
                assert!(lower >= native_ns(index - 1) && upper <= native_ns(index));
            }
        }
        assert_eq!(BUCKETS.native(0), None);
        assert_eq!(BUCKETS.native(BUCKETS.of(1_000_000_000)), Some(0));
        assert_eq!(BUCKETS.native(BUCKETS.of(1_000_000_001)), Some(1));
    }

    #[test]
    fn one_stands_for_a_classic_bucket() {
        for classic in 0..CLASSICS {
            let bucket = BUCKETS.of_classic(classic);
            assert_eq!(BUCKETS.classic(bucket), classic);
        }
    }
}
