// SPDX-License-Identifier: Apache-2.0
//! Programs that ask.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard};

static STARTED: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

/// All that there have been: none of them may be taken for a server.
pub fn started() -> MutexGuard<'static, BTreeSet<u32>> {
    STARTED.lock().unwrap()
}

/// Returns what it said.
pub fn run(command: &mut Command) -> String {
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let client = command.stderr(Stdio::inherit()).spawn();
    let client = client.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    started().insert(client.id());
    let output = client.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}: {said}",
        output.status
    );
    said
}
