// SPDX-License-Identifier: Apache-2.0
//! What a machine tells of itself, over its only line to the host: the kernel's log, which also shows what goes wrong. Records
//! pass through `/dev/kmsg`, so that no message of the kernel falls into the middle of one.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Record {
    /// The kernel, as it calls itself.
    Release(String),
    /// Whether the agent can use a backend, in its own words where it cannot.
    Backend {
        name: String,
        refusal: Option<String>,
    },
    /// What the agent says when it is free to choose.
    Choice(String),
    /// The instructions that the verifier went through for a BPF program of a backend.
    Verified {
        backend: String,
        program: String,
        instructions: u64,
    },
    Test {
        program: String,
        test: String,
        result: TestResult,
    },
    /// What a test program with failures printed.
    Output { program: String, text: String },
    /// All that was asked for has been done.
    End,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum TestResult {
    Passed,
    Failed,
    TimedOut,
    /// The kernel cannot do what is tested, in the agent's words.
    NotPossible(String),
}

/// A message of the kernel's log holds not much more, and a record may be longer.
const PIECE: usize = 700;
const PART: &str = "@lab+";
const LAST: &str = "@lab.";

impl Record {
    /// As it is known of a kernel under a setting or parameter that is not its own.
    pub fn under(self, conditions: &str) -> Self {
        match self {
            Self::Test {
                program,
                test,
                result,
            } => Self::Test {
                program,
                test: format!("{test} ({conditions})"),
                result,
            },
            other => other,
        }
    }

    /// The messages that carry it.
    pub fn messages(&self) -> Result<Vec<String>> {
        let json = serde_json::to_string(self)?;
        let mut messages = Vec::new();
        let mut rest = json.as_str();
        while rest.len() > PIECE {
            let mut end = PIECE;
            while !rest.is_char_boundary(end) {
                end -= 1;
            }
            let (piece, after) = rest.split_at(end);
            messages.push(format!("{PART}{piece}"));
            rest = after;
        }
        messages.push(format!("{LAST}{rest}"));
        Ok(messages)
    }
}

/// Finds records between all else that a console shows.
#[derive(Default)]
pub struct Decoder {
    parts: String,
}

impl Decoder {
    /// The record that this line completes.
    pub fn line(&mut self, line: &str) -> Option<Result<Record>> {
        if let Some((_, part)) = line.split_once(PART) {
            self.parts.push_str(part);
            return None;
        }
        let (_, last) = line.split_once(LAST)?;
        let json = std::mem::take(&mut self.parts) + last;
        Some(serde_json::from_str(&json).with_context(|| format!("no record: {json}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(lines: impl IntoIterator<Item = String>) -> Vec<Record> {
        let mut decoder = Decoder::default();
        let records = lines.into_iter().filter_map(|line| decoder.line(&line));
        records.map(Result::unwrap).collect()
    }

    #[test]
    fn records_are_found_among_the_kernels_messages() {
        let failure = Record::Output {
            program: "live_readers".into(),
            text: "left: 1\nright: \"ä\"\n".repeat(100),
        };
        let mut lines = vec!["[    0.1] Booting paravirtualized kernel".to_owned()];
        for record in [&failure, &Record::End] {
            let messages = record.messages().unwrap();
            assert!(messages.iter().all(|message| message.len() < 800));
            lines.extend(
                messages
                    .iter()
                    .map(|message| format!("[   12.345678] {message}")),
            );
        }
        lines.insert(3, "[   12.3] random: crng init done".to_owned());
        assert_eq!(decoded(lines), [failure, Record::End]);
    }

    #[test]
    fn a_damaged_record_is_an_error() {
        let outcome = Decoder::default().line("[    1.0] @lab.{\"Release\":");
        assert!(outcome.unwrap().is_err());
    }
}
