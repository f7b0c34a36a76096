// SPDX-License-Identifier: Apache-2.0
//! What the agent itself costs, by how much there is to count: time of its own threads by the scheduler's count, which is the
//! least of several windows, and its memory.

use std::fs;
use std::os::unix::net::UnixStream;
use std::process::exit;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, fork};
use scope_http_statistics::kernel::backend::Backend;

use crate::agent::{Agent, INTERVAL};
use crate::crowd::Crowd;
use crate::load::{exchange_of, look_at};

/// Of which the cheapest counts. Each has several ticks: on a busy machine one comes late, and so in the next window.
const WINDOWS: usize = 5;
const WINDOW: Duration = INTERVAL.saturating_mul(5);
/// As shipped.
const MAX_PROCESSES: u32 = 4096;
const EXITS: &str = "5 000 exits a second, one request each";
const EXITS_A_SECOND: u32 = 5000;
const FORKERS: u32 = 4;
const KINDS: [u16; 3] = [200, 404, 500];

struct Row {
    name: &'static str,
    processes: usize,
    kinds: usize,
    active: bool,
    page: bool,
}

const ROWS: [Row; 5] = [
    row("0", 0, 0, false, false),
    row("10 000 x 1 idle", 10_000, 1, false, false),
    row("10 000 x 1 active, a page open", 10_000, 1, true, true),
    row("10 000 x 3 active", 10_000, 3, true, false),
    row("50 000 x 1 active", 50_000, 1, true, false),
];

const fn row(name: &'static str, processes: usize, kinds: usize, active: bool, page: bool) -> Row {
    Row {
        name,
        processes,
        kinds,
        active,
        page,
    }
}

/// The rows whose names have this in them.
pub fn print(quick: bool, wanted: &str) -> Result<()> {
    println!(
        "\n| processes x kinds of answers | CPU a second, ms | tick, ms | resident, MiB | anonymous, MiB | requests a second |"
    );
    println!("|---|--:|--:|--:|--:|--:|");
    for row in ROWS.iter().filter(|row| row.name.contains(wanted)) {
        if quick && row.processes > 10_000 {
            continue;
        }
        measure(row)?;
    }
    if EXITS.contains(wanted) {
        exits()?;
    }
    Ok(())
}

/// By default a kernel has 32 768 pids, or 1024 for each CPU where that is more. What it was is put back.
struct PidMax {
    before: u64,
}

impl PidMax {
    const FILE: &str = "/proc/sys/kernel/pid_max";

    fn at_least(pids: usize) -> Result<Self> {
        let before = fs::read_to_string(Self::FILE)?.trim().parse()?;
        if before < pids as u64 {
            fs::write(Self::FILE, pids.to_string()).context("there cannot be so many processes")?;
        }
        Ok(Self { before })
    }
}

impl Drop for PidMax {
    fn drop(&mut self) {
        // It is a limit that others have done with, too, should it stay.
        let _ = fs::write(Self::FILE, self.before.to_string());
    }
}

fn measure(row: &Row) -> Result<()> {
    // With room for all the others of the host.
    let _pids = PidMax::at_least(2 * row.processes)?;
    // All are one user's, who gets half of a table.
    let max = (2 * row.processes as u32 + 100).max(MAX_PROCESSES);
    let agent = Agent::start(Backend::Sock, max, 1024)?;
    // Each asks itself, once a second as long as it is active.
    let crowd = Crowd::start(row.processes, |gate| {
        let (mut client, mut server) = UnixStream::pair()?;
        let mut ask = || {
            KINDS[..row.kinds]
                .iter()
                .try_for_each(|status| exchange_of(&mut client, &mut server, *status))
        };
        ask()?;
        gate.pass()?;
        if row.active {
            loop {
                ask()?;
                sleep(INTERVAL);
            }
        }
        Ok((client, server))
    })?;
    crowd.wait()?;
    agent.wait_for(row.processes)?;
    crowd.open()?;
    let page = row.page.then(|| look_at(&agent)).transpose()?;
    if row.active {
        sleep(3 * INTERVAL);
    } else if row.processes > 0 {
        // Until nothing is told any more of the one request of each.
        sleep(76 * INTERVAL);
    }
    tell(row.name, &agent)?;
    drop(page);
    Ok(())
}

fn tell(name: &str, agent: &Agent) -> Result<()> {
    let (mut all, mut sampler) = (Vec::new(), Vec::new());
    let (begin, requests) = (Instant::now(), agent.requests()?);
    for _ in 0..WINDOWS {
        let (start, before) = (Instant::now(), agent.times()?);
        sleep(WINDOW);
        let after = agent.times()?;
        let a_second = |it: Duration| it.div_f64(start.elapsed().as_secs_f64());
        all.push(a_second(after.since(&before)));
        sampler.push(a_second(after.sampler - before.sampler));
    }
    // A machine may not come to ask as often as it should.
    let requests = (agent.requests()? - requests) / begin.elapsed().as_secs_f64();
    let mib = |field| Ok::<_, anyhow::Error>(agent.status(field)? as f64 / 1024.0);
    println!(
        "| {name} | {:.1} | {:.1} | {:.1} | {:.1} | {requests:.0} |",
        floor(all).as_secs_f64() * 1e3,
        floor(sampler).as_secs_f64() * 1e3,
        mib("VmRSS")?,
        mib("RssAnon")?,
    );
    Ok(())
}

fn floor(windows: Vec<Duration>) -> Duration {
    windows.into_iter().min().unwrap_or_default()
}

/// Processes that end after one request each.
fn exits() -> Result<()> {
    let agent = Agent::start(Backend::Sock, MAX_PROCESSES, 1024)?;
    let forkers = Crowd::start(FORKERS as usize, |gate| {
        gate.pass()?;
        let pause = Duration::from_secs(1) / (EXITS_A_SECOND / FORKERS);
        let mut next = Instant::now();
        loop {
            // SAFETY: there is no other thread that could hold a lock in this moment.
            match unsafe { fork() }.context("cannot start a process")? {
                ForkResult::Parent { child } => _ = waitpid(child, None),
                ForkResult::Child => {
                    let asked = UnixStream::pair().map_err(Into::into).and_then(
                        |(mut client, mut server)| exchange_of(&mut client, &mut server, 200),
                    );
                    exit(i32::from(asked.is_err()));
                }
            }
            next += pause;
            sleep(next.saturating_duration_since(Instant::now()));
        }
        #[expect(unreachable_code, reason = "it says what the loop would return")]
        Ok(())
    })?;
    forkers.open()?;
    sleep(10 * INTERVAL);
    tell(EXITS, &agent)
}
