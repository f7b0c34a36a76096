// SPDX-License-Identifier: Apache-2.0
//! Programs that ask.

use std::ops::Range;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use rustix::time::{ClockId, clock_gettime};
use scope_http_statistics::model::counters::ProcessId;

/// All that there have been, with when they were started: pids come back.
static STARTED: Mutex<Vec<(u32, Range<u64>)>> = Mutex::new(Vec::new());

/// None of them may be taken for a server.
pub fn was_started(process: &ProcessId) -> bool {
    let started = STARTED.lock().unwrap();
    // The lowest byte of a start time is none of it.
    let same = |(pid, time): &(u32, Range<u64>)| {
        *pid == process.pid && (time.start..time.end + 256).contains(&(process.start_time | 255))
    };
    started.iter().any(same)
}

fn nanoseconds_since_boot() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Returns what it said.
pub fn run(command: &mut Command) -> String {
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let before = nanoseconds_since_boot();
    let client = command.stderr(Stdio::inherit()).spawn();
    let client = client.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let time = before..nanoseconds_since_boot();
    STARTED.lock().unwrap().push((client.id(), time));
    let output = client.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}: {said}",
        output.status
    );
    said
}
