// SPDX-License-Identifier: Apache-2.0
//! How much something is asked and what it answers, from one tick to the next.

use crate::model::answers::{Answers, LateAnswers};
use crate::model::increment::Increment;
use crate::model::snapshot::Lately;
use crate::model::tick::Tick;
use crate::model::window::{LISTED, Minute};

pub struct Pace {
    requests_per_second: Minute,
    answers: LateAnswers,
    is_settled: bool,
}

impl Pace {
    /// `joined`: whether it may have been busy before its first tick.
    pub fn beginning(joined: bool) -> Self {
        Self {
            requests_per_second: Minute::beginning(joined),
            answers: LateAnswers::beginning(joined),
            is_settled: false,
        }
    }

    /// Takes in what a tick has brought.
    pub fn tick(&mut self, increment: &Increment, tick: &Tick) {
        self.requests_per_second.push(tick.rate(increment.requests));
        self.answers.tick(increment, tick);
        let requests = self.requests_per_second.trend();
        self.is_settled = increment.is_empty()
            && requests.peak == 0.0
            && requests.values.len() == LISTED
            && self.answers.get().is_none();
    }

    /// Whether another tick without anything would say the same.
    pub fn is_settled(&self) -> bool {
        self.is_settled
    }

    pub fn lately(&self) -> Lately {
        let answers = self.answers.get();
        Lately {
            requests_per_second: self.requests_per_second.trend(),
            responses_per_second: answers.map_or_else(Vec::new, Answers::per_second),
            failed_calls_per_second: answers.and_then(Answers::failed_calls).map(Box::new),
            latency: answers.and_then(Answers::latency).map(Box::new),
        }
    }
}
