// SPDX-License-Identifier: Apache-2.0
//! Files that people write: whatever a name leads to, no more of it is read than anybody writes.

use std::fs::{File, Metadata};
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, ensure};

const MOST_BYTES: u64 = 1 << 20;

/// All of it, and what the file was when it was opened.
pub fn read(path: &Path) -> Result<(Vec<u8>, Metadata)> {
    let read = || {
        let mut bytes = Vec::new();
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        file.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
        ensure!(
            bytes.len() as u64 <= MOST_BYTES,
            "it is larger than {MOST_BYTES} bytes"
        );
        Ok((bytes, metadata))
    };
    read().with_context(|| format!("cannot read {}", path.display()))
}
