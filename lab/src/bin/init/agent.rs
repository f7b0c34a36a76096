// SPDX-License-Identifier: Apache-2.0
//! What the agent and the verifier say about this kernel. Both are asked at once, since both wait for the verifier.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, Result, anyhow, ensure};
use kernel_lab::guest::Order;
use kernel_lab::record::Record;
use kernel_lab::verifier::{self, reason};

use crate::teller::Teller;

/// Why each backend is refused, if it is.
pub type Refusals = BTreeMap<String, Option<String>>;

pub fn ask(order: &Order, teller: &Teller) -> Result<Refusals> {
    let Some(verifier) = &order.verifier else {
        return Ok(Refusals::new());
    };
    thread::scope(|scope| {
        let choice = scope.spawn(|| teller.tell(&Record::Choice(choice(&order.agent)?)));
        let refusals = try_each(verifier, teller)?;
        let panicked = |_| anyhow!("a thread has panicked");
        choice.join().map_err(panicked)??;
        Ok(refusals)
    })
}

fn try_each(verifier: &Path, teller: &Teller) -> Result<Refusals> {
    let output = Command::new(verifier).stderr(Stdio::inherit()).output();
    let output = output.context("the verifier's program")?;
    ensure!(
        output.status.success(),
        "the verifier's program: {}",
        output.status
    );
    let mut refusals = Refusals::new();
    for record in verifier::records(&String::from_utf8_lossy(&output.stdout)) {
        teller.tell(&record)?;
        if let Record::Backend { name, refusal } = record {
            refusals.insert(name, refusal);
        }
    }
    Ok(refusals)
}

/// What the agent says of its backend when it is free to choose, or why it has none. It is ended as soon as it is ready.
fn choice(agent: &Path) -> Result<String> {
    let mut child = Command::new(agent)
        .args(["--verbose", "--listen", "none", "--plugins-root", "/run"])
        .stderr(Stdio::piped())
        .spawn()
        .context("the agent")?;
    let log = BufReader::new(child.stderr.take().context("no log")?);
    let mut words = "the agent ended without a word".to_owned();
    for line in log.lines() {
        let line = line?;
        if let Some(error) = line.strip_prefix("error: ") {
            words = reason(error, "").to_owned();
        } else if let Some((_, choice)) = line.split_once("] backend ") {
            words = choice.to_owned();
        } else if line.contains("] ready: ") {
            break;
        }
    }
    child.kill()?;
    child.wait()?;
    Ok(words)
}
