// SPDX-License-Identifier: Apache-2.0
//! How many requests were answered, by method and status: what every source of the truth comes down to.

use std::collections::BTreeMap;
use std::fmt;

const STANDARD: [&str; 9] = [
    "CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE",
];

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answers(BTreeMap<(&'static str, u16), u64>);

impl Answers {
    pub fn of(method: &str, status: u16, n: u64) -> Self {
        let mut answers = Self::default();
        answers.add(method, status, n);
        answers
    }

    pub fn add(&mut self, method: &str, status: u16, n: u64) {
        let standard = STANDARD.into_iter().find(|standard| *standard == method);
        let key = (standard.unwrap_or("_OTHER"), status);
        *self.0.entry(key).or_default() += n;
    }

    pub fn add_all(&mut self, more: &Self) {
        for ((method, status), n) in &more.0 {
            self.add(method, *status, *n);
        }
    }

    /// From lines that have `"METHOD target version" status` in them, as all access logs do.
    pub fn in_log(log: &str) -> Self {
        let mut answers = Self::default();
        for line in log.lines() {
            let mut parts = line.splitn(3, '"').skip(1);
            let method = parts.next().and_then(|request| request.split(' ').next());
            let status = parts.next().and_then(|rest| rest.split_whitespace().next());
            if let (Some(method), Some(Ok(status))) = (method, status.map(str::parse)) {
                answers.add(method, status, 1);
            }
        }
        answers
    }

    /// What came after `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        let mut answers = Self::default();
        for (key, n) in &self.0 {
            let more = n - earlier.0.get(key).unwrap_or(&0);
            if more > 0 {
                answers.0.insert(*key, more);
            }
        }
        answers
    }

    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }
}

impl fmt::Display for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        for (i, ((method, status), n)) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{n} {method} {status}")?;
        }
        Ok(())
    }
}
