// SPDX-License-Identifier: Apache-2.0
//! What is added up: requests, and answers by their kind.

use std::time::Instant;

use crate::model::counters::GrpcStatus;
use crate::model::histogram::Histogram;
use crate::model::series_key::SeriesKey;

/// What one tick has brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Increment {
    pub requests: u64,
    /// Of those series only that have grown.
    pub series: Vec<(SeriesKey, Histogram)>,
    /// The same of gRPC calls, each of which has an answer as well.
    pub calls: Vec<(GrpcStatus, Histogram)>,
    /// Connections of TLS that cannot be seen into.
    pub tls_unseen: u64,
}

impl Increment {
    pub fn is_empty(&self) -> bool {
        let nothing_answered = self.series.is_empty() && self.calls.is_empty();
        self.requests == 0 && nothing_answered && self.tls_unseen == 0
    }

    /// Requests answered, by status code.
    pub fn answers(&self) -> Vec<(u16, u64)> {
        let mut answers: Vec<(u16, u64)> = Vec::with_capacity(self.series.len());
        for (key, histogram) in &self.series {
            let count = histogram.count();
            match answers.iter_mut().find(|(status, _)| *status == key.status) {
                Some((_, sum)) => *sum += count,
                None => answers.push((key.status, count)),
            }
        }
        answers
    }

    /// gRPC calls with another status than OK.
    pub fn failed_calls(&self) -> u64 {
        let failed = self.calls.iter().filter(|(status, _)| *status > 0);
        failed.map(|(_, histogram)| histogram.count()).sum()
    }

    /// Of all requests answered.
    pub fn durations(&self) -> Histogram {
        let mut durations = Histogram::default();
        for (_, histogram) in &self.series {
            durations += histogram;
        }
        durations
    }

    /// To a sum that has come about by this alone: what is of the same kind becomes one, however many are added.
    pub fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.tls_unseen += other.tls_unseen;
        add_by_kind(&mut self.series, &other.series);
        add_by_kind(&mut self.calls, &other.calls);
    }

    pub fn append(&mut self, other: Self) {
        if self.is_empty() {
            *self = other;
            return;
        }
        self.requests += other.requests;
        self.tls_unseen += other.tls_unseen;
        self.series.extend(other.series);
        self.calls.extend(other.calls);
    }
}

/// The sums are in the order of their kinds, of which a host has some ten thousand if somebody tries.
fn add_by_kind<K: Copy + Ord>(sums: &mut Vec<(K, Histogram)>, others: &[(K, Histogram)]) {
    for (kind, durations) in others {
        match sums.binary_search_by_key(kind, |it| it.0) {
            Ok(at) => sums[at].1 += durations,
            Err(at) => sums.insert(at, (*kind, durations.clone())),
        }
    }
}

/// Kinds of answers that are told apart, by the programs as well (`HTTP_KINDS`); all others are one.
pub const KINDS: usize = 64;

/// All that there has ever been. No number in it goes back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub requests: u64,
    /// In the order of the keys.
    pub series: Vec<Series>,
    /// In the order of the statuses.
    pub calls: Vec<Calls>,
    /// Connections of TLS that cannot be seen into.
    pub tls_unseen: u64,
}

/// gRPC calls that have come to the same end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Calls {
    pub status: GrpcStatus,
    pub durations: Histogram,
    pub since: Instant,
}

/// Requests that were answered alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series {
    pub key: SeriesKey,
    pub durations: Histogram,
    /// When the first was seen.
    pub since: Instant,
}

impl Totals {
    pub fn add(&mut self, increment: &Increment, now: Instant) {
        self.requests += increment.requests;
        self.tls_unseen += increment.tls_unseen;
        for (key, durations) in &increment.series {
            self.add_series(key, durations, now);
        }
        for (status, durations) in &increment.calls {
            self.add_calls(*status, durations, now);
        }
    }

    pub fn add_all(&mut self, other: &Self) {
        self.requests += other.requests;
        self.tls_unseen += other.tls_unseen;
        for series in &other.series {
            self.add_series(&series.key, &series.durations, series.since);
        }
        for calls in &other.calls {
            self.add_calls(calls.status, &calls.durations, calls.since);
        }
    }

