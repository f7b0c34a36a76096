// SPDX-License-Identifier: Apache-2.0
//! What a process has answered of late, by status code, and how long it took.

use crate::model::histogram::Histogram;
use crate::model::increment::Increment;
use crate::model::quantile::quantile_ms;
use crate::model::snapshot::Trend;
use crate::model::tick::Tick;
use crate::model::window::Window;

/// Ticks that are remembered: as long as Scope shows a sample.
const RECENT: usize = 15;

type Samples = Window<f64, RECENT>;

/// There are many processes, and each has little in most ticks: so there are no maps here.
#[derive(Default)]
pub struct Answers {
    /// Whether there may have been others before the first tick, until that.
    joined: bool,
    /// Of the codes that were seen in the recent ticks, in their order.
    per_second: Vec<(u16, Samples)>,
    /// What each of the recent ticks brought: buckets that are not empty.
    durations: Window<Vec<(u8, u64)>, RECENT>,
    /// All of these together.
    recent: [u64; Histogram::BUCKETS],
    p50_ms: Samples,
    p99_ms: Samples,
}

impl Answers {
    pub fn beginning(joined: bool) -> Self {
        Self {
            joined,
            ..Self::default()
        }
    }

    /// Takes in what was answered during a tick.
    pub fn tick(&mut self, increment: &Increment, tick: &Tick) {
        let answers = increment.answers();
        for (status, _) in &answers {
            if let Err(at) = self.per_second.binary_search_by_key(status, |(it, _)| *it) {
                let samples = Samples::beginning(self.joined);
                self.per_second.insert(at, (*status, samples));
            }
        }
        self.joined = false;
        self.per_second.retain_mut(|(status, samples)| {
            let count = answers.iter().find(|(it, _)| it == status);
            samples.push(tick.rate(count.map_or(0, |(_, count)| *count)));
            samples.peak() > 0.0
        });
        self.measure(&increment.durations());
    }

    fn measure(&mut self, durations: &Histogram) {
        let filled: Vec<_> = durations.filled().collect();
        for (bucket, count) in &filled {
            self.recent[usize::from(*bucket)] += count;
        }
        for (bucket, count) in self.durations.push(filled).unwrap_or_default() {
            self.recent[usize::from(bucket)] -= count;
        }
        let recent = Histogram {
            sum_ns: 0,
            buckets: self.recent,
        };
        for (q, samples) in [(0.5, &mut self.p50_ms), (0.99, &mut self.p99_ms)] {
            match quantile_ms(q, &recent) {
                Some(duration) => _ = samples.push(duration),
                None => *samples = Samples::default(),
            }
        }
    }

    /// Whether the recent ticks have brought nothing.
    pub fn is_idle(&self) -> bool {
        self.per_second.is_empty() && self.p50_ms.is_empty()
    }

    /// In the order of the codes.
    pub fn per_second(&self) -> Vec<(u16, Trend)> {
        let samples = self.per_second.iter();
        samples
            .map(|(status, samples)| (*status, samples.trend()))
            .collect()
    }

    pub fn p50_ms(&self) -> Option<Trend> {
        (!self.p50_ms.is_empty()).then(|| self.p50_ms.trend())
    }

    pub fn p99_ms(&self) -> Option<Trend> {
        (!self.p99_ms.is_empty()).then(|| self.p99_ms.trend())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::model::counters::SeriesKey;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Ticks one after the other, each as long as asked.
    #[derive(Default)]
    struct Ticks {
        answers: Answers,
    }

    impl Ticks {
        /// Each of `answered` is a status, how many, and the bucket of their durations.
        fn tick(&mut self, elapsed: Duration, answered: &[(u16, u64, usize)]) {
            let tick = Tick { elapsed };
            let series = answered.iter().map(|(status, count, bucket)| {
                let mut histogram = Histogram::default();
                histogram.buckets[*bucket] = *count;
                let key = SeriesKey {
                    method: "GET",
                    status: *status,
                    version: "1.1",
                };
                (key, histogram)
            });
            let increment = Increment {
                requests: 0,
                series: series.collect(),
            };
            self.answers.tick(&increment, &tick);
        }

        fn rates(&self, status: u16) -> Vec<f64> {
            let answers = self.answers.per_second();
            values(
                answers
                    .iter()
                    .find(|(it, _)| *it == status)
                    .map(|(_, it)| it),
            )
        }
    }

    fn values(trend: Option<&Trend>) -> Vec<f64> {
        let values = trend.iter().flat_map(|trend| &trend.values);
        values.copied().collect()
    }

    #[test]
    fn rates_are_by_status_and_over_the_measured_time() {
        let mut ticks = Ticks::default();
        ticks.tick(SECOND, &[(200, 7, 0)]);
        ticks.tick(2 * SECOND, &[(200, 13, 0), (404, 5, 0)]);
        assert_eq!(ticks.rates(200), [0.0, 7.0, 6.5]);
        // The first rate has a beginning.
        assert_eq!(ticks.rates(404), [0.0, 2.5]);
        let (_, trend) = &ticks.answers.per_second()[1];
        assert_eq!((trend.peak, trend.sum), (2.5, 2.5));
    }

    #[test]
    fn a_code_without_traffic_is_left_out_after_fifteen_ticks() {
        let mut ticks = Ticks::default();
        ticks.tick(SECOND, &[(200, 7, 0)]);
        for _ in 1..RECENT {
            ticks.tick(SECOND, &[(500, 3, 0)]);
            assert_eq!(ticks.rates(200).last(), Some(&0.0));
        }
        ticks.tick(SECOND, &[(500, 3, 0)]);
        assert!(ticks.rates(200).is_empty());
        assert_eq!(ticks.rates(500), [3.0; 5]);
    }

    #[test]
    fn percentiles_are_of_all_answers_of_the_last_fifteen_ticks() {
        let mut ticks = Ticks::default();
        // In the first bucket, which ends at 0.1 ms, and in the seventh, from 5 to 10 ms.
        ticks.tick(SECOND, &[(200, 50, 0)]);
        ticks.tick(SECOND, &[(200, 40, 6), (500, 10, 6)]);
        let p50 = ticks.answers.p50_ms();
        assert_eq!(values(p50.as_ref()), [0.05, 0.1]);
        let p99 = values(ticks.answers.p99_ms().as_ref());
        assert!((p99[0] - 0.099).abs() < 1e-9, "{p99:?}");
        assert!((p99[1] - 9.9).abs() < 1e-9, "{p99:?}");

        for _ in 2..RECENT {
            ticks.tick(SECOND, &[]);
        }
        assert_eq!(values(ticks.answers.p50_ms().as_ref()), [0.1; 5]);
        ticks.tick(SECOND, &[]);
        let p50 = ticks.answers.p50_ms();
        assert_eq!(values(p50.as_ref()).last(), Some(&7.5));
        assert!(!ticks.answers.is_idle());
        ticks.tick(SECOND, &[]);
        assert!(ticks.answers.is_idle());
        assert_eq!(ticks.answers.p50_ms(), None);
        assert_eq!(ticks.answers.p99_ms(), None);
    }
}
