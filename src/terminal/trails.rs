// SPDX-License-Identifier: Apache-2.0
//! What the rate of each row has been of late.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, SystemTime};

use crate::api::document::Document;
use crate::terminal::rows::{By, Row, rows};

/// Values of each: as many as the widest terminal has columns.
const REMEMBERED: usize = 300;

#[derive(Default)]
pub struct Trails {
    /// Of the latest document.
    date: Option<SystemTime>,
    all: BTreeMap<String, VecDeque<f64>>,
}

impl Trails {
    /// What was before the first document.
    pub fn begin(&mut self, last_minute: Vec<(String, Vec<f64>)>) {
        for (key, rates) in last_minute {
            self.all.insert(key, rates.into());
        }
    }

    /// Takes in a document: a value for each second since the one before, as far as it tells.
    pub fn push(&mut self, document: &Document) {
        let date = humantime::parse_rfc3339(&document.date).ok();
        let known = self
            .date
            .and_then(|before| date?.duration_since(before).ok());
        let ticks = known.map(|it| (it + Duration::from_millis(500)).as_secs() as usize);
        self.date = date;
        let mut all = BTreeMap::new();
        for row in [By::Process, By::Workload, By::Place]
            .into_iter()
            .flat_map(|by| rows(document, by))
        {
            let recent = &row.traffic.recent_requests_per_second;
            let mut trail = self.all.remove(&row.key).unwrap_or_default();
            // Of the first document all is new that is not in the last minute.
            let new = match ticks {
                Some(ticks) if !trail.is_empty() => ticks.min(recent.len()),
                None if !trail.is_empty() => 0,
                _ => recent.len(),
            };
            trail.extend(&recent[recent.len() - new..]);
            let surplus = trail.len().saturating_sub(REMEMBERED);
            trail.drain(..surplus);
            all.insert(row.key, trail);
        }
        self.all = all;
    }

    /// The latest values, oldest first.
    pub fn of(&self, row: &Row, count: usize) -> impl Iterator<Item = f64> {
        let trail = self.all.get(&row.key);
        let skipped = trail.map_or(0, |it| it.len().saturating_sub(count));
        trail.into_iter().flatten().skip(skipped).copied()
    }
}

#[cfg(test)]
mod tests {
    use crate::api::document::{Process, Traffic};

    use super::*;

    fn document(date: &str, recent: &[f64]) -> Document {
        let process = Process {
            id: "7.1".to_owned(),
            traffic: Traffic {
                recent_requests_per_second: recent.to_vec(),
                ..Traffic::default()
            },
            ..Process::default()
        };
        Document {
            date: format!("2026-11-28T17:00:{date}Z"),
            processes: vec![process],
            ..Document::default()
        }
    }

    fn seen(trails: &Trails) -> Vec<f64> {
        let row = Row {
            key: "7.1".to_owned(),
            ..Row::default()
        };
        trails.of(&row, 4).collect()
    }

    #[test]
    fn each_second_is_in_it_once() {
        let mut trails = Trails::default();
        trails.push(&document("01.000", &[0.0, 1.0]));
        assert_eq!(seen(&trails), [0.0, 1.0]);
        trails.push(&document("01.000", &[0.0, 1.0]));
        trails.push(&document("03.004", &[0.0, 1.0, 2.0, 3.0]));
        assert_eq!(seen(&trails), [0.0, 1.0, 2.0, 3.0]);
        trails.push(&document("03.996", &[1.0, 2.0, 3.0, 4.0]));
        assert_eq!(seen(&trails), [1.0, 2.0, 3.0, 4.0]);
        // What has gone is forgotten.
        trails.push(&Document::default());
        assert_eq!(seen(&trails), [0.0; 0]);
    }

    #[test]
    fn goes_on_from_what_was_before() {
        let mut trails = Trails::default();
        trails.begin(vec![("7.1".to_owned(), vec![8.0, 9.0])]);
        trails.push(&document("01.000", &[8.0, 9.0]));
        trails.push(&document("02.000", &[8.0, 9.0, 7.0]));
        assert_eq!(seen(&trails), [8.0, 9.0, 7.0]);
    }
}
