// SPDX-License-Identifier: Apache-2.0
//! Quantiles of a histogram: as exact as its buckets are fine, which is a twentieth.

use crate::model::buckets::BUCKETS;
use crate::model::histogram::Histogram;

/// The time in milliseconds that a share `q` of the requests took at most; of no request there is none.
pub fn quantile_ms(q: f64, histogram: &Histogram) -> Option<f64> {
    let (bucket, share) = quantile_in(q, histogram)?;
    let (lower, upper) = BUCKETS.range(bucket);
    Some((lower as f64 + (upper - lower) as f64 * share) / 1e6)
}

/// The bucket in which that is, and which share of what is in it comes before. Where in the bucket they lie is not known: as if
/// spread evenly.
pub fn quantile_in(q: f64, histogram: &Histogram) -> Option<(u16, f64)> {
    let rank = q * histogram.count() as f64;
    let mut below = 0.0;
    for (bucket, count) in histogram.filled() {
        let count = count as f64;
        if below + count >= rank {
            return Some((bucket, (rank - below) / count));
        }
        below += count;
    }
    let (last, _) = histogram.filled().next_back()?;
    Some((last, 1.0))
}

/// The time in milliseconds that the longest one took at most.
pub fn max_ms(histogram: &Histogram) -> Option<f64> {
    let (bucket, _) = histogram.filled().next_back()?;
    Some(BUCKETS.range(bucket).1 as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn nothing_has_no_quantile() {
        let nothing = Histogram::default();
        assert_eq!((quantile_ms(0.5, &nothing), max_ms(&nothing)), (None, None));
    }

    /// A server that sleeps in three of ten requests.
    #[test]
    fn what_took_120_ms_shows_as_that() {
        let mut histogram = Histogram::of(70, MS / 4);
        histogram += &Histogram::of(30, 120 * MS);
        for (q, truth) in [(0.5, 0.25), (0.69, 0.25), (0.71, 120.0), (0.99, 120.0)] {
            let told = quantile_ms(q, &histogram).unwrap();
            assert!((told / truth - 1.0).abs() < 0.05, "{q}: {told} ms");
        }
        let max = max_ms(&histogram).unwrap();
        assert!((120.0..126.0).contains(&max), "{max}");
    }

    #[test]
    fn any_duration_is_told_within_a_twentieth() {
        for exponent in 0..200 {
            let ns = (2_000.0 * 1.1_f64.powi(exponent)) as u64;
            let histogram = Histogram::of(1, ns);
            for told in [
                quantile_ms(0.5, &histogram),
                quantile_ms(1.0, &histogram),
                max_ms(&histogram),
            ] {
                let error = told.unwrap() * 1e6 / ns as f64 - 1.0;
                assert!(error.abs() < 0.05, "{ns} ns: {told:?} ms");
            }
        }
    }
}
