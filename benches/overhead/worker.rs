// SPDX-License-Identifier: Apache-2.0
//! The process that is measured: another one than the process that loads the programs, since the agent
//! passes over its own traffic.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::cores::{Cores, pin};
use crate::workload::{Kind, Measured};

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
        let orders = self.orders.as_mut().context("the worker is at its end")?;
        writeln!(orders, "{} {}", name(kind), budget.as_millis())?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        let (floor, requests) = answer
            .trim()
            .split_once(' ')
            .context("the worker has failed")?;
        Ok(Measured {
            floor: floor.parse()?,
            requests: requests.parse()?,
        })
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
    for order in std::io::stdin().lines() {
        let order = order?;
        let (kind, budget) = order.split_once(' ').context("half an order")?;
        let kind = Kind::from_str(kind, false).map_err(anyhow::Error::msg)?;
        let budget = Duration::from_millis(budget.parse()?);
        let Measured { floor, requests } = kind.prepare(cores)?.measure(budget)?;
        println!("{floor} {requests}");
    }
    Ok(())
}

fn name(kind: Kind) -> String {
    kind.to_possible_value()
        .map(|value| value.get_name().to_owned())
        .unwrap_or_default()
}
