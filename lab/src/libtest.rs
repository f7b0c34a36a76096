// SPDX-License-Identifier: Apache-2.0
//! What Rust's test harness prints.

use crate::record::TestResult;

/// The tests in what `--list --format terse` prints.
pub fn listed(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| line.strip_suffix(": test"))
}

/// The test that has ended, in a line of what a run prints. One that is ignored has not been passed.
pub fn ended(line: &str) -> Option<(&str, TestResult)> {
    let (test, result) = line.strip_prefix("test ")?.split_once(" ... ")?;
    let result = if result == "ok" {
        TestResult::Passed
    } else {
        TestResult::Failed
    };
    let test = test.strip_suffix(" - should panic").unwrap_or(test);
    Some((test, result))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_listed() {
        let text = "sock::python: test\nmain: benchmark\nby_sock: test\n";
        assert_eq!(
            listed(text).collect::<Vec<_>>(),
            ["sock::python", "by_sock"]
        );
    }

    #[test]
    fn only_ok_is_passed() {
        assert_eq!(
            ended("test by_sock ... ok"),
            Some(("by_sock", TestResult::Passed))
        );
        for result in ["FAILED", "ignored", "ignored, slow"] {
            let line = format!("test sock::python ... {result}");
            assert_eq!(ended(&line), Some(("sock::python", TestResult::Failed)));
        }
        for line in ["running 3 tests", "test result: ok. 1 passed; 0 failed", ""] {
            assert_eq!(ended(line), None);
        }
    }
}
