// SPDX-License-Identifier: Apache-2.0
//! Where in a function to probe: at instructions that the kernel emulates, which costs an eighth of what a single step over any
//! other takes, or else at its first and its last ones. Pure: code goes in, spots come out.
//!
//! A spot is the beginning of an instruction of that very code, since what is put anywhere else would break the program.

use std::fmt;

/// Where to probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spot {
    /// From the beginning of the function.
    pub offset: u64,
    /// How many bytes the stack pointer is below what it was at the function's entry.
    pub frame: i16,
    /// The kernel emulates the instruction, and need not step over it.
    pub emulated: bool,
}

/// Of a function. None that is known has a tenth of these; each costs the kernel memory, and all processes a moment.
const MOST_RETURNS: usize = 64;

/// Why a function has no spots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    Undecodable,
    /// By a jump to another function, which returns in its place, or to wherever a register says.
    LeavesByJump,
    NeverReturns,
    ReturnsTooOften,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Undecodable => "has code that cannot be decoded",
            Self::LeavesByJump => "leaves by a jump",
            Self::NeverReturns => "never returns",
            Self::ReturnsTooOften => "returns in too many places",
        })
    }
}

#[cfg(target_arch = "aarch64")]
pub use arm64::{begins_as_go_does, entry, exits};
#[cfg(target_arch = "x86_64")]
pub use x86_64::{begins_as_go_does, entry, exits};

#[cfg(any(target_arch = "x86_64", test))]
mod x86_64 {
    use std::collections::HashSet;

    use iced_x86::{
        Code, Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Mnemonic,
        OpAccess, OpKind, Register,
    };

    use super::{MOST_RETURNS, Refusal, Spot};

    /// In which a function is given what is asked for: the stream, a buffer, its size, and a place for a length.
    const ARGUMENTS: [Register; 4] = [Register::RDI, Register::RSI, Register::RDX, Register::RCX];

    /// A function's instructions, one after the other.
    struct Function {
        code: Vec<Instruction>,
        /// Where jumps lead to.
        targets: HashSet<u64>,
        end: u64,
    }

    impl Function {
        /// Up to the first byte that is none, or the end.
        fn decode(bytes: &[u8], at: u64) -> Self {
            let mut decoder = Decoder::with_ip(64, bytes, at, DecoderOptions::NONE);
            let mut code = Vec::new();
            while decoder.can_decode() {
                let instruction = decoder.decode();
                if instruction.is_invalid() {
                    break;
                }
                code.push(instruction);
            }
            let jumps = code.iter().filter(|it| is_jump(it));
            Self {
                targets: jumps.map(Instruction::near_branch_target).collect(),
                end: code.last().map_or(at, Instruction::next_ip),
                code,
            }
        }

        fn is_whole(&self, bytes: &[u8], at: u64) -> bool {
            self.end - at == bytes.len() as u64
        }

        /// Whether control that gets there never comes back: a call to what does not return is the last of a function.
        fn is_dead_end(&self, target: u64) -> bool {
            let mut rest = self.code.iter().skip_while(|it| it.ip() != target);
            let is_call = |it: &Instruction| it.flow_control() == FlowControl::Call;
            rest.next().is_some_and(is_call) && rest.all(is_padding)
        }
    }

    fn is_jump(instruction: &Instruction) -> bool {
        instruction.is_jcc_short_or_near()
            || instruction.is_jmp_short_or_near()
            || instruction.is_jcx_short()
            || instruction.is_loop()
            || instruction.is_loopcc()
    }

    fn is_padding(instruction: &Instruction) -> bool {
        matches!(instruction.mnemonic(), Mnemonic::Nop | Mnemonic::Int3)
    }