    /// There are as many as gRPC has statuses.
    fn add_calls(&mut self, status: GrpcStatus, durations: &Histogram, since: Instant) {
        match self.calls.binary_search_by_key(&status, |it| it.status) {
            Ok(at) => {
                let calls = &mut self.calls[at];
                calls.durations += durations;
                calls.since = calls.since.min(since);
            }
            Err(at) => {
                let calls = Calls {
                    status,
                    durations: durations.clone(),
                    since,
                };
                self.calls.insert(at, calls);
            }
        }
    }

    /// One that is known stays what it is; of new ones there is only so much room, as in the kernel.
    fn add_series(&mut self, key: &SeriesKey, durations: &Histogram, since: Instant) {
        let find = |key: &SeriesKey| self.series.binary_search_by(|it| it.key.cmp(key));
        // Which is none of the kinds, whenever it has come.
        let is_full = || self.series.len() - usize::from(find(&SeriesKey::OTHER).is_ok()) >= KINDS;
        let (key, found) = match find(key) {
            Err(_) if self.series.len() >= KINDS && is_full() => {
                (&SeriesKey::OTHER, find(&SeriesKey::OTHER))
            }
            found => (key, found),
        };
        match found {
            Ok(at) => {
                let series = &mut self.series[at];
                series.durations += durations;
                series.since = series.since.min(since);
            }
            Err(at) => {
                let series = Series {
                    key: *key,
                    durations: durations.clone(),
                    since,
                };
                // Most have one kind or two: room for more would be most of what is kept of them.
                self.series.reserve_exact(1);
                self.series.insert(at, series);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::model::series_key::{Method, Scheme, Version};

    use super::*;

    fn answered(status: u16, count: u64) -> (SeriesKey, Histogram) {
        let key = SeriesKey {
            method: Method::Get,
            status,
            version: Version::V1_1,
            scheme: Scheme::Http,
        };
        (key, Histogram::of(count, 7))
    }

    #[test]
    fn totals_grow_by_kind_and_stay_in_order() {
        let mut totals = Totals::default();
        for series in [
            vec![answered(404, 3)],
            vec![answered(200, 5), answered(404, 2)],
            vec![answered(500, 11)],
        ] {
            let increment = Increment {
                requests: 13,
                series,
                tls_unseen: 3,
                ..Increment::default()
            };
            assert!(!increment.is_empty());
            totals.add(&increment, Instant::now());
        }
        let mut twice = totals.clone();
        twice.add_all(&totals);
        assert_eq!((twice.requests, twice.tls_unseen), (2 * 39, 2 * 9));
        let counts = |totals: &Totals| -> Vec<_> {
            let series = totals.series.iter();
            series
                .map(|it| (it.key.status, it.durations.count(), it.durations.sum_ns))
                .collect()
        };
        assert_eq!(counts(&totals), [(200, 5, 35), (404, 5, 35), (500, 11, 77)]);
        assert_eq!(
            counts(&twice),
            [(200, 10, 70), (404, 10, 70), (500, 22, 154)]
        );
    }

    #[test]
    fn kinds_have_a_bound_and_nothing_is_lost_beyond() {
        let mut totals = Totals::default();
        for _ in 0..2 {
            for status in 200..400 {
                let increment = Increment {
                    requests: 1,
                    series: vec![answered(status, 3)],
                    ..Increment::default()
                };
                totals.add(&increment, Instant::now());
            }
        }
        assert_eq!(totals.series.len(), KINDS + 1);
        let other = &totals
            .series
            .iter()
            .find(|it| it.key == SeriesKey::OTHER)
            .unwrap();
        assert_eq!(other.durations.count(), 2 * 3 * (200 - KINDS as u64));
        let all = totals.series.iter().map(|it| it.durations.count());
        assert_eq!(all.sum::<u64>(), 1200);
    }

    #[test]
    fn the_rest_is_no_kind_whenever_it_comes() {
        let mut totals = Totals::default();
        let kinds = (200..).take(KINDS).map(|status| answered(status, 1));
        let rest = (SeriesKey::OTHER, Histogram::of(5, 7));
        let increment = Increment {
            series: std::iter::once(rest).chain(kinds).collect(),
            ..Increment::default()
        };
        totals.add(&increment, Instant::now());
        let counts = totals.series.iter().map(|it| it.durations.count());
        assert_eq!(counts.filter(|it| *it == 1).count(), KINDS);
        assert_eq!(totals.series.len(), KINDS + 1);
    }
}
