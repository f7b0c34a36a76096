// SPDX-License-Identifier: Apache-2.0
//! Spots in code of arm64: all instructions have four bytes, and the kernel simulates returns.

use super::{Arguments, MOST_RETURNS, Refusal, Spot};
use crate::tls::elf::Function;

fn words(bytes: &[u8]) -> impl Iterator<Item = (u64, u32)> {
    let words = bytes.chunks_exact(4).map(|it| {
        let word = it.try_into().unwrap_or_default();
        u32::from_le_bytes(word)
    });
    (0..).step_by(4).zip(words)
}

fn is_return(word: u32) -> bool {
    // To the link register; and the two that authenticate it.
    matches!(word, 0xd65f_03c0 | 0xd65f_0bff | 0xd65f_0fff)
}

/// Where a branch leads to, if the instruction is one that says so itself.
fn target(at: u64, word: u32) -> Option<u64> {
    // The distance in words: so many bits of it, from this one on.
    let (bits, from) = match word {
        _ if word & 0xfc00_0000 == 0x1400_0000 => (26, 0),
        _ if word & 0xff00_0000 == 0x5400_0000 => (19, 5),
        _ if word & 0x7e00_0000 == 0x3400_0000 => (19, 5),
        _ if word & 0x7e00_0000 == 0x3600_0000 => (14, 5),
        _ => return None,
    };
    let unused = 32 - bits;
    let distance = (word >> from << unused).cast_signed() >> unused;
    Some(at.wrapping_add_signed(i64::from(distance) * 4))
}

fn is_indirect_jump(word: u32) -> bool {
    word & 0xffff_fc1f == 0xd61f_0000 || word & 0xfeff_f800 == 0xd61f_0800
}

/// As on x86-64: it loads the limit of its goroutine's stack.
pub fn begins_as_go_does(bytes: &[u8]) -> bool {
    const LOAD_LIMIT: u32 = 0xf940_0b90;
    words(bytes).take(2).any(|(_, word)| word == LOAD_LIMIT)
}

fn spot(offset: u64, emulated: bool) -> Spot {
    Spot {
        offset,
        frame: 0,
        emulated,
    }
}

pub fn entry(function: &Function, _arguments: Arguments) -> Result<Spot, Refusal> {
    // Where something jumps back to it, it is the same call once more, as where Go makes a stack larger.
    (function.code.len() >= 4)
        .then_some(spot(function.offset, false))
        .ok_or(Refusal::Undecodable)
}

/// As on x86-64, but that no jump to where a register says is a choice within the function for sure.
pub fn exits(parts: &[Function]) -> Result<Vec<Spot>, Refusal> {
    let contains = |target: u64| {
        let end = |it: &Function| it.offset + it.code.len() as u64;
        parts
            .iter()
            .any(|it| (it.offset..end(it)).contains(&target))
    };
    let mut spots = Vec::new();
    for part in parts {
        for (at, word) in words(&part.code) {
            let at = part.offset + at;
            if is_indirect_jump(word) {
                return Err(Refusal::LeavesByJump);
            }
            if let Some(target) = target(at, word).filter(|it| !contains(*it)) {
                return Err(Refusal::GoesOn(target));
            }
            if is_return(word) {
                spots.push(spot(at, true));
            }
            if spots.len() > MOST_RETURNS {
                return Err(Refusal::ReturnsTooOften);
            }
        }
    }
    if spots.is_empty() {
        return Err(Refusal::NeverReturns);
    }
    Ok(spots)
}
