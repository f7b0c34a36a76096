// SPDX-License-Identifier: Apache-2.0
//! What the agent makes of this kernel.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::ErrorKind;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use kernel_lab::guest::{self, Order, VERIFIER_TABLE};
use kernel_lab::kernels::BACKENDS;
use kernel_lab::record::Record;
use kernel_lab::verifier;

use crate::teller::Teller;

/// Why each backend is refused, if it is.
pub type Refusals = BTreeMap<String, Option<String>>;

/// Tries the backends that are not expected to be possible; the tests of the others try those.
pub fn ask(order: &Order, teller: &Teller) -> Result<Refusals> {
    let expected = env::var(guest::BACKENDS).context("the expected backends")?;
    let (expected, others): (Vec<_>, Vec<_>) =
        (BACKENDS.into_iter()).partition(|backend| expected.split(',').any(|e| e == *backend));
    let possible = expected
        .into_iter()
        .map(|backend| (backend.to_owned(), None));
    let mut refusals: Refusals = possible.collect();
    let Some(verifier) = order.verifier.as_ref().filter(|_| !others.is_empty()) else {
        return Ok(refusals);
    };
    let output = Command::new(verifier)
        .args(others)
        .stderr(Stdio::inherit())
        .output();
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

/// Tells what tests have seen of the agent's choice and of the verifier.
pub fn tell_what_tests_saw(teller: &Teller) -> Result<()> {
    let (_, table) = VERIFIER_TABLE;
    let text = match fs::read_to_string(table) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        text => text.context(table)?,
    };
    (verifier::records(&text).iter()).try_for_each(|record| teller.tell(record))
}
