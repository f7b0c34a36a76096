// SPDX-License-Identifier: Apache-2.0
//! What befalls an agent that runs: it is stopped for a while, clocks are not what they were, files go away, nobody reads what it
//! says. Nothing is lost, nothing counts twice, and no rate jumps. What is true is what the clients here have asked.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::RwLock;
use std::time::Duration;

use common::agent::Program;

mod clocks;
mod followed;
mod memory;
mod pids;
mod restarted;
mod silenced;
mod statistics;
mod stopped;
mod tracefs;

const AGENT: Program = common::agent!();

/// For what takes seconds, on machines that are busy with other things.
const PATIENCE: Duration = Duration::from_secs(120);
/// Often enough to see every tick: a report has the last five.
const OFTEN: Duration = Duration::from_millis(300);

/// A crowd of processes makes reports so long that they leave out ticks, whoever's agent it is.
static CROWD: RwLock<()> = RwLock::new(());

/// The agent after `prepare`, which may make system calls but must not allocate.
fn prepared(prepare: impl FnMut() -> io::Result<()> + Send + Sync + 'static) -> Command {
    let mut command = AGENT.command();
    // SAFETY: each closure below only makes system calls with what was allocated before the fork.
    unsafe { command.pre_exec(prepare) };
    command
}

mod reader {
    #[test]
    #[ignore = "the entry of the servers that other tests start"]
    fn receives() {
        common::reader::serve_if_ordered();
    }

    #[test]
    #[ignore = "the entry of the servers that other tests start"]
    fn serves() {
        common::homemade::serve();
    }
}
