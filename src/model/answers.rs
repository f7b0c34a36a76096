// SPDX-License-Identifier: Apache-2.0
//! What a process has answered of late, by status code, and how long it took.

use std::collections::BTreeMap;

use crate::model::histogram::Histogram;
use crate::model::quantile::quantile_ms;
use crate::model::snapshot::{Increment, Sample, Trend};
use crate::model::tick::Tick;
use crate::model::window::Window;

/// Ticks that are remembered: as long as Scope shows a sample.
const RECENT: usize = 15;

type Samples = Window<Sample, RECENT>;

#[derive(Default)]
pub struct Answers {
    /// Of the codes that were seen in the recent ticks.
    per_second: BTreeMap<u16, Samples>,
    /// What each of the recent ticks brought; nothing for most ticks of most processes.
    durations: Window<Option<Box<Histogram>>, RECENT>,
    p50_ms: Samples,
    p99_ms: Samples,
}

impl Answers {
    /// Takes in what was answered during a tick.
    pub fn tick(&mut self, increment: &Increment, tick: &Tick) {
        let answers = increment.answers();
        for status in answers.keys() {
            let from_zero = || Samples::from_zero(tick.previous);
            self.per_second.entry(*status).or_insert_with(from_zero);
        }
        self.per_second.retain(|status, samples| {
            let count = answers.get(status).copied().unwrap_or(0);
            samples.push_at(tick.date, tick.rate(count));
            samples.peak() > 0.0
        });
        self.measure(increment.durations(), tick);
    }

    fn measure(&mut self, durations: Histogram, tick: &Tick) {
        let any = durations.count() > 0;
        self.durations.push(any.then(|| durations.into()));
        let mut recent = Histogram::default();
        for durations in self.durations.iter().flatten() {
            recent += durations;
        }
        for (q, samples) in [(0.5, &mut self.p50_ms), (0.99, &mut self.p99_ms)] {
            match quantile_ms(q, &recent) {
                Some(duration) => samples.push_at(tick.date, duration),
                None => *samples = Samples::default(),
            }
        }
    }

    pub fn per_second(&self) -> BTreeMap<u16, Trend> {
        let trends = self.per_second.iter();
        trends
            .filter_map(|(status, samples)| Some((*status, samples.trend()?)))
            .collect()
    }

    pub fn p50_ms(&self) -> Option<Trend> {
        self.p50_ms.trend()
    }

    pub fn p99_ms(&self) -> Option<Trend> {
        self.p99_ms.trend()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    use crate::model::counters::SeriesKey;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Ticks one after the other, each as long as asked.
    struct Ticks {
        answers: Answers,
        date: SystemTime,
    }

    impl Ticks {
        fn new() -> Self {
            Self {
                answers: Answers::default(),
                date: UNIX_EPOCH + 1000 * SECOND,
            }
        }

        /// Each of `answered` is a status, how many, and the bucket of their durations.
        fn tick(&mut self, elapsed: Duration, answered: &[(u16, u64, usize)]) {
            let previous = self.date;
            self.date += elapsed;
            let tick = Tick {
                previous,
                date: self.date,
                elapsed,
            };
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
            values(self.answers.per_second().get(&status))
        }
    }

    fn values(trend: Option<&Trend>) -> Vec<f64> {
        let samples = trend.iter().flat_map(|trend| &trend.samples);
        samples.map(|sample| sample.value).collect()
    }

    #[test]
    fn rates_are_by_status_and_over_the_measured_time() {
        let mut ticks = Ticks::new();
        ticks.tick(SECOND, &[(200, 7, 0)]);
        ticks.tick(2 * SECOND, &[(200, 13, 0), (404, 5, 0)]);
        assert_eq!(ticks.rates(200), [0.0, 7.0, 6.5]);
        // The first rate has a beginning.
        assert_eq!(ticks.rates(404), [0.0, 2.5]);
        let trend = &ticks.answers.per_second()[&404];
        assert_eq!(trend.samples[0].date, ticks.date - 2 * SECOND);
        assert_eq!((trend.peak, trend.sum), (2.5, 2.5));
    }

    #[test]
    fn a_code_without_traffic_is_left_out_after_fifteen_ticks() {
        let mut ticks = Ticks::new();
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
        let mut ticks = Ticks::new();
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
        ticks.tick(SECOND, &[]);
        assert_eq!(ticks.answers.p50_ms(), None);
        assert_eq!(ticks.answers.p99_ms(), None);
    }
}
