// SPDX-License-Identifier: Apache-2.0
//! What the agent makes of this kernel.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use kernel_lab::guest::Order;
use kernel_lab::record::Record;
use kernel_lab::verifier;

use crate::teller::Teller;

/// Why each backend is refused, if it is.
pub type Refusals = BTreeMap<String, Option<String>>;

pub fn ask(order: &Order, teller: &Teller) -> Result<Refusals> {
    let mut refusals = Refusals::new();
    let Some(verifier) = &order.verifier else {
        return Ok(refusals);
    };
    let output = Command::new(verifier).stderr(Stdio::inherit()).output();
    let output = output.context("the verifier's program")?;
    ensure!(
        output.status.success(),
        "the verifier's program: {}",
        output.status
    );
    for record in verifier::records(&String::from_utf8_lossy(&output.stdout)) {
        teller.tell(&record)?;
        if let Record::Backend { name, refusal } = record {
            refusals.insert(name, refusal);
        }
    }
    Ok(refusals)
}
