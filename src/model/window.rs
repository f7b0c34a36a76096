// SPDX-License-Identifier: Apache-2.0
//! The last values of something.

use std::collections::VecDeque;

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

    pub fn iter(&self) -> impl ExactSizeIterator<Item = &T> {
        self.values.iter()
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
        let unlisted = self.values.len().saturating_sub(LISTED);
        Trend {
            values: self.values.iter().skip(unlisted).copied().collect(),
            peak: self.peak(),
            sum: self.values.iter().sum(),
        }
    }

    /// Forgets all but what is listed, and gives back the memory.
    pub fn shrink(&mut self) {
        self.values
            .drain(..self.values.len().saturating_sub(LISTED));
        self.values.shrink_to_fit();
    }

    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
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
}
