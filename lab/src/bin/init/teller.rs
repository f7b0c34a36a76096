// SPDX-License-Identifier: Apache-2.0
//! Tells the host what happens.

use std::fs::File;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use kernel_lab::record::Record;

const LOG: &str = "/dev/kmsg";

pub struct Teller(Mutex<File>);

impl Teller {
    pub fn new() -> Result<Self> {
        let log = File::options().write(true).open(LOG).context(LOG)?;
        Ok(Self(Mutex::new(log)))
    }

    /// Each write is one message of the kernel's log, of a level that a quiet console shows.
    pub fn tell(&self, record: &Record) -> Result<()> {
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for message in record.messages()? {
            log.write_all(format!("<1>{message}").as_bytes())?;
        }
        Ok(())
    }
}
