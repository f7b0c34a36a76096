// SPDX-License-Identifier: Apache-2.0
//! The time between two readings of the counters.

use std::time::{Duration, Instant, SystemTime};

/// One moment on both clocks: the one that only goes forward, and the one on the wall, which anybody may set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moment {
    pub instant: Instant,
    pub date: SystemTime,
}

/// An interval that has just ended.
#[derive(Clone, Copy)]
pub struct Tick {
    pub elapsed: Duration,
}

impl Tick {
    /// How many of these there were in a second.
    pub fn rate(&self, count: u64) -> f64 {
        rate(count, self.elapsed)
    }
}

/// How many there were in a second, of so many in a time.
pub fn rate(count: u64, elapsed: Duration) -> f64 {
    // Two ticks that a coarse clock cannot tell apart must not divide by zero.
    count as f64 / elapsed.as_secs_f64().max(0.001)
}
