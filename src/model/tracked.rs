// SPDX-License-Identifier: Apache-2.0
//! One process from one tick to the next.

use std::sync::Arc;
use std::time::Instant;

use crate::model::counters::{ProcessGrowth, ProcessId};
use crate::model::increment::{Increment, Totals};
use crate::model::pace::Pace;
use crate::model::snapshot::ProcessSnapshot;
use crate::model::tick::Tick;
use crate::model::window::LISTED;
use crate::model::workload::Workload;

/// One process that has served a request.
pub struct Tracked {
    id: ProcessId,
    workload: Arc<Workload>,
    /// Shared with the latest snapshot.
    totals: Arc<Totals>,
    /// What has come since the last tick.
    increment: Increment,
    pace: Pace,
    ended: bool,
    /// Ticks since it has ended.
    gone: usize,
}

impl Tracked {
    /// `joined`: whether it may have been busy before its first tick.
    pub fn new(id: ProcessId, workload: Arc<Workload>, joined: bool) -> Self {
        Self {
            id,
            workload,
            totals: Arc::default(),
            increment: Increment::default(),
            pace: Pace::beginning(joined),
            ended: false,
            gone: 0,
        }
    }

    pub fn workload(&self) -> &Arc<Workload> {
        &self.workload
    }

    pub fn grow(&mut self, growth: ProcessGrowth, now: Instant) {
        if !growth.increment.is_empty() {
            Arc::make_mut(&mut self.totals).add(&growth.increment, now);
        }
        self.increment.append(growth.increment);
        self.ended |= growth.ended;
    }

    /// What was to come has come.
    pub fn end(&mut self) {
        self.ended = true;
    }

    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Returns what is known now, and whether another tick without anything would say the same.
    pub fn tick(&mut self, tick: &Tick) -> (Arc<ProcessSnapshot>, bool) {
        let increment = std::mem::take(&mut self.increment);
        self.pace.tick(&increment, tick);
        self.gone += usize::from(self.ended);
        let snapshot = Arc::new(self.snapshot(increment));
        let is_settled = !self.ended && self.pace.is_settled();
        (snapshot, is_settled)
    }

    /// A process that is gone stays until its last rate is out of the samples.
    pub fn is_listed(&self) -> bool {
        self.gone <= LISTED
    }

    fn snapshot(&self, increment: Increment) -> ProcessSnapshot {
        let lately = self.pace.lately();
        ProcessSnapshot {
            id: self.id,
            workload: Arc::clone(&self.workload),
            exited: self.ended,
            increment,
            totals: Arc::clone(&self.totals),
            requests_per_second: lately.requests_per_second,
            responses_per_second: lately.responses_per_second,
            failed_calls_per_second: lately.failed_calls_per_second,
            latency: lately.latency,
        }
    }
}
