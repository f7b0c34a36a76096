// SPDX-License-Identifier: Apache-2.0
//! The agent that is tested.

use common::agent::Program;

pub const AGENT: Program = common::agent!();
