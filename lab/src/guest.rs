// SPDX-License-Identifier: Apache-2.0
//! What the host wants a machine to do.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Where a machine finds its order.
pub const ORDER: &str = "/order.json";

/// What the kernel does not know of its parameters it hands over to process 1, as environment: the backends that have to be
/// possible on it.
pub const BACKENDS: &str = "backends";

/// Tells tests that load the programs themselves where to write what the verifier made of them.
pub const VERIFIER_TABLE: (&str, &str) = ("VERIFIER_TABLE", "/tmp/verifier");

#[derive(Debug, Serialize, Deserialize)]
pub struct Order {
    pub agent: PathBuf,
    /// Tries backends, and prints why they are refused, or else what the verifier makes of their programs.
    pub verifier: Option<PathBuf>,
    pub programs: Vec<TestProgram>,
    /// Of the test programs, beside what process 1 has.
    pub environment: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TestProgram {
    pub name: String,
    pub path: PathBuf,
    pub tests: Tests,
    /// What is set before they run, if anything is: `name=value`, as sysctl has it, or a kernel lockdown.
    pub setting: Option<String>,
}

/// Tests of a program, by name.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Tests {
    Only(Vec<String>),
    AllBut(Vec<String>),
}

impl Tests {
    pub fn include(&self, test: &str) -> bool {
        match self {
            Self::Only(names) => names.iter().any(|name| is(test, name)),
            Self::AllBut(names) => !names.iter().any(|name| is(test, name)),
        }
    }
}

/// A test of each backend has its name once a backend.
fn is(test: &str, name: &str) -> bool {
    test.strip_suffix(name)
        .is_some_and(|before| before.is_empty() || before.ends_with("::"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stands_for_the_test_of_each_backend() {
        let names = || vec!["redis_commands_are_none".to_owned()];
        let all_but = Tests::AllBut(names());
        assert!(!all_but.include("sock::redis_commands_are_none"));
        assert!(!all_but.include("redis_commands_are_none"));
        assert!(all_but.include("sock::other_redis_commands_are_none"));
        assert!(Tests::Only(names()).include("syscall::redis_commands_are_none"));
    }
}
