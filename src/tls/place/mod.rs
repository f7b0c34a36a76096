// SPDX-License-Identifier: Apache-2.0
//! Where in a function to probe: at instructions that the kernel emulates, which costs an eighth of what a single step over any
//! other takes, or else at its first and its last ones. Pure: code goes in, spots come out.
//!
//! A spot is the beginning of an instruction of that very code, since what is put anywhere else would break the program.

use std::fmt;

#[cfg(any(target_arch = "aarch64", test))]
mod arm64;
#[cfg(test)]
mod tests;
#[cfg(any(target_arch = "x86_64", test))]
mod x86_64;

#[cfg(target_arch = "aarch64")]
pub use arm64::{begins_as_go_does, entry, exits};
#[cfg(target_arch = "x86_64")]
pub use x86_64::{begins_as_go_does, entry, exits};

/// Where to probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spot {
    /// In the file.
    pub offset: u64,
    /// How many bytes the stack pointer is below what it was at the function's entry.
    pub frame: i16,
    /// The kernel emulates the instruction, and need not step over it.
    pub emulated: bool,
}

/// How many of its first arguments a function still has to have where it is entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arguments {
    /// The stream, and a buffer.
    Two,
    /// Its size, and where to put a length.
    Four,
}

/// Of a function. None that is known has a tenth of these; each costs the kernel memory, and all processes a moment.
const MOST_RETURNS: usize = 64;

/// Why a function has no spots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    Undecodable,
    /// To there in the file, which is in none of its parts.
    GoesOn(u64),
    /// To wherever a register says.
    LeavesByJump,
    NeverReturns,
    ReturnsTooOften,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Undecodable => "has code that cannot be decoded",
            Self::GoesOn(_) | Self::LeavesByJump => "leaves by a jump",
            Self::NeverReturns => "never returns",
            Self::ReturnsTooOften => "returns in too many places",
        })
    }
}
