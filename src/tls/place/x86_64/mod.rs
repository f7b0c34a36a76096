// SPDX-License-Identifier: Apache-2.0
//! Spots in code of x86-64.

use iced_x86::{
    Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpKind,
    Register,
};

use super::{Arguments, MOST_RETURNS, Refusal, Spot};
use crate::tls::elf::Function;

mod body;
mod instruction;
mod stack;

use self::body::Body;
use self::instruction::{is_emulated, is_jump, lowers, writes_any};

/// In which a function is given what is asked for.
const ARGUMENTS: [Register; 4] = [Register::RDI, Register::RSI, Register::RDX, Register::RCX];

/// Whether a function compares its stack with what its goroutine has: it is one of Go, and the registers are as Go has them.
pub fn begins_as_go_does(bytes: &[u8]) -> bool {
    let mut first = Decoder::with_ip(64, bytes, 0, DecoderOptions::NONE)
        .into_iter()
        .take(2);
    first.any(|it| {
        it.mnemonic() == Mnemonic::Cmp
            && it.op1_kind() == OpKind::Memory
            && it.memory_base() == Register::R14
            && it.memory_displacement64() == 16
    })
}

/// Where a function has just been entered, with its arguments where they were.
pub fn entry(function: &Function, arguments: Arguments) -> Result<Spot, Refusal> {
    let body = Body::decode(std::slice::from_ref(function));
    let mut info = InstructionInfoFactory::new();
    let choices = body.choices(&mut info);
    let arguments = match arguments {
        Arguments::Two => &ARGUMENTS[..2],
        Arguments::Four => &ARGUMENTS[..],
    };
    let mut frame: i64 = 0;
    for instruction in &body.code {
        let at = instruction.ip();
        // What is jumped to is not passed once for each call. A choice may lead to where the stack is as it is there.
        if at > function.offset && body.targets.contains(&at) {
            break;
        }
        let may_be_chosen = choices
            .iter()
            .any(|it| it.is_none_or(|below| below != 0 && below == frame));
        if is_emulated(instruction, body.first_byte(instruction))
            && !may_be_chosen
            && let Ok(frame) = frame.try_into()
        {
            return Ok(Spot {
                offset: at,
                frame,
                emulated: true,
            });
        }
        let straight = instruction.flow_control() == FlowControl::Next;
        let Some(by) = lowers(instruction, &mut info) else {
            break;
        };
        if !straight || writes_any(instruction, arguments, &mut info) {
            break;
        }
        frame += by;
    }
    at_first(&body)
}

/// At its first instruction that is not there to be patched: newer kernels replace one of five bytes that does nothing, and
/// use what is below the stack pointer for that.
fn at_first(body: &Body) -> Result<Spot, Refusal> {
    let does_something = |it: &&Instruction| it.mnemonic() != Mnemonic::Nop;
    let first = body.code.iter().find(does_something);
    let first = first.ok_or(Refusal::Undecodable)?;
    let is_passed_once = !body.targets.contains(&first.ip());
    let is_call = first.flow_control() == FlowControl::Call;
    (is_passed_once && !is_call)
        .then_some(Spot {
            offset: first.ip(),
            frame: 0,
            emulated: false,
        })
        .ok_or(Refusal::Undecodable)
}

/// Where a function is about to return, with its result where it will be: one spot for each way out. Its parts are what it has at
/// its own name, and what it goes on in by jumps: another function that returns in its place, or what is seldom executed.
pub fn exits(parts: &[Function]) -> Result<Vec<Spot>, Refusal> {
    let body = Body::decode(parts);
    if !body.is_whole {
        return Err(Refusal::Undecodable);
    }
    let mut info = InstructionInfoFactory::new();
    let choices = body.choices(&mut info);
    if choices.iter().any(|it| it.is_none_or(|below| below == 0)) {
        return Err(Refusal::LeavesByJump);
    }
    let jumps = body.code.iter().filter(|it| is_jump(it));
    let mut elsewhere = jumps
        .map(Instruction::near_branch_target)
        .filter(|it| !body.contains(*it));
    if let Some(target) = elsewhere.next() {
        return Err(Refusal::GoesOn(target));
    }
    let returns = |it: &Instruction| it.flow_control() == FlowControl::Return;
    let places = (0..body.code.len()).filter(|place| returns(&body.code[*place]));
    if places.clone().count() > MOST_RETURNS {
        return Err(Refusal::ReturnsTooOften);
    }
    let spots: Vec<_> = places
        .map(|place| {
            // Where a choice leads to nobody knows.
            let before = choices
                .is_empty()
                .then(|| before_return(&body, place, &mut info));
            before.flatten().unwrap_or(Spot {
                offset: body.code[place].ip(),
                frame: 0,
                emulated: false,
            })
        })
        .collect();
    if spots.is_empty() {
        return Err(Refusal::NeverReturns);
    }
    Ok(spots)
}

/// An emulated instruction that is passed on each way to a return and on no other, after which the result does not change.
fn before_return(body: &Body, place: usize, info: &mut InstructionInfoFactory) -> Option<Spot> {
    let mut frame: i64 = 0;
    let mut after = &body.code[place];
    for instruction in body.code[..place].iter().rev() {
        let comes_next = instruction.next_ip() == after.ip();
        if body.targets.contains(&after.ip()) || !comes_next {
            return None;
        }
        if instruction.is_jcc_short_or_near() {
            let only_on = body.is_dead_end(instruction.near_branch_target());
            let emulated = is_emulated(instruction, body.first_byte(instruction));
            let frame = frame.try_into().ok()?;
            return (only_on && emulated).then_some(Spot {
                offset: instruction.ip(),
                frame,
                emulated,
            });
        }
        let straight = instruction.flow_control() == FlowControl::Next;
        if !straight || writes_any(instruction, &[Register::RAX], info) {
            return None;
        }
        frame -= lowers(instruction, info)?;
        after = instruction;
    }
    None
}
