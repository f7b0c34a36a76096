// SPDX-License-Identifier: Apache-2.0
//! What a process has answered of late, by status code, and how long it took.

use std::collections::VecDeque;

use crate::model::histogram::Histogram;
use crate::model::increment::Increment;
use crate::model::quantile::{max_ms, quantile_ms};
use crate::model::snapshot::{Durations, Latency, Trend};
use crate::model::tick::Tick;
use crate::model::window::Window;

/// Ticks that are remembered: as long as Scope shows a sample.
const RECENT: usize = 15;

type Samples = Window<f64, RECENT>;

/// There are many processes, and each has little in most ticks: so there are no maps here, and small numbers.
#[derive(Default)]
pub struct Answers {
    /// Whether there may have been others before the first tick, until that.
    joined: bool,
    /// Of the codes that were seen in the recent ticks, in their order.
    per_second: Vec<(u16, Samples)>,
    /// gRPC calls that failed, as long as the recent ticks had any.
    failed_calls: Samples,
    /// The number of the latest tick.
    tick: u8,
    /// What each of the recent ticks brought, oldest first.
    cells: VecDeque<Cell>,
    /// All of these together.
    recent: Histogram,
    /// p50, p90, p99 and the longest, of each tick.
    latency: Window<[f32; 4], RECENT>,
}

/// Of one that may not have answered of late, and takes no room then.
#[derive(Default)]
pub struct LateAnswers(Option<Box<Answers>>);

impl LateAnswers {
    pub fn beginning(joined: bool) -> Self {
        Self(joined.then(|| Box::new(Answers::beginning(joined))))
    }

    /// Takes in what was answered during a tick.
    pub fn tick(&mut self, increment: &Increment, tick: &Tick) {
        if increment.is_empty() && self.0.is_none() {
            return;
        }
        let answers = self.0.get_or_insert_default();
        answers.tick(increment, tick);
        if answers.is_idle() {
            self.0 = None;
        }
    }

    pub fn get(&self) -> Option<&Answers> {
        self.0.as_deref()
    }
}

