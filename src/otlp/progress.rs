// SPDX-License-Identifier: Apache-2.0
//! What the collector has, so that only what has come since is pushed, where it wants that. What it has not acknowledged is a part of
//! the next push.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::model::histogram::Histogram;
use crate::model::tick::Moment;
use crate::otlp::points::{Point, Value};
use crate::otlp::settings::Temporality;
use crate::prometheus::family::Number;

/// What is first seen was 0 a tick before.
const TICK: Duration = Duration::from_secs(1);

/// What the collector was told of one point.
pub struct Told {
    value: Total,
    since: Option<Instant>,
    /// Nanoseconds since 1970.
    at: u64,
    push: u64,
}

enum Total {
    Count(Number),
    Durations(Histogram),
}

/// What there is to tell of one.
pub enum News {
    Gauge(f64),
    Count(Number),
    Durations(Histogram),
}

pub struct Progress {
    temporality: Temporality,
    /// When the agent began, on both clocks: the starts of counters stay as they were said to be, whoever sets one of them.
    start: Moment,
    told: BTreeMap<String, Told>,
    push: u64,
}

impl Progress {
    pub fn new(temporality: Temporality, start: Moment) -> Self {
        Self {
            temporality,
            start,
            told: BTreeMap::new(),
            push: 0,
        }
    }

    pub fn temporality(&self) -> Temporality {
        self.temporality
    }

    pub fn begin(&mut self) {
        self.push += 1;
    }

    /// What is not told this time is still there.
    pub fn pass(&mut self, key: &str) {
        if let Some(told) = self.told.get_mut(key) {
            told.push = self.push;
        }
    }

    /// All has been told or passed: what was not there any more is forgotten.
    pub fn end(&mut self) {
        let push = self.push;
        self.told.retain(|_, told| told.push == push);
    }

    fn begun(&self, since: Option<Instant>) -> SystemTime {
        let since = since.map_or(Duration::ZERO, |since| {
            since
                .saturating_duration_since(self.start.instant)
                .saturating_sub(TICK)
        });
        self.start.date + since
    }

    /// What is new of a point since when, if there is anything; and what the collector is told by that.
    pub fn news(
        &mut self,
        point: &Point<'_>,
        now: SystemTime,
    ) -> Option<(u64, News, Option<Told>)> {
        let now = nanos(now);
        let begun = nanos(self.begun(point.since)).min(now);
        let total = match point.value {
            Value::Gauge(value) => return Some((begun, News::Gauge(value), None)),
            Value::Count(number) => Total::Count(number),
            Value::Durations(durations) => Total::Durations(durations.clone()),
        };
        if self.temporality == Temporality::Cumulative {
            return Some((begun, total.whole(), None));
        }
        let push = self.push;
        let known = self.told.get_mut(&point.key);
        // One that has begun anew is another one.
        let known = known.filter(|it| it.since == point.since && !total.is_less(&it.value));
        let (from, news) = match known {
            Some(told) => {
                told.push = push;
                (told.at, total.minus(&told.value))
            }
            None => (begun, total.whole()),
        };
        if news.is_nothing() {
            return None;
        }
        let told = Told {
            value: total,
            since: point.since,
            at: now,
            push,
        };
        Some((from.min(now), news, Some(told)))
    }

    pub fn acknowledged(&mut self, told: Vec<(String, Told)>) {
        self.told.extend(told);
    }
}

impl Total {
    fn whole(&self) -> News {
        match self {
            Self::Count(number) => News::Count(*number),
            Self::Durations(durations) => News::Durations(durations.clone()),
        }
    }

    fn is_less(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Count(a), Self::Count(b)) => a.real() < b.real(),
            (Self::Durations(a), Self::Durations(b)) => {
                a.sum_ns < b.sum_ns || a.count() < b.count()
            }
            _ => true,
        }
    }

    fn minus(&self, other: &Self) -> News {
        match (self, other) {
            (Self::Count(Number::Whole(a)), Self::Count(Number::Whole(b))) => {
                News::Count(Number::Whole(a - b))
            }
            (Self::Count(a), Self::Count(b)) => News::Count(Number::Real(a.real() - b.real())),
            (Self::Durations(a), Self::Durations(b)) => {
                let mut news = a.clone();
                for (bucket, count) in b.filled() {
                    news.remove(bucket, count);
                }
                news.sum_ns -= b.sum_ns;
                News::Durations(news)
            }
            _ => self.whole(),
        }
    }
}

