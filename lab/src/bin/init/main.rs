// SPDX-License-Identifier: Apache-2.0
//! Process 1 of a machine: prepares it, does what the host has ordered, tells what came of it, and turns the machine off.

mod agent;
mod system;
mod teller;
mod tests;

use std::convert::Infallible;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result};
use kernel_lab::guest::{ORDER, Order};
use kernel_lab::record::Record;
use nix::errno::Errno;
use nix::sys::reboot::{RebootMode, reboot};
use nix::sys::wait::wait;

use teller::Teller;

/// How this program is started again, to do the work while process 1 buries those whose parents are gone.
const WORKER: &str = "worker";

fn main() -> Result<Infallible> {
    if std::env::args().any(|argument| argument == WORKER) {
        work()?;
        std::process::exit(0);
    }
    system::prepare()?;
    Command::new("/init")
        .arg(WORKER)
        .spawn()
        .context("the worker")?;
    while !matches!(wait(), Err(Errno::ECHILD)) {}
    Ok(reboot(RebootMode::RB_POWER_OFF)?)
}

fn work() -> Result<()> {
    let order: Order = serde_json::from_slice(&fs::read(ORDER)?)?;
    let teller = Teller::new()?;
    teller.tell(&Record::Release(system::release()?))?;
    let refusals = agent::ask(&order, &teller)?;
    for program in &order.programs {
        tests::run(program, &order.environment, &refusals, &teller)?;
    }
    agent::tell_what_tests_saw(&teller)?;
    teller.tell(&Record::End)
}
