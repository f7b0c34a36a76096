// SPDX-License-Identifier: Apache-2.0
//! What is remembered of a row: its last minute, and the hour before more coarsely.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::model::increment::Increment;
use crate::model::tick::rate;
use crate::model::window::Window;
use crate::page::heat::Heat;
use crate::page::stretch::{Stretch, rounded};
use crate::page::track::{REMEMBERED, Track};
use crate::page::view::Point;

/// Ticks of a minute.
const MINUTE: u64 = 60;

/// The time up to now, which is the same for all rows.
#[derive(Default)]
pub struct Ages {
    /// Since the first snapshot.
    pub tick: u64,
    /// Of the latest one, in milliseconds since 1970.
    pub date: u64,
    /// How long the last ticks were.
    seconds: Window<Duration, REMEMBERED>,
    minutes: Window<Duration, REMEMBERED>,
}

impl Ages {
    /// Whether a minute is over.
    pub fn push(&mut self, elapsed: Duration) -> bool {
        self.tick += 1;
        self.seconds.push(elapsed);
        let is_over = self.tick.is_multiple_of(MINUTE);
        if is_over {
            self.minutes.push(self.seconds.iter().sum());
        }
        is_over
    }

    /// The latest one that is over; the first has the number 1.
    fn minute(&self) -> u64 {
        self.tick / MINUTE
    }

    pub fn seconds(&self) -> Vec<Duration> {
        self.seconds.iter().copied().collect()
    }

    /// Of the latest tick.
    pub fn elapsed(&self) -> Duration {
        self.seconds.iter().last().copied().unwrap_or_default()
    }
}

pub struct Past {
    seconds: Track,
    minutes: Track,
    /// Of the seconds that are remembered. It is asked of each row each second, and to look at all of its seconds takes long.
    sums: Sums,
    /// The latest tick that has brought something, or the first.
    changed: u64,
    /// Requests received in that.
    latest: u64,
}

#[derive(Default)]
struct Sums {
    requests: u64,
    failed_calls: u64,
    /// By status, in their order.
    answers: Vec<(u16, u64)>,
}

impl Sums {
    fn add(&mut self, second: &Stretch) {
        self.requests += second.requests;
        self.failed_calls += second.failed_calls;
        for (status, count) in &second.answers {
            match self.answers.binary_search_by_key(status, |it| it.0) {
                Ok(at) => self.answers[at].1 += count,
                Err(at) => {
                    // Most have one or two.
                    self.answers.reserve_exact(1);
                    self.answers.insert(at, (*status, *count));
                }
            }
        }
    }

    fn remove(&mut self, second: &Stretch) {
        self.requests -= second.requests;
        self.failed_calls -= second.failed_calls;
        for (status, count) in &second.answers {
            if let Ok(at) = self.answers.binary_search_by_key(status, |it| it.0) {
                self.answers[at].1 -= count;
            }
        }
        self.answers.retain(|(_, count)| *count > 0);
        if self.answers.is_empty() {
            self.answers.shrink_to_fit();
        }
    }
}

/// What is shown of a minute or an hour, oldest first.
#[derive(Serialize)]
pub struct Points {
    pub points: Vec<Point>,
    pub heat: Vec<Heat>,
}

impl Past {
    pub fn new(tick: u64) -> Self {
        Self {
            seconds: Track::new(tick),
            minutes: Track::new(tick.div_ceil(MINUTE).max(1)),
            sums: Sums::default(),
            changed: tick,
            latest: 0,
        }
    }

    /// Takes in what a tick has brought.
    pub fn push(&mut self, increment: &Increment, tick: u64) {
        self.forget(tick);
        let second = Stretch::new(increment, tick);
        self.sums.add(&second);
        self.seconds.push(&second);
        (self.changed, self.latest) = (tick, second.requests);
    }

    /// Forgets what was more than a minute before a tick. To be called before that is looked at, and once in two minutes at least.
    pub fn forget(&mut self, tick: u64) {
        let sums = &mut self.sums;
        self.seconds.forget(tick, |second| sums.remove(&second));
    }

    /// Adds the minute that is over to the hour, if there is room for that or it has had some. Returns whether it has an hour.
    pub fn end_minute(&mut self, ages: &Ages, has_room: bool) -> bool {
        let minute = ages.minute();
        self.forget(ages.tick);
        self.minutes.forget(minute, drop);
        if !self.seconds.is_empty() && (has_room || !self.minutes.is_empty()) {
            let seconds = self.seconds.latest(ages.tick, REMEMBERED);
            self.minutes.push(&Stretch::sum(&seconds, minute));
        }
        !self.minutes.is_empty()
    }

    /// Requests received in the last minute.
    pub fn requests(&self) -> u64 {
        self.sums.requests
    }

    /// Whether something is not as it was one tick ago: what has just left the last minute, too.
    pub fn is_changing(&self, tick: u64) -> bool {
        tick - self.changed <= REMEMBERED as u64
    }

    /// Of heap memory.
    pub fn bytes(&self) -> usize {
        let answers = self.sums.answers.capacity() * size_of::<(u16, u64)>();
        self.seconds.bytes() + self.minutes.bytes() + answers
    }

    /// Received in a tick, which is the latest.
    pub fn requests_in(&self, tick: u64) -> u64 {
        if self.changed == tick { self.latest } else { 0 }
    }

    /// Of the last minute.
    pub fn answers(&self) -> BTreeMap<u16, u64> {
        self.sums.answers.iter().copied().collect()
    }

