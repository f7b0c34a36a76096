// SPDX-License-Identifier: Apache-2.0
//! `docs/compatibility.md`: what works on which kernel, as it was seen.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::kernels::BACKENDS;
use crate::outcome::Outcome;
use crate::record::TestResult;
use crate::selection::{LEFT_OUT, backend_of};

const INTRODUCTION: &str = "\
# Compatibility

What works on which kernel, as `make test-kernels` saw it when it wrote this file. Each kernel is Debian's own for virtual
machines, booted in an emulated one, with the static agent and the static test programs of `tests/` and nothing else.

";

pub fn document(outcomes: &[Outcome]) -> String {
    let mut text = INTRODUCTION.to_owned();
    text.push_str(&backends(outcomes));
    text.push_str(&words(outcomes));
    text.push_str("\n## Tests\n");
    text.push_str(&tests(outcomes));
    text.push_str(&left_out());
    text
}

/// Kernel × backend.
fn backends(outcomes: &[Outcome]) -> String {
    let mut text = row(
        "kernel",
        ["release", "`auto` takes"].into_iter().chain(BACKENDS),
    );
    text.push_str(&rule(2 + BACKENDS.len()));
    for outcome in outcomes {
        let release = outcome.release.as_deref().unwrap_or("not to be had");
        let possible = BACKENDS.map(|backend| match outcome.backends.get(backend) {
            Some(None) => "yes",
            Some(Some(_)) => "no",
            None => "",
        });
        let cells = [release, chosen(outcome)].into_iter().chain(possible);
        text.push_str(&row(&outcome.name(), cells));
    }
    text
}

fn chosen(outcome: &Outcome) -> &str {
    let words = outcome
        .choice
        .as_deref()
        .and_then(|words| words.split_once(": "));
    let name = words.map_or("", |(name, _)| name);
    if BACKENDS.contains(&name) {
        name
    } else {
        "none"
    }
}

/// Why: the agent's own words.
fn words(outcomes: &[Outcome]) -> String {
    let mut text = "\nWhy `auto` takes what it takes, in the agent's words:\n\n".to_owned();
    for outcome in outcomes {
        let why = outcome.skipped.as_ref().or(outcome.choice.as_ref());
        let _ = writeln!(text, "- {}: {}", outcome.name(), why.map_or("", |why| why));
    }
    text.push_str("\nWhat is not possible, in the agent's words:\n\n");
    for outcome in outcomes {
        for (backend, refusal) in &outcome.backends {
            if let Some(reason) = refusal {
                let _ = writeln!(text, "- {}, `{backend}`: {reason}", outcome.name());
            }
        }
    }
    text
}

/// Test × kernel, for each backend.
pub fn tests(outcomes: &[Outcome]) -> String {
    let all: BTreeSet<_> = outcomes
        .iter()
        .flat_map(|outcome| outcome.tests.keys())
        .collect();
    let mut text = String::new();
    for backend in BACKENDS.map(Some).into_iter().chain([None]) {
        let of_backend = |key: &&(String, String)| backend_of(&key.1, BACKENDS) == backend;
        let tests: Vec<_> = all.iter().copied().filter(of_backend).collect();
        if tests.is_empty() {
            continue;
        }
        let names: Vec<_> = outcomes.iter().map(Outcome::name).collect();
        let title = backend.map_or("any backend".to_owned(), |backend| format!("`{backend}`"));
        text.push('\n');
        text.push_str(&row(&title, names.iter().map(String::as_str)));
        text.push_str(&rule(outcomes.len()));
        for key in tests {
            let (program, test) = key;
            let name = backend.and_then(|backend| test.strip_prefix(&format!("{backend}::")));
            let cells = outcomes.iter().map(|outcome| cell(outcome.tests.get(key)));
            text.push_str(&row(&format!("{program} {}", name.unwrap_or(test)), cells));
        }
    }
    text
}

fn cell(result: Option<&TestResult>) -> &'static str {
    match result {
        Some(TestResult::Passed) => "passed",
        Some(TestResult::Failed) => "FAILED",
        Some(TestResult::TimedOut) => "NO END",
        Some(TestResult::NotPossible(_)) => "not possible",
        None => "",
    }
}

fn left_out() -> String {
    let mut text = "\n## Not among them\n\n| tests | what they need |\n|---|---|\n".to_owned();
    for left_out in &LEFT_OUT {
        let name = format!("{} {}", left_out.program, left_out.test);
        let _ = writeln!(text, "| {} | {} |", name.trim(), left_out.why);
    }
    text
}

fn row<'a>(first: &str, cells: impl IntoIterator<Item = &'a str>) -> String {
    let cells: String = cells.into_iter().map(|cell| format!(" {cell} |")).collect();
    format!("| {first} |{cells}\n")
}

fn rule(columns: usize) -> String {
    format!("|---|{}\n", "---|".repeat(columns))
}

#[cfg(test)]
mod tests_of_the_document {
    use super::*;
    use crate::kernels::KERNELS;
    use crate::record::Record;

    fn outcomes() -> Vec<Outcome> {
        let mut outcomes: Vec<_> = KERNELS[..2].iter().copied().map(Outcome::of).collect();
        outcomes[0].skipped = Some("no package".into());
        for record in [
            Record::Release("6.1.0-56-cloud-amd64".into()),
            Record::Choice("syscall: not sock: the kernel has no tracepoint".into()),
            Record::Backend {
                name: "sock".into(),
                refusal: Some("the kernel has no tracepoint".into()),
            },
            Record::Backend {
                name: "syscall".into(),
                refusal: None,
            },
            result(
                "sock::calls",
                TestResult::NotPossible("the kernel has no tracepoint".into()),
            ),
            result("syscall::calls", TestResult::Passed),
            result("without_btf", TestResult::Failed),
        ] {
            outcomes[1].absorb(record);
        }
        outcomes
    }

    fn result(test: &str, result: TestResult) -> Record {
        Record::Test {
            program: "live".into(),
            test: test.into(),
            result,
        }
    }

    #[test]
    fn what_is_possible_and_why_not() {
        let document = document(&outcomes());
        for line in [
            "| 5.10 | not to be had | none |  |  |  |",
            "| 6.1 | 6.1.0-56-cloud-amd64 | syscall |  | no | yes |",
            "- 5.10: no package",
            "- 6.1, `sock`: the kernel has no tracepoint",
        ] {
            assert!(
                document.contains(&format!("{line}\n")),
                "{line}:\n{document}"
            );
        }
    }

    #[test]
    fn a_test_that_is_not_possible_is_not_green() {
        let tests = tests(&outcomes());
        for line in [
            "| `sock` | 5.10 | 6.1 |",
            "| live calls |  | not possible |",
            "| live calls |  | passed |",
            "| any backend | 5.10 | 6.1 |",
            "| live without_btf |  | FAILED |",
        ] {
            assert!(tests.contains(&format!("{line}\n")), "{line}:\n{tests}");
        }
    }
}
