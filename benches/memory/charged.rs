// SPDX-License-Identifier: Apache-2.0
//! What the control group of an agent with the defaults is charged: its own memory, its maps, and what the verifier takes. The limits
//! of `deploy/` are by this.

use std::os::unix::net::UnixStream;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use common::cgroup::ControlGroup;
use nix::unistd::{Uid, getpid, setuid};
use rustix::process::{Signal, set_parent_process_death_signal};

use crate::agent::{Agent, INTERVAL};
use crate::crowd::Crowd;
use crate::load::{self, exchange_of};

const VARIANTS: [(&str, &[&str]); 3] = [
    ("sock", &["--backend", "sock"]),
    (
        "sock --per-process",
        &["--backend", "sock", "--per-process"],
    ),
    (
        "syscall --per-process",
        &["--backend", "syscall", "--per-process"],
    ),
];

/// More than there is room for, of users who each have a share of it.
const PROCESSES: usize = 4200;
const USERS: u32 = 24;
const FIRST_USER: u32 = 61_000;
const KINDS: [u16; 5] = [200, 301, 404, 500, 503];
/// Until the agent's minute is full.
const CROWDED: Duration = Duration::from_secs(75);
/// Until nothing is left of the start.
const READY: Duration = Duration::from_secs(12);

pub fn print() -> Result<()> {
    println!(
        "\n| MiB | while programs are loaded | ready | of that, the agent's own | crowded, at most | threads |"
    );
    println!("|---|--:|--:|--:|--:|--:|");
    VARIANTS
        .iter()
        .try_for_each(|(name, args)| measure(name, args))
}

fn measure(name: &str, args: &[&str]) -> Result<()> {
    let group = ControlGroup::new("memory", &format!("http-stat-charged-{}", getpid()));
    let args = args.iter().map(|it| (*it).to_owned()).collect();
    let agent = Agent::start_in(Some(&group.members()), args)?;
    let loaded = mib(group.most_memory());
    sleep(READY);
    let (ready, own) = (mib(group.memory()), agent.status("VmRSS")? >> 10);
    let crowd = Crowd::start(PROCESSES, |gate| {
        let user = FIRST_USER + getpid().as_raw().unsigned_abs() % USERS;
        setuid(Uid::from_raw(user)).context("cannot become another user")?;
        // Which that has undone.
        set_parent_process_death_signal(Some(Signal::KILL))?;
        let (mut client, mut server) = UnixStream::pair()?;
        gate.pass()?;
        loop {
            let mut kinds = KINDS.iter();
            kinds.try_for_each(|status| exchange_of(&mut client, &mut server, *status))?;
            sleep(INTERVAL);
        }
        #[expect(unreachable_code, reason = "it says what the loop would return")]
        Ok(())
    })?;
    crowd.wait()?;
    crowd.open()?;
    let _page = load::look_at(&agent)?;
    let start = Instant::now();
    while start.elapsed() < CROWDED {
        agent.requests()?;
        agent.report("gzip")?;
        sleep(INTERVAL);
    }
    println!(
        "| `{name}` | {loaded} | {ready} | {own} | {} | {} |",
        mib(group.most_memory()),
        agent.threads()?
    );
    Ok(())
}

fn mib(bytes: u64) -> u64 {
    bytes >> 20
}