    /// gRPC calls of the last minute with another status than OK.
    pub fn failed_calls(&self) -> u64 {
        self.sums.failed_calls
    }

    /// Requests in each of the last seconds, or in the last one alone.
    pub fn rates(&self, ages: &Ages, all: bool) -> Vec<f64> {
        if !all {
            return vec![rounded(rate(self.requests_in(ages.tick), ages.elapsed()))];
        }
        let each = |it: &Stretch, elapsed| rounded(rate(it.requests, elapsed));
        self.seconds.each(ages.tick, &ages.seconds(), each)
    }

    pub fn seconds(&self, ages: &Ages) -> Points {
        let elapsed = ages.seconds();
        Points {
            points: self.seconds.each(ages.tick, &elapsed, Stretch::point),
            heat: (self.seconds).each(ages.tick, &elapsed, |it, _| it.heat.clone()),
        }
    }

    /// The last one is what there is of a minute that is not over.
    pub fn minutes(&self, ages: &Ages) -> Points {
        let elapsed: Vec<_> = ages.minutes.iter().copied().collect();
        let minute = ages.minute();
        let mut minutes = Points {
            points: self.minutes.each(minute, &elapsed, Stretch::point),
            heat: (self.minutes).each(minute, &elapsed, |it, _| it.heat.clone()),
        };
        let begun = (ages.tick % MINUTE) as usize;
        if begun > 0 {
            let elapsed = ages.seconds().into_iter().rev().take(begun).sum();
            let seconds = self.seconds.latest(ages.tick, begun);
            let sum = Stretch::sum(&seconds, minute + 1);
            minutes.points.push(sum.point(elapsed));
            minutes.heat.push(sum.heat);
            let surplus = minutes.points.len().saturating_sub(REMEMBERED);
            minutes.points.drain(..surplus);
            minutes.heat.drain(..surplus);
        }
        minutes
    }
}

#[cfg(test)]
mod tests {
    use crate::model::histogram::Histogram;
    use crate::model::series_key::SeriesKey;

    use super::*;

    fn increment() -> Increment {
        let answered = |status, count, ns| {
            let key = SeriesKey {
                status,
                ..SeriesKey::OTHER
            };
            (key, Histogram::of(count, ns))
        };
        Increment {
            requests: 107,
            series: vec![answered(200, 101, 3_000_000), answered(404, 6, 900_000)],
            ..Increment::default()
        }
    }

    /// Ticks of a second, of which the first so many have brought something.
    fn past(ages: &mut Ages, busy: u64, ticks: u64) -> Past {
        let mut past = Past::new(1);
        for _ in 0..ticks {
            let is_over = ages.push(Duration::from_secs(1));
            if ages.tick <= busy {
                past.push(&increment(), ages.tick);
            }
            if is_over {
                past.end_minute(ages, true);
            }
        }
        past
    }

    /// Of which there is one for each process, whether anybody looks or not.
    #[test]
    fn a_busy_minute_takes_some_hundred_bytes_an_hour_twice_as_many_and_an_idle_one_none() {
        let past_of = |busy, ticks| past(&mut Ages::default(), busy, ticks);
        let minute = past_of(59, 59);
        assert_eq!(minute.requests(), 59 * 107);
        let seconds = minute.seconds.latest(59, REMEMBERED).len();
        assert_eq!((seconds, minute.minutes.is_empty()), (59, true));
        assert!((300..1400).contains(&minute.bytes()), "{}", minute.bytes());
        let hour = past_of(3660, 3660);
        assert!(hour.bytes() < 3200, "{}", hour.bytes());
        let idle = past_of(60, 7260);
        assert_eq!((idle.requests(), idle.bytes()), (0, 0));
    }

    #[test]
    fn an_hour_has_what_its_minutes_had() {
        let mut ages = Ages::default();
        let past = past(&mut ages, 150, 190);
        let minutes = past.minutes(&ages);
        let rates: Vec<_> = minutes.points.iter().map(|it| it.requests).collect();
        assert_eq!(rates, [107.0, 107.0, 53.5, 0.0]);
        assert_eq!(minutes.points[0].answers, [0.0, 101.0, 0.0, 6.0, 0.0]);
        let p50 = minutes.points[0].p50_ms.unwrap();
        assert!((2.4..3.6).contains(&p50), "{p50}");
        let answered = |heat: &Heat| heat.iter().map(|(_, count)| count).sum::<u64>();
        let heat: Vec<_> = minutes.heat.iter().map(answered).collect();
        assert_eq!(heat, [60 * 107, 60 * 107, 30 * 107, 0]);
        assert_eq!(past.seconds(&ages).points.len(), 60);
    }

    #[test]
    fn what_is_more_than_an_hour_old_is_forgotten() {
        let mut ages = Ages::default();
        let past = past(&mut ages, 60, 61 * 60);
        assert_eq!(past.minutes(&ages).points.len(), REMEMBERED);
        assert!(
            past.minutes(&ages)
                .points
                .iter()
                .all(|it| it.requests == 0.0)
        );
        assert!(past.minutes.is_empty());
    }

    #[test]
    fn where_there_is_no_room_there_is_no_hour() {
        let mut ages = Ages::default();
        let mut past = past(&mut ages, 59, 59);
        ages.push(Duration::from_secs(1));
        assert!(!past.end_minute(&ages, false));
        assert!(past.minutes.is_empty() && !past.seconds.is_empty());
        assert!(past.end_minute(&ages, true));
        assert!(past.end_minute(&ages, false));
    }
}
