// SPDX-License-Identifier: Apache-2.0
//! The last values of something.

use std::collections::VecDeque;

use arrayvec::ArrayVec;

use crate::model::snapshot::Trend;

/// Values that a snapshot lists.
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

    pub fn iter(&self) -> impl ExactSizeIterator<Item = &T> + Clone {
        self.values.iter()
    }

    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.values.iter_mut()
    }
}

impl<const LENGTH: usize> Window<f64, LENGTH> {
    /// Of something that was zero one tick ago: without that its first value has no beginning. Or of what was joined, where nobody knows
    /// what it was.
    pub fn beginning(joined: bool) -> Self {
        let mut values = Self::default();
        if !joined {
            values.push(0.0);
        }
        values
    }

    /// The highest value; 0 if none is above it.
    pub fn peak(&self) -> f64 {
        self.values.iter().copied().fold(0.0, f64::max)
    }

    pub fn trend(&self) -> Trend {
        Trend::of(self.values.iter().copied())
    }
}

/// Ticks of a part of a minute, and parts that are remembered, of which the latest is not full.
const PART: u8 = 12;
const PARTS: usize = 6;

/// A rate over the last minute. There are many of these: what is older than the values that are listed is kept in parts.
pub struct Minute {
    listed: ArrayVec<f64, LISTED>,
    /// The latest first.
    parts: [Part; PARTS],
    /// Of the latest part.
    ticks: u8,
}

#[derive(Clone, Copy, Default)]
struct Part {
    peak: f64,
    sum: f64,
}

impl Minute {
    /// As [`Window::beginning`].
    pub fn beginning(joined: bool) -> Self {
        Self {
            listed: (!joined).then_some(0.0).into_iter().collect(),
            parts: Default::default(),
            ticks: u8::from(!joined),
        }
    }

    pub fn push(&mut self, value: f64) {
        if self.listed.is_full() {
            self.listed.remove(0);
        }
        self.listed.push(value);
        if self.ticks == PART {
            self.parts.rotate_right(1);
            self.parts[0] = Part::default();
            self.ticks = 0;
        }
        self.ticks += 1;
        let part = &mut self.parts[0];
        part.peak = part.peak.max(value);
        part.sum += value;
    }

    pub fn trend(&self) -> Trend {
        Trend {
            values: self.listed.clone(),
            peak: self.parts.iter().map(|it| it.peak).fold(0.0, f64::max),
            sum: self.parts.iter().map(|it| it.sum).sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_there_is_no_more_room_for_falls_out() {
        let mut window: Window<u32, 3> = Window::default();
        assert_eq!(window.iter().last(), None);
        let fallen: Vec<_> = (1..=5).map(|value| window.push(value)).collect();
        assert_eq!(fallen, [None, None, None, Some(1), Some(2)]);
        assert!(window.iter().eq(&[3, 4, 5]));
        assert_eq!(window.iter().last(), Some(&5));
    }

    #[test]
    fn a_minute_remembers_its_highest_value_and_not_much_longer() {
        let mut minute = Minute::beginning(false);
        minute.push(7.0);
        for _ in 1..60 {
            assert_eq!((minute.trend().peak, minute.trend().sum), (7.0, 7.0));
            minute.push(0.0);
        }
        for _ in 0..usize::from(PART) {
            minute.push(0.0);
        }
        assert_eq!(minute.trend(), Trend::of([0.0; LISTED].into_iter()));
    }
}
