// SPDX-License-Identifier: Apache-2.0
//! What the agent and the verifier say about this kernel. All are asked at once: each waits for the verifier.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, Result, anyhow, ensure};
use kernel_lab::guest::Order;
use kernel_lab::record::Record;
use kernel_lab::verifier;

use crate::teller::Teller;

/// Why each backend is refused, if it is.
pub type Refusals = BTreeMap<String, Option<String>>;

pub fn try_all(order: &Order, teller: &Teller) -> Result<Refusals> {
    thread::scope(|scope| {
        let refusals: Vec<_> = (order.backends.iter())
            .map(|backend| scope.spawn(move || try_backend(order, backend, teller)))
            .collect();
        let others = [
            scope.spawn(|| choose(order, teller)),
            scope.spawn(|| verify(order, teller)),
        ];
        for other in others {
            joined(other)?;
        }
        refusals.into_iter().map(joined).collect()
    })
}

fn joined<T>(thread: thread::ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread
        .join()
        .map_err(|_| anyhow!("a thread has panicked"))?
}

fn try_backend(order: &Order, name: &str, teller: &Teller) -> Result<(String, Option<String>)> {
    let refusal = start(order, name)?.err();
    let name = name.to_owned();
    teller.tell(&Record::Backend {
        name: name.clone(),
        refusal: refusal.clone(),
    })?;
    Ok((name, refusal))
}

fn choose(order: &Order, teller: &Teller) -> Result<()> {
    if order.backends.is_empty() {
        return Ok(());
    }
    let (Ok(words) | Err(words)) = start(order, "auto")?;
    teller.tell(&Record::Choice(words))
}

/// Starts the agent, ends it as soon as it is ready, and gives what it said: of its backend, or why it has none.
fn start(order: &Order, backend: &str) -> Result<Result<String, String>> {
    let mut child = Command::new(&order.agent)
        .args(["--verbose", "--listen", "none", "--backend", backend])
        .args(["--plugins-root", &format!("/run/{backend}")])
        .stderr(Stdio::piped())
        .spawn()
        .context("the agent")?;
    let log = BufReader::new(child.stderr.take().context("no log")?);
    let mut choice = None;
    let mut outcome = Err("the agent ended without a word".to_owned());
    for line in log.lines() {
        let line = line?;
        if let Some(error) = line.strip_prefix("error: ") {
            outcome = Err(reason(error, backend).to_owned());
        } else if let Some((_, words)) = line.split_once("] backend ") {
            choice = Some(words.to_owned());
        } else if line.contains("] ready: ") {
            outcome = choice
                .take()
                .ok_or_else(|| "it does not name its backend".to_owned());
            break;
        }
    }
    child.kill()?;
    child.wait()?;
    Ok(outcome)
}

/// Without what is the same for every backend.
fn reason<'a>(error: &'a str, backend: &str) -> &'a str {
    let error = error.strip_prefix("no usable backend: ").unwrap_or(error);
    let error = error.strip_prefix(backend).unwrap_or(error);
    let error = error.strip_prefix(": ").unwrap_or(error);
    error.split(" (-vv ").next().unwrap_or(error)
}

fn verify(order: &Order, teller: &Teller) -> Result<()> {
    let Some(program) = &order.verifier else {
        return Ok(());
    };
    let output = Command::new(program).stderr(Stdio::inherit()).output();
    let output = output.context("the verifier's program")?;
    ensure!(
        output.status.success(),
        "the verifier's program: {}",
        output.status
    );
    let records = verifier::records(&String::from_utf8_lossy(&output.stdout));
    records.iter().try_for_each(|record| teller.tell(record))
}
