// SPDX-License-Identifier: Apache-2.0
//! The instructions of a function.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory};

use super::instruction::{is_jump, is_padding};
use super::stack::Stack;
use crate::tls::elf::Function;

/// All its parts, one after the other: the function itself first, and then those that it goes on in by a jump. Addresses are
/// offsets in the file.
pub struct Body {
    pub code: Vec<Instruction>,
    firsts: HashMap<u64, u8>,
    /// Which of the instructions is where.
    places: HashMap<u64, usize>,
    /// Where jumps lead to that say so themselves.
    pub targets: HashSet<u64>,
    parts: Vec<Range<u64>>,
    /// Each part is code up to its end.
    pub is_whole: bool,
}

impl Body {
    /// Each part up to the first byte that is no code, or its end.
    pub fn decode(parts: &[Function]) -> Self {
        let mut body = Self {
            code: Vec::new(),
            firsts: HashMap::new(),
            places: HashMap::new(),
            targets: HashSet::new(),
            parts: Vec::new(),
            is_whole: true,
        };
        for part in parts {
            body.add(part);
        }
        let jumps = body.code.iter().filter(|it| is_jump(it));
        body.targets = jumps.map(Instruction::near_branch_target).collect();
        body
    }

    fn add(&mut self, part: &Function) {
        let mut decoder = Decoder::with_ip(64, &part.code, part.offset, DecoderOptions::NONE);
        let mut end = part.offset;
        while decoder.can_decode() {
            let instruction = decoder.decode();
            if instruction.is_invalid() {
                break;
            }
            let at = instruction.ip();
            let first = part.code.get((at - part.offset) as usize);
            self.firsts.insert(at, first.copied().unwrap_or_default());
            self.places.insert(at, self.code.len());
            self.code.push(instruction);
            end = instruction.next_ip();
        }
        self.is_whole &= end - part.offset == part.code.len() as u64;
        self.parts.push(part.offset..end);
    }

    pub fn contains(&self, address: u64) -> bool {
        self.parts.iter().any(|it| it.contains(&address))
    }

    pub fn place_of(&self, address: u64) -> Option<usize> {
        self.places.get(&address).copied()
    }

    pub fn first_byte(&self, instruction: &Instruction) -> u8 {
        let first = self.firsts.get(&instruction.ip());
        first.copied().unwrap_or_default()
    }

    /// Whether control that gets there never comes back: a call to what does not return is the last of a part.
    pub fn is_dead_end(&self, target: u64) -> bool {
        let part = self.parts.iter().find(|it| it.contains(&target));
        let (Some(part), Some(place)) = (part, self.place_of(target)) else {
            return false;
        };
        let in_part = |it: &&Instruction| part.contains(&it.ip());
        let mut rest = self.code[place..].iter().take_while(in_part);
        let is_call = |it: &Instruction| it.flow_control() == FlowControl::Call;
        rest.next().is_some_and(is_call) && rest.all(is_padding)
    }

    /// For each jump to where a register says how far the stack pointer is below what it was at the entry there, if that is known.
    /// Below it, it is a choice between places in the function (a table of a `switch`): whoever left would take the return
    /// address along, which has to be on top then.
    pub fn choices(&self, info: &mut InstructionInfoFactory) -> Vec<Option<i64>> {
        let chooses = |it: &&Instruction| it.flow_control() == FlowControl::IndirectBranch;
        let all: Vec<_> = self.code.iter().filter(chooses).collect();
        if all.is_empty() {
            return Vec::new();
        }
        let stack = Stack::of(self, info);
        all.iter().map(|it| stack.below(it.ip())).collect()
    }
}