struct Cell {
    tick: u8,
    bucket: u16,
    count: u32,
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
                // Most have one or two.
                self.per_second.reserve_exact(1);
                self.per_second.insert(at, (*status, samples));
            }
        }
        self.per_second.retain_mut(|(status, samples)| {
            let count = answers.iter().find(|(it, _)| it == status);
            samples.push(tick.rate(count.map_or(0, |(_, count)| *count)));
            samples.peak() > 0.0
        });
        self.fail(increment.failed_calls(), tick);
        self.measure(increment);
        self.joined = false;
    }

    fn fail(&mut self, failed: u64, tick: &Tick) {
        if self.failed_calls.is_empty() && failed == 0 {
            return;
        }
        if self.failed_calls.is_empty() {
            self.failed_calls = Samples::beginning(self.joined);
        }
        self.failed_calls.push(tick.rate(failed));
        if self.failed_calls.peak() == 0.0 {
            self.failed_calls = Samples::default();
        }
    }

    fn measure(&mut self, increment: &Increment) {
        self.tick = self.tick.wrapping_add(1);
        while let Some(oldest) = self.cells.front()
            && usize::from(self.tick.wrapping_sub(oldest.tick)) >= RECENT
        {
            self.recent.remove(oldest.bucket, oldest.count.into());
            self.cells.pop_front();
        }
        for (bucket, count) in increment.series.iter().flat_map(|(_, it)| it.filled()) {
            let count = u32::try_from(count).unwrap_or(u32::MAX);
            self.recent.add(bucket, count.into());
            self.cells.push_back(Cell {
                tick: self.tick,
                bucket,
                count,
            });
        }
        let quantile = |q| quantile_ms(q, &self.recent);
        let measured = [
            quantile(0.5),
            quantile(0.9),
            quantile(0.99),
            max_ms(&self.recent),
        ];
        match measured {
            [Some(p50), Some(p90), Some(p99), Some(max)] => {
                self.latency.push([p50, p90, p99, max].map(|ms| ms as f32));
            }
            _ => self.latency = Window::default(),
        }
    }

    /// Whether the recent ticks have brought nothing.
    pub fn is_idle(&self) -> bool {
        self.per_second.is_empty() && self.failed_calls.is_empty() && self.cells.is_empty()
    }

    /// In the order of the codes.
    pub fn per_second(&self) -> Vec<(u16, Trend)> {
        let samples = self.per_second.iter();
        samples
            .map(|(status, samples)| (*status, samples.trend()))
            .collect()
    }

    /// gRPC calls that failed, if any did.
    pub fn failed_calls(&self) -> Option<Trend> {
        (!self.failed_calls.is_empty()).then(|| self.failed_calls.trend())
    }

    /// How long the requests took, if there were any.
    pub fn latency(&self) -> Option<Latency> {
        if self.latency.is_empty() {
            return None;
        }
        let [p50_ms, p90_ms, p99_ms, max_ms] =
            [0, 1, 2, 3].map(|it| Durations::of(self.latency.iter().map(|values| values[it])));
        Some(Latency {
            p50_ms,
            p90_ms,
            p99_ms,
            max_ms,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::model::series_key::{Method, Scheme, SeriesKey, Version};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Ticks one after the other, each as long as asked.
    #[derive(Default)]
    struct Ticks {
        answers: Answers,
    }

    impl Ticks {
        /// Each of `answered` is a status, how many, and how long each took, in microseconds.
        fn tick(&mut self, elapsed: Duration, answered: &[(u16, u64, u64)]) {
            let tick = Tick { elapsed };
            let series = answered.iter().map(|(status, count, us)| {
                let histogram = Histogram::of(*count, us * 1000);
                let key = SeriesKey {
                    method: Method::Get,
                    status: *status,
                    version: Version::V1_1,
                    scheme: Scheme::Http,
                };
                (key, histogram)
            });
            let increment = Increment {
                requests: 0,
                series: series.collect(),
                ..Increment::default()
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
        let assert_last = |ticks: &Ticks, expected: [f64; 4]| {
            let latency = ticks.answers.latency().unwrap();
            let told = [
                latency.p50_ms,
                latency.p90_ms,
                latency.p99_ms,
                latency.max_ms,
            ];
            for (told, expected) in told.iter().zip(expected) {
                let last = told.last().unwrap();
                assert!(
                    (last / expected - 1.0).abs() < 0.05,
                    "{told:?}, not {expected}"
                );
            }
        };
        ticks.tick(SECOND, &[(200, 50, 70)]);
        ticks.tick(
            SECOND,
            &[(200, 38, 8_000), (500, 10, 9_000), (500, 2, 120_000)],
        );
        assert_last(&ticks, [0.07, 9.0, 120.0, 120.0]);
        assert_eq!(ticks.answers.latency().unwrap().p50_ms.values.len(), 2);
        for _ in 2..RECENT {
            ticks.tick(SECOND, &[]);
        }
        assert_last(&ticks, [0.07, 9.0, 120.0, 120.0]);
        ticks.tick(SECOND, &[]);
        assert_last(&ticks, [8.0, 9.0, 120.0, 120.0]);
        assert!(!ticks.answers.is_idle());
        ticks.tick(SECOND, &[]);
        assert!(ticks.answers.is_idle());
        assert_eq!(ticks.answers.latency(), None);
    }

    #[test]
    fn ticks_without_an_end_leave_nothing_behind() {
        let mut ticks = Ticks::default();
        for _ in 0..1000 {
            ticks.tick(SECOND, &[(200, 3, 70), (200, 2, 900)]);
        }
        assert_eq!(ticks.answers.recent.count(), 5 * RECENT as u64);
        assert_eq!(ticks.answers.cells.len(), 2 * RECENT);
    }
}
