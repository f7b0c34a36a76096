// SPDX-License-Identifier: Apache-2.0
//! Trials: random blocks and conversations, what they say, and what the C makes of them.

use std::collections::HashMap;
use std::ops::Range;

use anyhow::{Context, Result, bail, ensure};
use fastrand::Rng;

use crate::http2::block::{Field, Meaning, field};
use crate::http2::calls::Calls;
use crate::http2::encoder::Encoder;
use crate::http2::frames::{Frames, PREFACE, cut};
use crate::http2::nghttp2::Deflater;
use crate::http2::oracle::Oracle;
use crate::http2::shim::{Connection, Count, From, GRPC_UNKNOWN};
use crate::http2::stranger;
use crate::message::choose;
use crate::transfer::{Conversation, Direction};

/// What trials have found.
#[derive(Clone, Copy, Debug, Default)]
pub struct Found {
    pub blocks: usize,
    /// Blocks of which something was unknown.
    pub unknown: usize,
    pub octets: usize,
    pub steps: usize,
}

impl Found {
    fn add(&mut self, other: Self) {
        self.blocks += other.blocks;
        self.unknown += other.unknown;
        self.octets += other.octets;
        self.steps += other.steps;
    }
}

/// A table that holds more than is remembered.
const LARGE: usize = 4097;

fn fields(rng: &mut Rng, allowed: usize) -> Vec<Field> {
    let mut fields: Vec<Field> = Vec::new();
    for _ in 0..rng.usize(1..12) {
        let next = field(rng);
        // Where the first of several alike is unknown, another counts: only where nothing is, it is worth a try.
        if allowed < LARGE || !fields.iter().any(|(name, _)| *name == next.0) {
            fields.push(next);
        }
    }
    fields
}

/// The blocks of one direction of a connection, against both decoders.
fn blocks(seed: u64) -> Result<Found> {
    let rng = &mut Rng::with_seed(seed);
    let direction = choose(rng, &[Direction::Receive, Direction::Send]);
    let allowed = choose(
        rng,
        &[4096, 4096, 4096, 4096, 0, 32, 100, 256, 1000, 65_536],
    );
    let mut oracle = Oracle::new(allowed);
    let mut deflater = (rng.u8(..3) == 0).then(|| Deflater::new(allowed));
    if let Some(deflater) = &mut deflater {
        deflater.resize(allowed);
    }
    let mut encoder = Encoder::new(rng, allowed);
    let mut frames = Frames::default();
    if direction == Direction::Receive {
        frames.bytes.extend(PREFACE);
    }
    frames.settings();
    // The same fields come again and again.
    let vocabulary: Vec<_> = (0..20).map(|_| fields(rng, allowed)).collect();
    let mut expected = Vec::new();
    let most = if allowed < LARGE { 80 } else { 300 };
    for n in 0..rng.u32(1..most) {
        let fields = if rng.u8(..4) > 0 {
            vocabulary[rng.usize(..vocabulary.len())].clone()
        } else {
            fields(rng, allowed)
        };
        let block = match &mut deflater {
            Some(deflater) => {
                if rng.u8(..20) == 0 {
                    deflater.resize(rng.usize(..=allowed));
                }
                deflater.block(&fields)
            }
            None => encoder.block(rng, &fields),
        };
        ensure!(oracle.block(&block) == fields, "SEED={seed}: the encoder");
        let promised = (direction == Direction::Send && rng.u8(..8) == 0).then_some(2 * n + 2);
        let end = rng.bool();
        frames.block(rng, 2 * n + 1, &block, end, promised);
        if promised.is_none() {
            expected.push((2 * n + 1, Meaning::of_fields(&fields), end));
        }
        if rng.bool() {
            frames.noise(rng, 2 * n + 1, false);
        }
        if rng.u8(..4) == 0 {
            let length = rng.usize(..5000);
            frames.data(rng, 2 * n + 1, length, false);
        }
    }
    let mut connection = Connection::new(From::Preface);
    for range in cut(rng, frames.bytes.len()) {
        let hides = |data: &Range<usize>| data.start <= range.start && range.end <= data.end;
        if rng.bool() && frames.data.iter().any(hides) {
            connection.hidden(direction, range.len());
        } else {
            connection.transfer(direction, &frames.bytes[range]);
        }
    }
    let mut found = Found {
        octets: frames.bytes.len(),
        steps: connection.steps(),
        ..Found::default()
    };
    let read = connection.blocks();
    ensure!(connection.losses() == 0, "SEED={seed}: lost");
    ensure!(read.len() == expected.len(), "SEED={seed}: {read:?}");
    for (block, (stream, meaning, end)) in read.iter().zip(expected) {
        let is = Meaning::of_block(block);
        let right = if block.is_unknown() {
            allowed >= LARGE && block.is_aged() && meaning.allows(&is)
        } else {
            meaning == is
        };
        ensure!(
            right && block.stream == stream && block.is_last() == end,
            "SEED={seed}: {block:?} of stream {stream} is {meaning:?}"
        );
        found.blocks += 1;
        found.unknown += usize::from(block.is_unknown());
    }
    Ok(found)
}

