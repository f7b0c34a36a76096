// SPDX-License-Identifier: Apache-2.0
//! What was seen on a kernel.

use std::collections::BTreeMap;

use crate::kernels::Kernel;
use crate::record::{Record, TestResult};

#[derive(Debug)]
pub struct Outcome {
    pub kernel: Kernel,
    /// Why it could not be fetched, and so was not tried.
    pub skipped: Option<String>,
    /// What went wrong with a machine as a whole, and the end of its console.
    pub broken: Vec<String>,
    pub release: Option<String>,
    /// Whether each backend is possible, or why not.
    pub backends: BTreeMap<String, Option<String>>,
    /// What the agent said when it was free to choose.
    pub choice: Option<String>,
    /// By backend and program.
    pub verified: BTreeMap<(String, String), u64>,
    /// By program and name.
    pub tests: BTreeMap<(String, String), TestResult>,
    pub outputs: Vec<(String, String)>,
}

impl Outcome {
    pub fn of(kernel: Kernel) -> Self {
        Self {
            kernel,
            skipped: None,
            broken: Vec::new(),
            release: None,
            backends: BTreeMap::new(),
            choice: None,
            verified: BTreeMap::new(),
            tests: BTreeMap::new(),
            outputs: Vec::new(),
        }
    }

    pub fn absorb(&mut self, record: Record) {
        match record {
            Record::Release(release) => self.release = Some(release),
            Record::Backend { name, refusal } => {
                self.backends.insert(name, refusal);
            }
            Record::Choice(words) => self.choice = Some(words),
            Record::Verified {
                backend,
                program,
                instructions,
            } => {
                self.verified.insert((backend, program), instructions);
            }
            Record::Test {
                program,
                test,
                result,
            } => {
                self.tests.insert((program, test), result);
            }
            Record::Output { program, text } => self.outputs.push((program, text)),
            Record::End => {}
        }
    }

    /// As people name it: the first two numbers of the release, where it is known.
    pub fn name(&self) -> String {
        let Some(release) = &self.release else {
            return self.kernel.to_string();
        };
        let mut numbers = release.split(['.', '-', '+']);
        let series = [numbers.next(), numbers.next()].map(Option::unwrap_or_default);
        let kernel = self.kernel.to_string();
        kernel.replace(&self.kernel.series.to_string(), &series.join("."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::KERNELS;

    #[test]
    fn the_newest_kernel_is_named_by_what_it_is() {
        let mut outcome = Outcome::of(KERNELS[4]);
        assert_eq!(outcome.name(), "newest");
        outcome.absorb(Record::Release("7.3.4+deb13-cloud-amd64".into()));
        assert_eq!(outcome.name(), "7.3");
    }
}
