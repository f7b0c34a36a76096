// SPDX-License-Identifier: Apache-2.0
//! The values of something that is measured at each tick.

use std::collections::VecDeque;
use std::time::SystemTime;

use crate::model::snapshot::{Sample, Trend};

/// Samples that a snapshot lists, so that a missed poll leaves no gap.
pub const LISTED: usize = 5;

/// The last samples of something, oldest first.
#[derive(Default)]
pub struct Curve {
    samples: VecDeque<Sample>,
}

impl Curve {
    /// A curve that was zero at `date`: without that its first value has no beginning.
    pub fn from_zero(date: SystemTime) -> Self {
        let mut curve = Self::default();
        curve.push(date, 0.0, 1);
        curve
    }

    /// Adds a value, and forgets all but the last `remembered`.
    pub fn push(&mut self, date: SystemTime, value: f64, remembered: usize) {
        // A clock that was set back must not disturb the order.
        self.samples.retain(|older| older.date < date);
        self.samples.push_back(Sample { date, value });
        if self.samples.len() > remembered {
            self.samples.pop_front();
        }
    }

    /// The samples that a snapshot lists.
    pub fn listed(&self) -> VecDeque<Sample> {
        let unlisted = self.samples.len().saturating_sub(LISTED);
        self.samples.iter().skip(unlisted).copied().collect()
    }

    /// The highest value that is remembered; 0 if none is above it.
    pub fn peak(&self) -> f64 {
        self.values().fold(0.0, f64::max)
    }

    /// `None` where there is no value.
    pub fn trend(&self) -> Option<Trend> {
        (!self.samples.is_empty()).then(|| Trend {
            samples: self.listed(),
            peak: self.peak(),
            sum: self.values().sum(),
        })
    }

    fn values(&self) -> impl Iterator<Item = f64> {
        self.samples.iter().map(|sample| sample.value)
    }
}
