// SPDX-License-Identifier: Apache-2.0
//! The process that is measured: another one than the process that loads the programs, since the agent
//! passes over its own traffic.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::cores::{Cores, pin};
use crate::stall::call::{Called, Conversation};
use crate::stall::input::Case;
use crate::workload::{Kind, Measured};

/// What it can be told to do: a line of JSON, as is the answer.
#[derive(Serialize, Deserialize)]
enum Order {
    /// Sets this kind of work up.
    SetUp(Kind),
    /// This kind of work, for so long; unless it was set up before, it is now.
    Measure(Kind, Duration),
    /// A conversation up to the call that the case is about.
    Prepare(Case),
    /// That call, with somebody who waits for the CPU meanwhile or without.
    Call { watched: bool },
}

pub struct Worker {
    process: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Worker {
    pub fn start() -> Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg("--worker")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start a second process")?;
        let orders = process.stdin.take();
        let answers = process
            .stdout
            .take()
            .context("no way to hear of the worker")?;
        Ok(Self {
            process,
            orders,
            answers: BufReader::new(answers),
        })
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    pub fn measure(&mut self, kind: Kind, budget: Duration) -> Result<Measured> {
        self.order(&Order::Measure(kind, budget))
    }

    pub fn set_up(&mut self, kind: Kind) -> Result<()> {
        self.order(&Order::SetUp(kind))
    }

    pub fn prepare(&mut self, case: Case) -> Result<()> {
        self.order(&Order::Prepare(case))
    }

    pub fn call(&mut self, watched: bool) -> Result<Called> {
        self.order(&Order::Call { watched })
    }

    fn order<A: DeserializeOwned>(&mut self, order: &Order) -> Result<A> {
        let orders = self.orders.as_mut().context("the worker is at its end")?;
        writeln!(orders, "{}", serde_json::to_string(order)?)?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        serde_json::from_str(&answer).context("the worker has failed")
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Without orders it ends; whatever comes of that, there is nobody left to tell.
        drop(self.orders.take());
        let _ = self.process.wait();
    }
}

/// The worker's own side: does what it is told until nothing more comes.
pub fn serve(cores: Cores) -> Result<()> {
    pin(cores.here)?;
    let mut workloads = BTreeMap::new();
    let mut conversation = None;
    for order in std::io::stdin().lines() {
        match serde_json::from_str(&order?).context("half an order")? {
            Order::SetUp(kind) => {
                workloads.insert(kind, kind.prepare(cores)?);
                answer(&())?;
            }
            Order::Measure(kind, budget) => {
                let mut workload = match workloads.remove(&kind) {
                    Some(workload) => workload,
                    None => kind.prepare(cores)?,
                };
                answer(&workload.measure(budget)?)?;
            }
            Order::Prepare(case) => {
                conversation = Some(Conversation::prepare(case)?);
                answer(&())?;
            }
            Order::Call { watched } => {
                let conversation = conversation.take().context("a call without preparation")?;
                answer(&conversation.call(watched, cores)?)?;
            }
        }
    }
    Ok(())
}

fn answer(what: &impl Serialize) -> Result<()> {
    println!("{}", serde_json::to_string(what)?);
    Ok(())
}
