// SPDX-License-Identifier: Apache-2.0
//! Random blocks and conversations of HTTP/2, and of what is something else.

use anyhow::{Result, ensure};
use http1_fuzz::http2::trial;
use http1_fuzz::trial::seeds;

const BLOCK_SEEDS: u64 = 2500;

#[test]
fn blocks_mean_what_two_decoders_say() -> Result<()> {
    let seeds = seeds(0..BLOCK_SEEDS)?;
    let all = seeds.end == BLOCK_SEEDS;
    let found = trial::run_blocks(seeds)?;
    println!("{found:?}");
    ensure!(
        !all || found.blocks > 100_000,
        "only {} blocks",
        found.blocks
    );
    // Tables that hold more than is remembered are among them.
    ensure!(!all || found.unknown > 1000, "{found:?}");
    Ok(())
}

#[test]
fn streams_count_as_in_the_model() -> Result<()> {
    println!("{} counts", trial::run_calls(seeds(0..2000)?)?);
    Ok(())
}

#[test]
fn nothing_is_wrong_of_what_is_joined_late() -> Result<()> {
    let found = trial::run_joined(seeds(0..2000)?)?;
    println!("{found:?}");
    let (known, all) = found.requests;
    ensure!(known * 10 > all * 8, "{known} of {all} requests");
    Ok(())
}

#[test]
fn nothing_is_wrong_after_what_could_not_be_read() -> Result<()> {
    println!("{:?}", trial::run_blinded(seeds(0..2000)?)?);
    Ok(())
}

#[test]
fn other_protocols_are_not_taken_for_it() -> Result<()> {
    println!("{} transfers", trial::run_strangers(seeds(0..60_000)?)?);
    Ok(())
}

#[test]
fn the_ends_of_clients_are_not_taken_for_it() -> Result<()> {
    println!("{} transfers", trial::run_clients(seeds(0..500)?)?);
    Ok(())
}
