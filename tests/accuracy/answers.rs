// SPDX-License-Identifier: Apache-2.0
//! How many requests were answered, by version, method and status, and gRPC calls by theirs: what every source of the
//! truth comes down to.

use std::collections::BTreeMap;
use std::fmt;

const STANDARD: [&str; 9] = [
    "CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    Http1,
    Http2,
}

impl Version {
    /// As logs and clients have it: `HTTP/1.1`, `2`.
    pub fn of(text: &str) -> Self {
        match text.strip_prefix("HTTP/").unwrap_or(text) {
            "2" | "2.0" => Self::Http2,
            _ => Self::Http1,
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    by_kind: BTreeMap<(Version, &'static str, u16), u64>,
    /// By the status of gRPC.
    calls: BTreeMap<u16, u64>,
}

impl Answers {
    pub fn of(method: &str, status: u16, n: u64) -> Self {
        let mut answers = Self::default();
        answers.add(method, status, n);
        answers
    }

    /// Of HTTP/1.
    pub fn add(&mut self, method: &str, status: u16, n: u64) {
        self.add_of(Version::Http1, method, status, n);
    }

    pub fn add_of(&mut self, version: Version, method: &str, status: u16, n: u64) {
        let standard = STANDARD.into_iter().find(|standard| *standard == method);
        let key = (version, standard.unwrap_or("_OTHER"), status);
        *self.by_kind.entry(key).or_default() += n;
    }

    pub fn add_calls(&mut self, status: u16, n: u64) {
        *self.calls.entry(status).or_default() += n;
    }

    pub fn add_all(&mut self, more: &Self) {
        for ((version, method, status), n) in &more.by_kind {
            self.add_of(*version, method, *status, *n);
        }
        for (status, n) in &more.calls {
            self.add_calls(*status, *n);
        }
    }

    /// From lines that have `"METHOD target version" status` in them, as all access logs do, and the status of gRPC behind it
    /// where they are about calls.
    pub fn in_log(log: &str) -> Self {
        let mut answers = Self::default();
        for line in log.lines() {
            let mut parts = line.splitn(3, '"').skip(1);
            let request = parts.next().and_then(|request| request.split_once(' '));
            let mut rest = parts.next().unwrap_or_default().split_whitespace();
            let (Some((method, target)), Some(Ok(status))) = (request, rest.next().map(str::parse))
            else {
                continue;
            };
            let version = target
                .rsplit(' ')
                .next()
                .map_or(Version::Http1, Version::of);
            answers.add_of(version, method, status, 1);
            if let Some(Ok(status)) = rest.next().map(str::parse) {
                answers.add_calls(status, 1);
            }
        }
        answers
    }

    /// From lines as clients write them: `METHOD VERSION STATUS`, and the status of gRPC behind it.
    pub fn of_client(output: &str) -> Self {
        let mut answers = Self::default();
        for line in output.lines() {
            let words: Vec<_> = line.split(' ').collect();
            let [method, version, status, rest @ ..] = &words[..] else {
                panic!("{line}");
            };
            answers.add_of(Version::of(version), method, status.parse().unwrap(), 1);
            for status in rest {
                answers.add_calls(status.parse().unwrap(), 1);
            }
        }
        answers
    }

    /// What came after `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            by_kind: since(&self.by_kind, &earlier.by_kind),
            calls: since(&self.calls, &earlier.calls),
        }
    }

    pub fn total(&self) -> u64 {
        self.by_kind.values().sum()
    }
}

impl fmt::Display for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.by_kind.is_empty() {
            return f.write_str("none");
        }
        let mut before = Version::Http1;
        for (i, ((version, method, status), n)) in self.by_kind.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { ", " })?;
            if *version != before {
                f.write_str("HTTP/2: ")?;
                before = *version;
            }
            write!(f, "{n} {method} {status}")?;
        }
        for (i, (status, n)) in self.calls.iter().enumerate() {
            let start = if i == 0 { "; calls: " } else { ", " };
            write!(f, "{start}{n} × {status}")?;
        }
        Ok(())
    }
}

fn since<K: Ord + Copy>(now: &BTreeMap<K, u64>, earlier: &BTreeMap<K, u64>) -> BTreeMap<K, u64> {
    let more = now
        .iter()
        .map(|(key, n)| (*key, n - earlier.get(key).unwrap_or(&0)));
    more.filter(|(_, n)| *n > 0).collect()
}
