// SPDX-License-Identifier: Apache-2.0
//! The framing counts what the oracle reads, in every random conversation.

use anyhow::Result;
use http1_fuzz::trial::{self, Kind};

#[test]
fn whole_conversations_count_exactly() -> Result<()> {
    trial::run(Kind::Whole, trial::seeds(0..100_000)?)
}

#[test]
fn a_joined_connection_counts_from_the_next_request() -> Result<()> {
    trial::run(Kind::Joined, trial::seeds(0..20_000)?)
}

#[test]
fn an_unreadable_receive_costs_only_the_request_it_hid() -> Result<()> {
    trial::run(Kind::Blinded, trial::seeds(0..20_000)?)
}

#[test]
fn other_protocols_count_nothing() -> Result<()> {
    trial::run(Kind::OtherProtocol, trial::seeds(0..20_000)?)
}

#[test]
fn a_full_map_costs_the_answers_that_it_lost_and_no_others() -> Result<()> {
    trial::run(Kind::Pipelined, trial::seeds(0..20_000)?)
}

#[test]
fn a_fast_look_at_a_head_sees_what_a_thorough_one_sees() -> Result<()> {
    trial::run(Kind::Heads, trial::seeds(0..200_000)?)
}
