// SPDX-License-Identifier: Apache-2.0
//! When the last ticks were, for those who know the time by the clock on the wall.
//!
//! That clock may be set. Then what was before is told as if it had been so all the time: values stay as far apart as they
//! were. As long as nobody sets it a tick keeps its date, by which Weave Scope knows a value that it has seen already.

use std::time::{Duration, SystemTime};

use crate::model::tick::{Moment, Tick};
use crate::model::window::{LISTED, Window};

/// By how much the clocks differ where nobody has set one: they are not read in the same moment, and one is slewed.
const APART: Duration = Duration::from_millis(20);

pub struct Dates {
    ticks: Window<SystemTime, LISTED>,
    previous: Moment,
}

impl Dates {
    pub fn new(start: Moment) -> Self {
        let mut ticks = Window::default();
        ticks.push(start.date);
        Self {
            ticks,
            previous: start,
        }
    }

    pub fn tick(&mut self, now: Moment) -> Tick {
        let tick = Tick {
            elapsed: now.instant.saturating_duration_since(self.previous.instant),
        };
        let expected = self.previous.date + tick.elapsed;
        match now.date.duration_since(expected) {
            Ok(ahead) if ahead > APART => self.ticks.iter_mut().for_each(|date| *date += ahead),
            Err(behind) if behind.duration() > APART => {
                let behind = behind.duration();
                self.ticks.iter_mut().for_each(|date| *date -= behind);
            }
            _ => {}
        }
        self.ticks.push(now.date);
        self.previous = now;
        tick
    }

    /// Oldest first.
    pub fn listed(&self) -> Vec<SystemTime> {
        self.ticks.iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Instant, UNIX_EPOCH};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn after(start: Moment, seconds: u32) -> Moment {
        Moment {
            instant: start.instant + seconds * SECOND,
            date: start.date + seconds * SECOND,
        }
    }

    fn start() -> (Dates, Moment) {
        let start = Moment {
            instant: Instant::now(),
            date: UNIX_EPOCH + 10_000 * SECOND,
        };
        (Dates::new(start), start)
    }

    #[test]
    fn a_tick_keeps_its_date_although_clocks_are_not_read_at_once() {
        let (mut dates, start) = start();
        let mut expected = vec![start.date];
        for second in 1..=4 {
            let mut now = after(start, second);
            now.date += Duration::from_micros(u64::from(37 * second % 50));
            expected.push(now.date);
            let tick = dates.tick(now);
            assert_eq!(tick.elapsed, SECOND);
            assert_eq!(dates.listed(), expected);
        }
        dates.tick(after(start, 5));
        assert_eq!(dates.listed()[..4], expected[1..]);
    }

    #[test]
    fn a_rate_times_its_time_is_what_was_counted_whatever_the_clock_says() {
        let (mut dates, start) = start();
        let mut now = start;
        let counted = [101, 0, 211, 307, 53];
        // Ahead by a day, back behind the start, and to where it was.
        let mut offsets = [0, 86_400, -100_000, 0, 0].into_iter();
        let mut rates = Vec::new();
        for (count, late) in counted.into_iter().zip([0, 300, 7000, 0, 150]) {
            let elapsed = SECOND + Duration::from_millis(late);
            now.instant += elapsed;
            now.date += elapsed;
            let mut told = now;
            let offset: i64 = offsets.next().unwrap();
            let by = Duration::from_secs(offset.unsigned_abs());
            told.date = if offset < 0 {
                now.date - by.min(9_000 * SECOND)
            } else {
                now.date + by
            };
            rates.push(dates.tick(told).rate(count));
            let listed = dates.listed();
            assert_eq!(listed.last(), Some(&told.date));
            // The oldest date that is listed is where the first rate of the rest began.
            let known = listed.len() - 1;
            let pairs = listed.windows(2).zip(&rates[rates.len() - known..]);
            for ((pair, rate), count) in pairs.zip(&counted[rates.len() - known..]) {
                let time = pair[1].duration_since(pair[0]).unwrap().as_secs_f64();
                assert!((rate * time - *count as f64).abs() < 0.001);
            }
        }
    }

    #[test]
    fn a_clock_that_is_set_keeps_the_distances() {
        let (mut dates, start) = start();
        dates.tick(after(start, 1));
        let hour = Duration::from_secs(3600);
        for (second, is_later) in [(2, true), (3, true), (4, false)] {
            let mut now = after(start, second);
            if is_later {
                now.date += hour;
            } else {
                now.date -= hour;
            }
            dates.tick(now);
            let listed = dates.listed();
            assert_eq!(listed.last(), Some(&now.date));
            for pair in listed.windows(2) {
                assert_eq!(pair[1].duration_since(pair[0]).unwrap(), SECOND);
            }
        }
    }
}
