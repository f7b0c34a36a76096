// SPDX-License-Identifier: Apache-2.0
//! What is wrong with what was seen, a line for each thing.

use crate::kernels::BACKENDS;
use crate::outcome::Outcome;
use crate::record::TestResult;

/// Far from the million at which the verifier gives up, so that a compiler's whim does no harm.
pub const MOST_INSTRUCTIONS: u64 = 300_000;

/// Of a kernel that was tried: whether one may be left out is a matter of what was [asked](crate::asked).
pub fn failures(outcome: &Outcome) -> Vec<String> {
    if outcome.skipped.is_some() {
        return Vec::new();
    }
    let mut failures = outcome.broken.clone();
    failures.extend(unexpected_backends(outcome));
    for ((backend, program), instructions) in &outcome.verified {
        if *instructions > MOST_INSTRUCTIONS {
            failures.push(format!(
                "{backend} {program} takes the verifier {instructions} instructions, more than {MOST_INSTRUCTIONS}"
            ));
        }
    }
    for ((program, test), result) in &outcome.tests {
        match result {
            TestResult::Passed | TestResult::NotPossible(_) => {}
            TestResult::Failed => failures.push(format!("{program} {test} failed")),
            TestResult::TimedOut => failures.push(format!("{program} {test} did not end")),
        }
    }
    let passed = |result: &&TestResult| **result == TestResult::Passed;
    if outcome.tests.values().filter(passed).count() == 0 {
        failures.push("no test has passed".to_owned());
    }
    let name = outcome.name();
    let failures = failures.into_iter();
    failures
        .map(|failure| format!("{name}: {failure}"))
        .collect()
}

fn unexpected_backends(outcome: &Outcome) -> impl Iterator<Item = String> {
    BACKENDS.into_iter().filter_map(|backend| {
        let expected = outcome.kernel.backends.contains(&backend);
        match outcome.backends.get(backend) {
            None => Some(format!("nothing was seen of {backend}")),
            Some(Some(reason)) if expected => {
                Some(format!("{backend} is no longer possible: {reason}"))
            }
            Some(None) if !expected => Some(format!(
                "{backend} has become possible: lab/src/kernels.rs should expect it"
            )),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::Arch;
    use crate::kernels::{Kernel, Series};
    use crate::record::Record;

    const KERNEL: Kernel = Kernel {
        series: Series::Stable(6, 1),
        arch: Arch::X86_64,
        backends: &["syscall"],
    };

    fn outcome(records: impl IntoIterator<Item = Record>) -> Outcome {
        let mut outcome = Outcome::of(KERNEL);
        let expected = [
            backend("fexit", Some("no trampolines")),
            backend("sock", Some("no tracepoint")),
            backend("syscall", None),
            test("by_syscall", TestResult::Passed),
        ];
        for record in expected.into_iter().chain(records) {
            outcome.absorb(record);
        }
        outcome
    }

    fn test(test: &str, result: TestResult) -> Record {
        Record::Test {
            program: "live".into(),
            test: test.into(),
            result,
        }
    }

    fn backend(name: &str, refusal: Option<&str>) -> Record {
        Record::Backend {
            name: name.into(),
            refusal: refusal.map(str::to_owned),
        }
    }

    fn verified(instructions: u64) -> Record {
        Record::Verified {
            backend: "sock".into(),
            program: "http_sock_recv".into(),
            instructions,
        }
    }

    #[test]
    fn what_is_as_expected_is_no_failure() {
        let seen = outcome([
            verified(MOST_INSTRUCTIONS),
            test("by_sock", TestResult::NotPossible("no tracepoint".into())),
        ]);
        assert_eq!(failures(&seen), [""; 0]);
    }

    #[test]
    fn each_thing_that_is_not_is_one() {
        for (record, expected) in [
            (
                backend("syscall", Some("refused")),
                "6.1: syscall is no longer possible: refused",
            ),
            (backend("sock", None), "6.1: sock has become possible"),
            (
                verified(MOST_INSTRUCTIONS + 1),
                "6.1: sock http_sock_recv takes the verifier 300001",
            ),
            (
                test("by_sock", TestResult::Failed),
                "6.1: live by_sock failed",
            ),
            (
                test("by_sock", TestResult::TimedOut),
                "6.1: live by_sock did not end",
            ),
        ] {
            let failures = failures(&outcome([record]));
            assert_eq!(failures.len(), 1, "{failures:?}");
            assert!(failures[0].starts_with(expected), "{failures:?}");
        }
    }

    #[test]
    fn nothing_seen_is_a_failure_unless_the_kernel_was_not_tried() {
        let mut nothing = Outcome::of(KERNEL);
        let seen = failures(&nothing);
        assert_eq!(seen.len(), BACKENDS.len() + 1, "{seen:?}");
        assert_eq!(seen[0], "6.1: nothing was seen of fexit");
        assert_eq!(seen[BACKENDS.len()], "6.1: no test has passed");
        nothing.broken.push("not done after 9 s".into());
        assert_eq!(failures(&nothing).len(), BACKENDS.len() + 2);
        nothing.skipped = Some("no package".into());
        assert_eq!(failures(&nothing), [""; 0]);
    }
}
