// SPDX-License-Identifier: Apache-2.0
//! What was said and what was counted, in numbers. Pure.

use std::collections::BTreeMap;
use std::fmt;

use crate::model::series_key::SeriesKey;

/// Requests, and answers by their kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub requests: u64,
    pub answers: BTreeMap<SeriesKey, u64>,
}

impl Tally {
    /// What has been added since.
    pub fn since(&self, before: &Self) -> Self {
        let answers = self.answers.iter().filter_map(|(kind, count)| {
            let added = count - before.answers.get(kind).unwrap_or(&0);
            (added > 0).then_some((*kind, added))
        });
        Self {
            requests: self.requests - before.requests,
            answers: answers.collect(),
        }
    }
}

/// "2 requests (GET 1.1 200, HEAD 1.0 404)": answers tell the kind of the requests.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = if self.requests == 1 { "" } else { "s" };
        write!(f, "{} request{s} (", self.requests)?;
        if self.answers.is_empty() {
            f.write_str("no answer")?;
        }
        for (index, (kind, count)) in self.answers.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            let (method, version) = (kind.method.name(), kind.version.name());
            write!(f, "{comma}{method} {version} {}", kind.status)?;
            if *count > 1 {
                write!(f, " × {count}")?;
            }
        }
        f.write_str(")")
    }
}

/// A conversation that counted as something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Miscount {
    pub conversation: String,
    pub sent: Tally,
    pub counted: Tally,
}

impl fmt::Display for Miscount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            conversation,
            sent,
            counted,
        } = self;
        write!(f, "{conversation}: sent {sent}, counted {counted}")
    }
}