    /// As `arch/x86/kernel/uprobes.c` of the kernel has it, but for calls, of which most kernels forget the shadow stack: a process
    /// that has one would be ended. Of what newer kernels emulate as well nothing is taken: there it costs no less.
    fn is_emulated(instruction: &Instruction, bytes: &[u8]) -> bool {
        // An operand size that is not the usual one is refused.
        let has_prefix = bytes.first() == Some(&0x66);
        let pushes = matches!(instruction.code(), Code::Push_r64);
        let jumps = instruction.is_jcc_short_or_near() || instruction.is_jmp_short_or_near();
        !has_prefix && (pushes || jumps)
    }

    /// How far an instruction moves the stack pointer down. `None`: nobody knows.
    fn lowers(instruction: &Instruction, info: &mut InstructionInfoFactory) -> Option<i64> {
        let is_rsp = |it: Register| it.full_register() == Register::RSP;
        match instruction.mnemonic() {
            // It has come back by the next instruction.
            Mnemonic::Call => Some(0),
            Mnemonic::Push | Mnemonic::Pop if !is_rsp(instruction.op0_register()) => {
                Some(-i64::from(instruction.stack_pointer_increment()))
            }
            Mnemonic::Sub | Mnemonic::Add
                if instruction.op0_register() == Register::RSP
                    && is_immediate(instruction.op1_kind()) =>
            {
                let by = instruction.immediate(1).cast_signed();
                Some(match instruction.mnemonic() {
                    Mnemonic::Sub => by,
                    _ => by.checked_neg()?,
                })
            }
            _ => {
                let written = info.info(instruction).used_registers();
                let writes = written
                    .iter()
                    .any(|it| is_rsp(it.register()) && is_write(it.access()));
                let returns = instruction.flow_control() == FlowControl::Return;
                (!writes || returns).then_some(0)
            }
        }
    }

    fn is_immediate(kind: OpKind) -> bool {
        matches!(
            kind,
            OpKind::Immediate8to64 | OpKind::Immediate32to64 | OpKind::Immediate64
        )
    }

    fn is_write(access: OpAccess) -> bool {
        matches!(
            access,
            OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite
        )
    }

    fn writes_any(
        instruction: &Instruction,
        registers: &[Register],
        info: &mut InstructionInfoFactory,
    ) -> bool {
        let used = info.info(instruction).used_registers();
        used.iter()
            .any(|it| is_write(it.access()) && registers.contains(&it.register().full_register()))
    }

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
    pub fn entry(bytes: &[u8]) -> Result<Spot, Refusal> {
        let function = Function::decode(bytes, 0);
        let mut info = InstructionInfoFactory::new();
        let mut frame: i64 = 0;
        for instruction in &function.code {
            let at = instruction.ip();
            // What is jumped to is not passed once for each call.
            if at > 0 && function.targets.contains(&at) {
                break;
            }
            if is_emulated(instruction, &bytes[at as usize..])
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
            if !straight || writes_any(instruction, &ARGUMENTS, &mut info) {
                break;
            }
            frame += by;
        }
        at_first(&function)
    }

    /// At its first instruction that is not there to be patched: newer kernels replace one of five bytes that does nothing, and
    /// use what is below the stack pointer for that.
    fn at_first(function: &Function) -> Result<Spot, Refusal> {
        let does_something = |it: &&Instruction| it.mnemonic() != Mnemonic::Nop;
        let first = function.code.iter().find(does_something);
        let first = first.ok_or(Refusal::Undecodable)?;
        let is_passed_once = !function.targets.contains(&first.ip());
        let is_call = first.flow_control() == FlowControl::Call;
        (is_passed_once && !is_call)
            .then_some(Spot {
                offset: first.ip(),
                frame: 0,
                emulated: false,
            })
            .ok_or(Refusal::Undecodable)
    }