/// All but the requests, in order; and how many of those.
fn sorted(counts: Vec<Count>) -> (u32, Vec<Count>) {
    let mut requests = 0;
    let mut others = Vec::new();
    for count in counts {
        match count {
            Count::Requests(n) => requests += n,
            other => others.push(other),
        }
    }
    others.sort_unstable();
    (requests, others)
}

/// A whole conversation against the model.
fn whole(calls: &Calls) -> Result<()> {
    let connection = calls.follow(0, calls.from);
    let (requests, counted) = sorted(connection.counts());
    let (expected_requests, expected) = sorted(calls.counts(0));
    ensure!(connection.losses() == 0, "lost");
    ensure!(
        requests == expected_requests,
        "{requests} of {expected_requests} requests"
    );
    if counted != expected {
        let missing: Vec<_> = expected.iter().filter(|it| !counted.contains(it)).collect();
        let more: Vec<_> = counted.iter().filter(|it| !expected.contains(it)).collect();
        bail!("not counted: {missing:?}\nwrongly: {more:?}");
    }
    Ok(())
}

/// How much of what there was to count is known by who has joined late.
#[derive(Clone, Copy, Debug, Default)]
pub struct Joined {
    pub requests: (usize, usize),
    pub responses: (usize, usize),
    /// Of those that were counted, the known ones.
    pub statuses: usize,
    pub methods: usize,
    pub calls: (usize, usize),
}

/// A conversation that is not seen whole, but from a transfer on: nothing that is counted may be wrong.
fn joined(calls: &Calls, connection: &Connection, first: usize, found: &mut Joined) -> Result<()> {
    let (requests, counted) = sorted(connection.counts());
    let (all_requests, _) = sorted(calls.counts(first));
    ensure!(
        requests <= all_requests,
        "{requests} of {all_requests} requests"
    );
    found.requests.0 += requests as usize;
    found.requests.1 += all_requests as usize;
    let mut truth = HashMap::new();
    for count in calls.everything() {
        match count {
            Count::Response(stream, method, status, duration) => {
                truth.insert((stream, 0), (method, status, duration));
            }
            Count::Call(stream, grpc, duration) => {
                truth.insert((stream, 1), (None, grpc, duration));
            }
            Count::Abandoned(stream, method, duration) => {
                truth.insert((stream, 2), (method, 0, duration));
            }
            Count::Refused(stream, method, duration) => {
                truth.insert((stream, 3), (method, 0, duration));
            }
            _ => {}
        }
    }
    for count in calls.counts(first) {
        found.responses.1 += usize::from(matches!(count, Count::Response(..)));
        found.calls.1 += usize::from(matches!(count, Count::Call(..)));
    }
    for count in counted {
        let right = match count {
            Count::Response(stream, method, status, duration) => {
                found.responses.0 += 1;
                found.methods += usize::from(method.is_some());
                found.statuses += usize::from(status != 0);
                let is = truth.remove(&(stream, 0));
                is.is_some_and(|is| {
                    (method.is_none() || method == is.0)
                        && (status == 0 || status == is.1)
                        && (duration == is.2 || status == 0)
                })
            }
            Count::Call(_, GRPC_UNKNOWN, _) => true,
            Count::Call(stream, grpc, duration) => {
                found.calls.0 += 1;
                truth.remove(&(stream, 1)) == Some((None, grpc, duration))
            }
            Count::Abandoned(stream, method, duration) => truth
                .remove(&(stream, 2))
                .is_some_and(|is| (method.is_none() || method == is.0) && duration == is.2),
            Count::Refused(stream, method, duration) => truth
                .remove(&(stream, 3))
                .is_some_and(|is| (method.is_none() || method == is.0) && duration == is.2),
            _ => true,
        };
        ensure!(right, "wrongly, from transfer {first} on: {count:?}");
    }
    Ok(())
}

