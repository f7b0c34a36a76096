// SPDX-License-Identifier: Apache-2.0
//! One process from one tick to the next.

use std::sync::Arc;
use std::time::Instant;

use crate::model::answers::Answers;
use crate::model::counters::{ProcessGrowth, ProcessId};
use crate::model::increment::{Increment, Totals};
use crate::model::snapshot::ProcessSnapshot;
use crate::model::tick::Tick;
use crate::model::window::{LISTED, Minute};
use crate::model::workload::Workload;

/// One process that has served a request.
pub struct Tracked {
    id: ProcessId,
    workload: Arc<Workload>,
    /// Shared with the latest snapshot.
    totals: Arc<Totals>,
    /// What has come since the last tick.
    increment: Increment,
    requests_per_second: Minute,
    /// Of a process that has answered of late.
    answers: Option<Box<Answers>>,
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
            requests_per_second: Minute::beginning(joined),
            answers: joined.then(|| Box::new(Answers::beginning(joined))),
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
        let was_idle = increment.is_empty();
        self.requests_per_second.push(tick.rate(increment.requests));
        if !was_idle || self.answers.is_some() {
            let answers = self.answers.get_or_insert_default();
            answers.tick(&increment, tick);
            if answers.is_idle() {
                self.answers = None;
            }
        }
        self.gone += usize::from(self.ended);
        let snapshot = Arc::new(self.snapshot(increment));
        let requests = &snapshot.requests_per_second;
        let is_settled = was_idle
            && !self.ended
            && requests.peak == 0.0
            && requests.values.len() == LISTED
            && self.answers.is_none();
        (snapshot, is_settled)
    }

    /// A process that is gone stays until its last rate is out of the samples.
    pub fn is_listed(&self) -> bool {
        self.gone <= LISTED
    }

    fn snapshot(&self, increment: Increment) -> ProcessSnapshot {
        let answers = self.answers.as_deref();
        ProcessSnapshot {
            id: self.id,
            workload: Arc::clone(&self.workload),
            exited: self.ended,
            increment,
            totals: Arc::clone(&self.totals),
            requests_per_second: self.requests_per_second.trend(),
            responses_per_second: answers.map_or_else(Vec::new, Answers::per_second),
            failed_calls_per_second: answers.and_then(Answers::failed_calls).map(Box::new),
            latency: answers.and_then(Answers::latency).map(Box::new),
        }
    }
}