    /// Where a function is about to return, with its result where it will be: one spot for each way out.
    pub fn exits(bytes: &[u8]) -> Result<Vec<Spot>, Refusal> {
        let function = Function::decode(bytes, 0);
        if !function.is_whole(bytes, 0) {
            return Err(Refusal::Undecodable);
        }
        let leaves = |it: &Instruction| match it.flow_control() {
            FlowControl::IndirectBranch => true,
            _ if is_jump(it) => it.near_branch_target() >= function.end,
            _ => false,
        };
        if function.code.iter().any(leaves) {
            return Err(Refusal::LeavesByJump);
        }
        let mut info = InstructionInfoFactory::new();
        let returns = |it: &Instruction| it.flow_control() == FlowControl::Return;
        let places = (0..function.code.len()).filter(|place| returns(&function.code[*place]));
        if places.clone().count() > MOST_RETURNS {
            return Err(Refusal::ReturnsTooOften);
        }
        let spots: Vec<_> = places
            .map(|place| before_return(&function, bytes, place, &mut info))
            .collect();
        if spots.is_empty() {
            return Err(Refusal::NeverReturns);
        }
        Ok(spots)
    }

    /// An emulated instruction that is passed on each way to a return and on no other, after which the result does not change; or
    /// the return itself.
    fn before_return(
        function: &Function,
        bytes: &[u8],
        place: usize,
        info: &mut InstructionInfoFactory,
    ) -> Spot {
        let at_return = Spot {
            offset: function.code[place].ip(),
            frame: 0,
            emulated: false,
        };
        let mut frame: i64 = 0;
        let mut after = &function.code[place];
        for instruction in function.code[..place].iter().rev() {
            if function.targets.contains(&after.ip()) {
                break;
            }
            if instruction.is_jcc_short_or_near() {
                let only_on = function.is_dead_end(instruction.near_branch_target());
                let offset = instruction.ip();
                if only_on
                    && is_emulated(instruction, &bytes[offset as usize..])
                    && let Ok(frame) = frame.try_into()
                {
                    return Spot {
                        offset,
                        frame,
                        emulated: true,
                    };
                }
                break;
            }
            let straight = instruction.flow_control() == FlowControl::Next;
            if !straight || writes_any(instruction, &[Register::RAX], info) {
                break;
            }
            let Some(by) = lowers(instruction, info) else {
                break;
            };
            frame -= by;
            after = instruction;
        }
        at_return
    }
}

/// All instructions have four bytes. The kernel simulates returns.
#[cfg(any(target_arch = "aarch64", test))]
mod arm64 {
    use super::{MOST_RETURNS, Refusal, Spot};

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

    pub fn entry(bytes: &[u8]) -> Result<Spot, Refusal> {
        // Where something jumps back to it, it is the same call once more, as where Go makes a stack larger.
        (bytes.len() >= 4)
            .then_some(spot(0, false))
            .ok_or(Refusal::Undecodable)
    }

