// SPDX-License-Identifier: Apache-2.0
//! The last values of something, of which there is one for each tick.

use std::collections::VecDeque;
use std::time::SystemTime;

use crate::model::snapshot::{Sample, Trend};

/// Samples that a snapshot lists, so that a missed poll leaves no gap.
pub const LISTED: usize = 5;

/// No more than the last `LENGTH` values, oldest first.
pub struct Window<T, const LENGTH: usize> {
    values: VecDeque<T>,
}

impl<T, const LENGTH: usize> Default for Window<T, LENGTH> {
    fn default() -> Self {
        Self {
            values: VecDeque::new(),
        }
    }
}

impl<T, const LENGTH: usize> Window<T, LENGTH> {
    /// Adds the latest value, and returns the oldest one where there is no more room for it.
    pub fn push(&mut self, value: T) -> Option<T> {
        let oldest = if self.values.len() < LENGTH {
            None
        } else {
            self.values.pop_front()
        };
        self.values.push_back(value);
        oldest
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = &T> {
        self.values.iter()
    }

    pub fn latest(&self) -> Option<&T> {
        self.values.back()
    }
}

impl<const LENGTH: usize> Window<Sample, LENGTH> {
    /// Samples of something that was zero at `date`: without that its first value has no beginning.
    pub fn from_zero(date: SystemTime) -> Self {
        let mut samples = Self::default();
        samples.push_at(date, 0.0);
        samples
    }

    pub fn push_at(&mut self, date: SystemTime, value: f64) {
        // A clock that was set back must not disturb the order.
        self.values.retain(|older| older.date < date);
        self.push(Sample { date, value });
    }

    /// The samples that a snapshot lists.
    pub fn listed(&self) -> VecDeque<Sample> {
        let unlisted = self.values.len().saturating_sub(LISTED);
        self.values.iter().skip(unlisted).copied().collect()
    }

    /// The highest value; 0 if none is above it.
    pub fn peak(&self) -> f64 {
        self.numbers().fold(0.0, f64::max)
    }

    /// `None` where there is no value.
    pub fn trend(&self) -> Option<Trend> {
        (!self.values.is_empty()).then(|| Trend {
            samples: self.listed(),
            peak: self.peak(),
            sum: self.numbers().sum(),
        })
    }

    fn numbers(&self) -> impl Iterator<Item = f64> {
        self.values.iter().map(|sample| sample.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_there_is_no_more_room_for_falls_out() {
        let mut window: Window<u32, 3> = Window::default();
        assert_eq!(window.latest(), None);
        let fallen: Vec<_> = (1..=5).map(|value| window.push(value)).collect();
        assert_eq!(fallen, [None, None, None, Some(1), Some(2)]);
        assert!(window.iter().eq(&[3, 4, 5]));
        assert_eq!(window.latest(), Some(&5));
    }
}
