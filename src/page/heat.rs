// SPDX-License-Identifier: Apache-2.0
//! How long answers took, as coarsely as a heatmap shows it: two ranges for each doubling. Pure.

use std::collections::BTreeMap;

use crate::model::buckets::BUCKETS;
use crate::model::histogram::Histogram;

/// So many answers in each range, in order, of those that are not empty.
pub type Heat = Vec<(u8, u64)>;

/// What is shorter is one range. The page has the same number.
const SHORTEST_NS: f64 = 1024.0;

fn range_of(ns: f64) -> u8 {
    let doublings = (ns / SHORTEST_NS).log2();
    // A cast of what is below 0 is 0.
    (doublings * 2.0 + 1.0).floor() as u8
}

/// Where a range begins.
fn begin_ns(range: u8) -> f64 {
    match range {
        0 => 0.0,
        _ => SHORTEST_NS * (f64::from(range - 1) / 2.0).exp2(),
    }
}

pub fn of(durations: &Histogram) -> Heat {
    let mut heat = Heat::new();
    // Buckets are in order, and so are their ranges.
    for (bucket, count) in durations.filled() {
        let (lower, upper) = BUCKETS.range(bucket);
        let range = range_of((lower + (upper - lower) / 2) as f64);
        match heat.last_mut() {
            Some((last, sum)) if *last == range => *sum += count,
            _ => heat.push((range, count)),
        }
    }
    heat
}

/// Of ranges in any order.
pub fn sum(ranges: impl Iterator<Item = (u8, u64)>) -> Heat {
    let mut sums = BTreeMap::new();
    for (range, count) in ranges {
        *sums.entry(range).or_insert(0) += count;
    }
    sums.into_iter().collect()
}

/// The time in nanoseconds that a share `q` of the answers took at most, within a fifth. In a range they lie as if spread evenly by
/// the logarithm.
pub fn quantile_ns(q: f64, heat: &[(u8, u64)]) -> Option<u64> {
    let all: u64 = heat.iter().map(|(_, count)| count).sum();
    let rank = q * all as f64;
    let mut below = 0.0;
    for (range, count) in heat {
        let count = *count as f64;
        if below + count >= rank {
            let share = (rank - below) / count;
            let (begin, end) = (begin_ns(*range).max(1.0), begin_ns(range + 1));
            return Some((begin * (end / begin).powf(share)) as u64);
        }
        below += count;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_duration_is_in_the_range_that_begins_before_it() {
        for exponent in 0..180 {
            let ns = 2_000.0 * 1.1_f64.powi(exponent);
            let range = range_of(ns);
            assert!(begin_ns(range) <= ns && ns < begin_ns(range + 1), "{ns}");
        }
        assert_eq!(
            (range_of(1.0), range_of(1023.0), range_of(1024.0)),
            (0, 0, 1)
        );
        let longest = BUCKETS.range(BUCKETS.of(u64::MAX)).1;
        assert!(range_of(longest as f64) < 70);
    }

    #[test]
    fn nothing_is_lost_and_quantiles_are_told_within_a_fifth() {
        let mut durations = Histogram::of(70, 250_000);
        durations += &Histogram::of(30, 120_000_000);
        let heat = of(&durations);
        assert_eq!(heat.iter().map(|(_, count)| count).sum::<u64>(), 100);
        for (q, truth) in [(0.5, 250_000.0), (0.99, 120_000_000.0)] {
            let told = quantile_ns(q, &heat).unwrap() as f64;
            assert!((told / truth - 1.0).abs() < 0.42, "{q}: {told}");
        }
        assert_eq!(quantile_ns(0.5, &[]), None);
    }
}