    pub fn exits(bytes: &[u8]) -> Result<Vec<Spot>, Refusal> {
        let inside = 0..bytes.len() as u64;
        let leaves = |(at, word): (u64, u32)| {
            let target = target(at, word);
            is_indirect_jump(word) || target.is_some_and(|target| !inside.contains(&target))
        };
        if words(bytes).any(leaves) {
            return Err(Refusal::LeavesByJump);
        }
        let returns = words(bytes).filter(|(_, word)| is_return(*word));
        let returns = returns.take(MOST_RETURNS + 1);
        let spots: Vec<_> = returns.map(|(at, _)| spot(at, true)).collect();
        if spots.len() > MOST_RETURNS {
            return Err(Refusal::ReturnsTooOften);
        }
        if spots.is_empty() {
            return Err(Refusal::NeverReturns);
        }
        Ok(spots)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `SSL_read` of Debian's OpenSSL 3.0.19.
    const SSL_READ: &str = "4883ec18 64488b042528000000 4889442408 31c0 85d2 782f 4889e1 4863d2 e83dfeffff 85c0 7e03 8b0424 \
        488b542408 64482b142528000000 7544 4883c418 31d2 31c9 31f6 31ff c3 \
        e8449ffeff 488d1505d50400 be4c070000 488d3d62cc0400 e82ca6feff 31c0 31d2 be0f010000 bf14000000 e849a4feff \
        b8ffffffff ebac e83db1feff";
    /// `SSL_read_ex` of the same.
    const SSL_READ_EX: &str =
        "4883ec08 e8c7fdffff 31d2 85c0 0f48c2 4883c408 31d2 31c9 31f6 31ff c3";

    fn code(text: &str) -> Vec<u8> {
        let digits: String = text.split_whitespace().collect();
        let bytes = (0..digits.len()).step_by(2);
        bytes
            .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
            .collect()
    }

    fn spot(offset: u64, frame: i16, emulated: bool) -> Spot {
        Spot {
            offset,
            frame,
            emulated,
        }
    }

    #[test]
    fn where_openssl_checks_its_argument_and_its_canary_costs_least() {
        let read = code(SSL_READ);
        assert_eq!(x86_64::entry(&read), Ok(spot(0x16, 0x18, true)));
        assert_eq!(x86_64::exits(&read), Ok(vec![spot(0x38, 0x18, true)]));
        let read_ex = code(SSL_READ_EX);
        assert_eq!(x86_64::entry(&read_ex), Ok(spot(0, 0, false)));
        assert_eq!(x86_64::exits(&read_ex), Ok(vec![spot(28, 0, false)]));
    }

    #[test]
    fn a_function_of_go_is_entered_where_it_has_looked_at_its_stack() {
        // cmp 0x10(%r14), %rsp; jbe to where that is made larger, and back; sub; add; ret.
        let small = code("493b6610 760a 4883ec08 4883c408 c3 90 e800000000 ebe9");
        assert!(x86_64::begins_as_go_does(&small));
        assert_eq!(x86_64::entry(&small), Ok(spot(4, 0, true)));
        assert_eq!(x86_64::exits(&small), Ok(vec![spot(14, 0, false)]));
        // lea -0x100(%rsp), %r12; cmp 0x10(%r14), %r12.
        assert!(x86_64::begins_as_go_does(&code(
            "4c8da42400ffffff 4d3b6610 7601 c3"
        )));
        assert!(!x86_64::begins_as_go_does(&code(SSL_READ)));
    }

    #[test]
    fn an_entry_has_its_arguments_and_is_passed_once() {
        for (text, expected) in [
            // push %rbx, and behind what only marks a place for jumps.
            ("53 c3", Ok(spot(0, 0, true))),
            ("f30f1efa 53 5b c3", Ok(spot(4, 0, true))),
            ("4157 415f c3", Ok(spot(0, 0, true))),
            // An argument is gone before the push: mov %rbx, %rdi; xor %edi, %edi.
            ("4889df 53 5b c3", Ok(spot(0, 0, false))),
            ("31ff 53 5b c3", Ok(spot(0, 0, false))),
            // The stack is aligned: and $-16, %rsp.
            ("4883e4f0 e800000000 c3", Ok(spot(0, 0, false))),
            // A loop comes back to the push: sub $8; push; jmp to it.
            ("4883ec08 53 ebfd", Ok(spot(0, 0, false))),
            // What it would do to a shadow stack nobody knows.
            ("e800000000 c3", Err(Refusal::Undecodable)),
            // And to the beginning.
            ("4883ec08 31ff ebf8", Err(Refusal::Undecodable)),
            // What is there to be patched is never touched: nopl 0(%rax,%rax).
            ("0f1f440000 31ff c3", Ok(spot(5, 0, false))),
            ("0f1f440000 53 5b c3", Ok(spot(5, 0, true))),
            // A push of 16 bits.
            ("6653 665b c3", Ok(spot(0, 0, false))),
            ("", Err(Refusal::Undecodable)),
            ("06", Err(Refusal::Undecodable)),
        ] {
            assert_eq!(x86_64::entry(&code(text)), expected, "{text}");
        }
    }

    #[test]
    fn an_exit_has_the_result_and_each_way_out_has_one() {
        let at_return = |offset| Ok(vec![spot(offset, 0, false)]);
        for (text, expected) in [
            ("c3", at_return(0)),
            ("f3c3", at_return(0)),
            // test; jne to another way; two returns.
            (
                "85ff 7501 c3 31c0 c3",
                Ok(vec![spot(4, 0, false), spot(7, 0, false)]),
            ),
            // A canary, but the result is written behind it: jne +6; mov $1, %eax; ret; call.
            ("7506 b801000000 c3 e800000000", at_return(7)),
            // A canary.
            ("7501 c3 e800000000", Ok(vec![spot(0, 0, true)])),
            ("7505 4883c408 c3 e800000000 90", Ok(vec![spot(0, 8, true)])),
            ("7502 5b c3 e800000000", Ok(vec![spot(0, 8, true)])),
            // The stack comes out of a register: leave.
            ("7502 c9 c3 e800000000", at_return(3)),
            // Another way comes in between: jmp to the ret.
            ("7501 c3 e800000000 ebf8", at_return(2)),
            // What it calls comes back.
            ("7501 c3 e800000000 ebf9", at_return(2)),
            ("eb10", Err(Refusal::LeavesByJump)),
            ("7410 c3", Err(Refusal::LeavesByJump)),
            ("ebf0 c3", Err(Refusal::LeavesByJump)),
            ("ffe0", Err(Refusal::LeavesByJump)),
            ("ebfe", Err(Refusal::NeverReturns)),
            ("c3 06", Err(Refusal::Undecodable)),
            ("c3 e8", Err(Refusal::Undecodable)),
        ] {
            assert_eq!(x86_64::exits(&code(text)), expected, "{text}");
        }
    }

    #[test]
    fn a_function_may_not_return_everywhere() {
        let most = x86_64::exits(&[0xc3; MOST_RETURNS]).unwrap();
        assert_eq!(most.len(), MOST_RETURNS);
        let more = [0xc3; MOST_RETURNS + 1];
        assert_eq!(x86_64::exits(&more), Err(Refusal::ReturnsTooOften));
        let ret = 0xd65f_03c0_u32.to_le_bytes();
        let code = |returns| ret.repeat(returns);
        assert!(arm64::exits(&code(MOST_RETURNS)).is_ok());
        let more = code(MOST_RETURNS + 1);
        assert_eq!(arm64::exits(&more), Err(Refusal::ReturnsTooOften));
    }

    #[test]
    fn on_arm64_each_return_is_one() {
        let code =
            |words: &[u32]| -> Vec<u8> { words.iter().flat_map(|it| it.to_le_bytes()).collect() };
        // stp; cbz to the second return; ret; ret.
        let two = code(&[0xa9bf_7bfd, 0xb400_0040, 0xd65f_03c0, 0xd65f_03c0]);
        assert_eq!(arm64::entry(&two), Ok(spot(0, 0, false)));
        assert_eq!(
            arm64::exits(&two),
            Ok(vec![spot(8, 0, true), spot(12, 0, true)])
        );
        for (words, expected) in [
            // b to elsewhere, forwards and backwards; b.ne; tbz; br.
            (&[0x1400_0010][..], Refusal::LeavesByJump),
            (&[0x17ff_ffff], Refusal::LeavesByJump),
            (&[0x5400_0201, 0xd65f_03c0], Refusal::LeavesByJump),
            (&[0x3600_0080, 0xd65f_03c0], Refusal::LeavesByJump),
            (&[0xd61f_0200], Refusal::LeavesByJump),
            (&[0xd503_201f], Refusal::NeverReturns),
        ] {
            assert_eq!(arm64::exits(&code(words)), Err(expected), "{words:x?}");
        }
        assert_eq!(arm64::entry(&[]), Err(Refusal::Undecodable));
        // ldr x16, [x28, #16]; cmp sp, x16.
        assert!(arm64::begins_as_go_does(&code(&[0xf940_0b90, 0xeb30_63ff])));
        assert!(!arm64::begins_as_go_does(&two));
    }
}