impl News {
    fn is_nothing(&self) -> bool {
        match self {
            Self::Gauge(_) => false,
            Self::Count(number) => number.real() == 0.0,
            Self::Durations(durations) => durations.count() == 0,
        }
    }
}

pub fn nanos(date: SystemTime) -> u64 {
    let since = date.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1000 + seconds)
    }

    fn progress(temporality: Temporality) -> Progress {
        let start = Moment {
            instant: Instant::now(),
            date: at(0),
        };
        Progress::new(temporality, start)
    }

    fn point<'a>(value: Value<'a>, since: Option<Instant>) -> Point<'a> {
        Point {
            name: Cow::Borrowed("name"),
            unit: "",
            description: "",
            attributes: Vec::new(),
            value,
            since,
            key: "name".to_owned(),
        }
    }

    /// A push of a counter at this time, and whether it is acknowledged: from when on, and how many.
    fn push(progress: &mut Progress, total: u64, second: u64, taken: bool) -> Option<(u64, u64)> {
        progress.begin();
        let point = point(Value::Count(Number::Whole(total)), None);
        let news = progress.news(&point, at(second));
        let (from, news, told) = news?;
        if let (true, Some(told)) = (taken, told) {
            progress.acknowledged(vec![("name".to_owned(), told)]);
            progress.end();
        }
        let News::Count(Number::Whole(count)) = news else {
            panic!("a counter is none");
        };
        Some((from / 1_000_000_000 - 1000, count))
    }

    #[test]
    fn what_was_not_acknowledged_is_a_part_of_the_next() {
        let mut delta = progress(Temporality::Delta);
        assert_eq!(push(&mut delta, 7, 10, true), Some((0, 7)));
        assert_eq!(push(&mut delta, 18, 20, false), Some((10, 11)));
        assert_eq!(push(&mut delta, 31, 30, true), Some((10, 24)));
        assert_eq!(push(&mut delta, 31, 40, true), None);
        assert_eq!(push(&mut delta, 48, 50, true), Some((30, 17)));
        // It has begun anew.
        assert_eq!(push(&mut delta, 3, 60, true), Some((0, 3)));
        let mut cumulative = progress(Temporality::Cumulative);
        assert_eq!(push(&mut cumulative, 7, 10, true), Some((0, 7)));
        assert_eq!(push(&mut cumulative, 7, 20, false), Some((0, 7)));
        assert_eq!(push(&mut cumulative, 31, 30, true), Some((0, 31)));
    }

    #[test]
    fn durations_are_taken_from_each_other_by_bucket() {
        let mut delta = progress(Temporality::Delta);
        let mut total = Histogram::of(3, 120_000_000);
        let since = Some(Instant::now());
        let mut news = |total: &Histogram, second| {
            delta.begin();
            let point = point(Value::Durations(total), since);
            let (_, news, told) = delta.news(&point, at(second))?;
            delta.acknowledged(vec![("name".to_owned(), told.unwrap())]);
            delta.end();
            match news {
                News::Durations(news) => Some(news),
                _ => panic!("durations are none"),
            }
        };
        assert_eq!(news(&total, 1), Some(Histogram::of(3, 120_000_000)));
        assert_eq!(news(&total, 2), None);
        total += &Histogram::of(5, 99_999);
        total += &Histogram::of(2, 120_000_000);
        let mut expected = Histogram::of(5, 99_999);
        expected += &Histogram::of(2, 120_000_000);
        assert_eq!(news(&total, 3), Some(expected));
    }

    #[test]
    fn what_is_gone_is_forgotten_and_the_start_of_a_counter_stays() {
        let mut delta = progress(Temporality::Delta);
        push(&mut delta, 7, 10, true);
        delta.begin();
        delta.pass("name");
        delta.end();
        assert_eq!(delta.told.len(), 1);
        delta.begin();
        delta.end();
        assert!(delta.told.is_empty());
        let mut cumulative = progress(Temporality::Cumulative);
        let since = cumulative.start.instant + Duration::from_secs(31);
        let value = Value::Count(Number::Whole(1));
        let mut start = |now| cumulative.news(&point(value, Some(since)), now).unwrap().0;
        assert_eq!(start(at(40)), nanos(at(30)));
        assert_eq!(start(at(50)), nanos(at(30)));
        // A clock that was set back.
        assert_eq!(start(at(3)), nanos(at(3)));
    }
}
