// SPDX-License-Identifier: Apache-2.0
//! Quantiles of a histogram, as Prometheus' `histogram_quantile` estimates them, so that both show the same.

use crate::model::histogram::{BOUNDS_US, Histogram};

/// The time in milliseconds that a share `q` of the requests took at most; of no request there is none.
pub fn quantile_ms(q: f64, histogram: &Histogram) -> Option<f64> {
    let rank = q * histogram.count() as f64;
    let mut below = 0.0;
    let mut lower = 0;
    for (&upper, &count) in BOUNDS_US.iter().zip(&histogram.buckets) {
        let count = count as f64;
        if count > 0.0 && below + count >= rank {
            // Where in the bucket they lie is not known: as if spread evenly.
            let share = (rank - below) / count;
            return Some((lower as f64 + (upper - lower) as f64 * share) / 1000.0);
        }
        below += count;
        lower = upper;
    }
    // The last bucket has no upper bound to reach for.
    let unbounded = histogram.buckets[BOUNDS_US.len()];
    (unbounded > 0).then_some(lower as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many in the buckets that end with these bounds; without a bound, in the last one.
    fn histogram(counts: &[(Option<u64>, u64)]) -> Histogram {
        let mut histogram = Histogram::default();
        for (bound, count) in counts {
            let index = bound.map_or(BOUNDS_US.len(), |bound| {
                BOUNDS_US.iter().position(|it| *it == bound).unwrap()
            });
            histogram.buckets[index] = *count;
        }
        histogram
    }

    fn assert_quantile(counts: &[(Option<u64>, u64)], q: f64, expected: f64) {
        let actual = quantile_ms(q, &histogram(counts)).unwrap();
        assert!(
            (actual - expected).abs() < 1e-9,
            "{q} of {counts:?}: {actual}, not {expected}"
        );
    }

    #[test]
    fn nothing_has_no_quantile() {
        assert_eq!(quantile_ms(0.5, &Histogram::default()), None);
    }

    #[test]
    fn within_a_bucket_it_is_interpolated() {
        let one = [(Some(10_000), 1)];
        assert_quantile(&one, 0.5, 7.5);
        assert_quantile(&one, 0.99, 9.95);
        // The first bucket begins at nothing.
        assert_quantile(&[(Some(100), 4)], 0.5, 0.05);
    }

    /// Values from Prometheus 2.42: `histogram_quantile(q, ...)` over 60 up to 1 ms, 30 up to 2.5 ms, 10 up to 25 ms.
    #[test]
    fn over_several_buckets_it_is_where_prometheus_has_it() {
        let counts = [(Some(1_000), 60), (Some(2_500), 30), (Some(25_000), 10)];
        assert_quantile(&counts, 0.5, 0.5 + 0.5 * 50.0 / 60.0);
        assert_quantile(&counts, 0.75, 1.0 + 1.5 * 15.0 / 30.0);
        assert_quantile(&counts, 0.99, 10.0 + 15.0 * 9.0 / 10.0);
    }

    #[test]
    fn a_rank_at_the_end_of_a_bucket_is_its_bound() {
        let halves = [(Some(1_000), 5), (Some(50_000), 5)];
        assert_quantile(&halves, 0.5, 1.0);
        assert_quantile(&halves, 1.0, 50.0);
    }

    #[test]
    fn beyond_the_last_bound_it_is_that_bound() {
        let slow = [(Some(100), 1), (None, 99)];
        assert_quantile(&slow, 0.5, 10_000.0);
        assert_quantile(&slow, 0.01, 0.1);
    }
}
