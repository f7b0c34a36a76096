// SPDX-License-Identifier: Apache-2.0
//! Random blocks and conversations of HTTP/2.

use anyhow::{Result, ensure};
use http1_fuzz::http2::trial;
use http1_fuzz::trial::seeds;

#[test]
fn blocks_mean_what_two_decoders_say() -> Result<()> {
    let found = trial::run_blocks(seeds(0..4000)?)?;
    println!("{found:?}");
    ensure!(found.blocks > 100_000 || found.blocks < 100, "{found:?}");
    Ok(())
}

#[test]
fn streams_count_as_in_the_model() -> Result<()> {
    println!("{} counts", trial::run_calls(seeds(0..2000)?)?);
    Ok(())
}

#[test]
fn nothing_is_wrong_of_what_is_joined_late() -> Result<()> {
    println!("{:?}", trial::run_joined(seeds(0..2000)?)?);
    Ok(())
}
