// SPDX-License-Identifier: Apache-2.0
//! How far the stack pointer is below what it was at a function's entry, as far as that follows from the code.

use std::collections::HashMap;

use iced_x86::{FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpKind, Register};

use super::body::Body;
use super::instruction::{is_jump, lowers, writes_any};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    below: i64,
    /// Where the frame pointer points to, if that is to the frame.
    frame: Option<i64>,
}

/// By instruction.
pub struct Stack(HashMap<u64, State>);

impl Stack {
    /// Knows nothing where two ways to an instruction do not agree: some of what was taken for a way is none.
    pub fn of(body: &Body, info: &mut InstructionInfoFactory) -> Self {
        let mut known: HashMap<u64, State> = HashMap::new();
        let entry = State {
            below: 0,
            frame: None,
        };
        let mut to_do: Vec<_> = body
            .code
            .first()
            .map(|it| (it.ip(), entry))
            .into_iter()
            .collect();
        while let Some((address, state)) = to_do.pop() {
            let Some(place) = body.place_of(address) else {
                continue;
            };
            if let Some(before) = known.get_mut(&address) {
                if before.below != state.below {
                    return Self(HashMap::new());
                }
                if before.frame == state.frame || before.frame.is_none() {
                    continue;
                }
                before.frame = None;
            } else {
                known.insert(address, state);
            }
            let state = known[&address];
            let instruction = &body.code[place];
            let Some(after) = after(instruction, state, info) else {
                continue;
            };
            if is_jump(instruction) {
                to_do.push((instruction.near_branch_target(), after));
            }
            let goes_on = matches!(
                instruction.flow_control(),
                FlowControl::Next
                    | FlowControl::Call
                    | FlowControl::IndirectCall
                    | FlowControl::ConditionalBranch
            );
            if goes_on {
                to_do.push((instruction.next_ip(), after));
            }
        }
        Self(known)
    }

    pub fn below(&self, address: u64) -> Option<i64> {
        self.0.get(&address).map(|it| it.below)
    }
}

fn after(
    instruction: &Instruction,
    state: State,
    info: &mut InstructionInfoFactory,
) -> Option<State> {
    let (to, from) = (instruction.op0_register(), instruction.op1_register());
    match instruction.mnemonic() {
        Mnemonic::Mov if to == Register::RBP && from == Register::RSP => Some(State {
            frame: Some(state.below),
            ..state
        }),
        Mnemonic::Leave => Some(State {
            below: state.frame?.checked_sub(8)?,
            frame: None,
        }),
        Mnemonic::Mov if to == Register::RSP && from == Register::RBP => Some(State {
            below: state.frame?,
            ..state
        }),
        Mnemonic::Lea
            if to == Register::RSP
                && instruction.op1_kind() == OpKind::Memory
                && instruction.memory_base() == Register::RBP
                && instruction.memory_index() == Register::None =>
        {
            let by = instruction.memory_displacement64().cast_signed();
            Some(State {
                below: state.frame?.checked_sub(by)?,
                ..state
            })
        }
        _ => {
            let below = state.below.checked_add(lowers(instruction, info)?)?;
            let is_call = matches!(
                instruction.flow_control(),
                FlowControl::Call | FlowControl::IndirectCall
            );
            let loses = !is_call && writes_any(instruction, &[Register::RBP], info);
            let frame = state.frame.filter(|_| !loses);
            Some(State { below, frame })
        }
    }
}
