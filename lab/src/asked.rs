// SPDX-License-Identifier: Apache-2.0
//! What a run was asked for, and so has to show: a kernel that was not tried has not passed.

use std::ffi::OsString;

use anyhow::{Context, Result, ensure};
use lexopt::Arg::{Long, Value};
use lexopt::ValueExt;

use crate::kernels::{KERNELS, Kernel};
use crate::outcome::Outcome;

#[derive(Debug, PartialEq)]
pub struct Asked {
    /// All of them have to run.
    pub kernels: Vec<Kernel>,
    /// But for these, where they cannot be fetched.
    pub may_be_missing: Vec<Kernel>,
}

impl Asked {
    pub const USAGE: &str = "kernel-lab [KERNEL]... [--allow-missing KERNEL]...";

    /// The kernels that are named behind the name of the program, or else all.
    pub fn parse<T: Into<OsString>>(arguments: impl IntoIterator<Item = T>) -> Result<Self> {
        let mut kernels = Vec::new();
        let mut may_be_missing = Vec::new();
        let mut arguments = lexopt::Parser::from_iter(arguments);
        while let Some(argument) = arguments.next()? {
            match argument {
                Value(name) => kernels.push(named(&name.string()?)?),
                Long("allow-missing") => {
                    may_be_missing.push(named(&arguments.value()?.string()?)?);
                }
                _ => return Err(argument.unexpected().into()),
            }
        }
        if kernels.is_empty() {
            kernels.extend(KERNELS);
        }
        for kernel in &may_be_missing {
            ensure!(kernels.contains(kernel), "{kernel} is not asked for");
        }
        // In the order in which they are listed, and each once.
        kernels = (KERNELS.into_iter())
            .filter(|kernel| kernels.contains(kernel))
            .collect();
        Ok(Self {
            kernels,
            may_be_missing,
        })
    }

    /// Kernels that were not to be had and that nobody asked to do without: a line each.
    pub fn missing(&self, outcomes: &[Outcome]) -> Vec<String> {
        if outcomes.iter().all(|outcome| outcome.skipped.is_some()) {
            return vec!["no kernel was to be had".to_owned()];
        }
        let is_required = |kernel: &Kernel| !self.may_be_missing.contains(kernel);
        (outcomes.iter())
            .filter(|outcome| is_required(&outcome.kernel))
            .filter_map(|outcome| {
                let (kernel, reason) = (outcome.kernel, outcome.skipped.as_ref()?);
                Some(format!(
                    "{kernel}: has to run, and was {reason} (--allow-missing {kernel} does without)"
                ))
            })
            .collect()
    }

    /// What the run does not show although it was asked for, to be said where nobody overlooks it.
    pub fn left_out(&self, outcomes: &[Outcome]) -> Vec<String> {
        (outcomes.iter())
            .filter(|outcome| self.may_be_missing.contains(&outcome.kernel))
            .filter_map(|outcome| {
                let (kernel, reason) = (outcome.kernel, outcome.skipped.as_ref()?);
                Some(format!(
                    "NOT TRIED, as --allow-missing allows: {kernel} was {reason}"
                ))
            })
            .collect()
    }
}

/// Whether every kernel of the list has run: only then may what was seen be written down for all to read.
pub fn is_whole(outcomes: &[Outcome]) -> bool {
    KERNELS.iter().all(|kernel| {
        let mut of_kernel = outcomes.iter().filter(|it| it.kernel == *kernel);
        of_kernel.any(|outcome| outcome.skipped.is_none() && outcome.release.is_some())
    })
}

fn named(name: &str) -> Result<Kernel> {
    KERNELS
        .into_iter()
        .find(|kernel| kernel.to_string() == name)
        .with_context(|| format!("there is no kernel {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(arguments: &str) -> Result<Asked> {
        Asked::parse(
            ["kernel-lab"]
                .into_iter()
                .chain(arguments.split_whitespace()),
        )
    }

    /// All ran but those.
    fn outcomes(asked: &Asked, skipped: &[&str]) -> Vec<Outcome> {
        let outcomes = asked.kernels.iter().map(|kernel| {
            let is_skipped = skipped.contains(&&*kernel.to_string());
            Outcome {
                skipped: is_skipped.then(|| "not to be had".to_owned()),
                release: (!is_skipped).then(|| "6.1.0-1".to_owned()),
                ..Outcome::of(*kernel)
            }
        });
        outcomes.collect()
    }

    #[test]
    fn kernels_are_named_or_all_are_meant() {
        assert_eq!(asked("").unwrap().kernels, KERNELS);
        let some = asked("6.12 5.10 6.12").unwrap();
        let names: Vec<_> = some.kernels.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["5.10", "6.12"]);
        assert_eq!(some.may_be_missing, []);
        for wrong in [
            "4.19",
            "--all",
            "--allow-missing",
            "--allow-missing 4.19",
            "6.1 --allow-missing 6.12",
        ] {
            assert!(asked(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn one_that_was_not_to_be_had_is_a_failure_unless_that_was_allowed() {
        for (arguments, skipped, missing, left_out) in [
            ("5.10 6.1", &[][..], 0, 0),
            ("5.10 6.1", &["6.1"], 1, 0),
            ("5.10 6.1 6.12", &["5.10", "6.1"], 2, 0),
            ("5.10 6.1 --allow-missing 6.1", &["6.1"], 0, 1),
            ("5.10 6.1 --allow-missing 6.1", &["5.10"], 1, 0),
            ("5.10 6.1 --allow-missing 6.1", &[], 0, 0),
            ("", &["newest"], 1, 0),
        ] {
            let asked = asked(arguments).unwrap();
            let outcomes = outcomes(&asked, skipped);
            let lines = (asked.missing(&outcomes), asked.left_out(&outcomes));
            let counts = (lines.0.len(), lines.1.len());
            assert_eq!(counts, (missing, left_out), "{arguments}: {lines:?}");
            for (line, name) in lines.0.iter().zip(skipped) {
                assert!(line.starts_with(&format!("{name}: has to run")), "{line}");
            }
        }
    }

    #[test]
    fn a_run_of_none_is_a_failure_whatever_is_allowed() {
        let asked = asked("6.1 --allow-missing 6.1").unwrap();
        let lines = asked.missing(&outcomes(&asked, &["6.1"]));
        assert_eq!(lines, ["no kernel was to be had"]);
    }

    #[test]
    fn only_a_run_of_all_kernels_is_whole() {
        let all = asked("").unwrap();
        assert!(is_whole(&outcomes(&all, &[])));
        assert!(!is_whole(&outcomes(&all, &["6.18"])));
        let some = asked("5.10 6.1 6.12 6.18 newest").unwrap();
        assert!(!is_whole(&outcomes(&some, &[])));
        // A machine that did not even come up has shown nothing.
        let mut silent = outcomes(&all, &[]);
        silent[3].release = None;
        assert!(!is_whole(&silent));
    }
}