/// Blocks of one connection for each seed.
pub fn run_blocks(seeds: Range<u64>) -> Result<Found> {
    let mut found = Found::default();
    for seed in seeds {
        found.add(blocks(seed)?);
    }
    Ok(found)
}

fn calls(seed: u64) -> Calls {
    let rng = &mut Rng::with_seed(seed);
    let outstanding = choose(rng, &[1, 2, 10, 16, 17, 100, 128, 300, 1000]);
    let count = rng.u32(1..=(outstanding as u32 * 2).clamp(30, 1500));
    Calls::random(rng, count, outstanding)
}

pub fn run_calls(seeds: Range<u64>) -> Result<usize> {
    let mut streams = 0;
    for seed in seeds {
        let calls = calls(seed);
        whole(&calls).with_context(|| format!("SEED={seed}"))?;
        streams += calls.counts(0).len();
    }
    Ok(streams)
}

pub fn run_joined(seeds: Range<u64>) -> Result<Joined> {
    let mut found = Joined::default();
    for seed in seeds {
        let calls = calls(seed);
        let first = Rng::with_seed(seed).usize(..calls.transfers.len());
        let connection = calls.follow(first, From::Middle);
        joined(&calls, &connection, first, &mut found).with_context(|| format!("SEED={seed}"))?;
    }
    Ok(found)
}

/// Some transfers cannot be read.
pub fn run_blinded(seeds: Range<u64>) -> Result<Joined> {
    let mut found = Joined::default();
    for seed in seeds {
        let calls = calls(seed);
        let rng = &mut Rng::with_seed(seed);
        let unreadable: Vec<_> = (0..rng.usize(1..4))
            .map(|_| rng.usize(..calls.transfers.len()))
            .collect();
        let connection = calls.follow_blinded(&unreadable);
        joined(&calls, &connection, 0, &mut found).with_context(|| format!("SEED={seed}"))?;
    }
    Ok(found)
}

/// What counts of a connection that nobody has seen the beginning of.
fn counts_of(conversation: &Conversation) -> Vec<Count> {
    let mut connection = Connection::new(From::Middle);
    for transfer in &conversation.transfers {
        connection.transfer(transfer.direction, conversation.bytes(transfer));
    }
    connection.counts()
}

/// How many transfers there were of other protocols.
pub fn run_strangers(seeds: Range<u64>) -> Result<usize> {
    let mut transfers = 0;
    for seed in seeds {
        let conversation = stranger::random(&mut Rng::with_seed(seed));
        let counts = counts_of(&conversation);
        ensure!(counts.is_empty(), "SEED={seed}: {counts:?}");
        transfers += conversation.transfers.len();
    }
    Ok(transfers)
}

/// The same at the ends of clients.
pub fn run_clients(seeds: Range<u64>) -> Result<usize> {
    let mut transfers = 0;
    for seed in seeds {
        let conversation = stranger::client(&calls(seed));
        let first = Rng::with_seed(seed).usize(..conversation.transfers.len());
        let counts = counts_of(&conversation.without_first(first));
        ensure!(counts.is_empty(), "SEED={seed}: {counts:?}");
        transfers += conversation.transfers.len() - first;
    }
    Ok(transfers)
}

pub const KINDS: u64 = 6;

/// One of each kind for each seed.
pub fn run(seeds: Range<u64>) -> Result<()> {
    run_blocks(seeds.clone())?;
    run_calls(seeds.clone())?;
    run_joined(seeds.clone())?;
    run_blinded(seeds.clone())?;
    run_strangers(seeds.clone())?;
    run_clients(seeds)?;
    Ok(())
}
