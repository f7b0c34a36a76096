// SPDX-License-Identifier: Apache-2.0
//! Random conversations for as long as one likes: `make fuzz ARGS="--seconds 600"`.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use http1_fuzz::http2;
use http1_fuzz::trial::{self, KINDS};
use lexopt::Arg::Long;
use lexopt::ValueExt;

const ROUND: u64 = 1000;
/// These conversations are longer.
const HTTP2_ROUND: u64 = 100;

fn main() -> ExitCode {
    let limit = match time_limit() {
        Ok(limit) => limit,
        Err(error) => {
            eprintln!("{error:#} (usage: http1-fuzz [--seconds N])");
            return ExitCode::from(2);
        }
    };
    match rounds(limit) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Without a limit it runs until it is interrupted.
fn time_limit() -> Result<Option<Duration>> {
    let mut limit = None;
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("seconds") => {
                let seconds = arguments.value()?.parse().context("--seconds")?;
                limit = Some(Duration::from_secs(seconds));
            }
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(limit)
}

fn rounds(limit: Option<Duration>) -> Result<()> {
    let start = Instant::now();
    // Seeds that the tests never use; half the range leaves room to count up.
    let mut seed = fastrand::u64(1 << 32..u64::MAX / 2);
    let mut rounds = 0;
    while limit.is_none_or(|limit| start.elapsed() < limit) {
        for kind in KINDS {
            trial::run(kind, seed..seed + ROUND)?;
        }
        http2::trial::run(seed..seed + HTTP2_ROUND)?;
        seed += ROUND;
        rounds += 1;
        if rounds % 20 == 0 {
            let http2 = HTTP2_ROUND * http2::trial::KINDS;
            let conversations = rounds * (ROUND * KINDS.len() as u64 + http2);
            eprintln!(
                "{conversations} conversations in {} s",
                start.elapsed().as_secs()
            );
        }
    }
    Ok(())
}
