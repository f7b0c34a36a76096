// SPDX-License-Identifier: Apache-2.0
//! What single instructions do.

use iced_x86::{
    Code, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register,
};

pub fn is_jump(instruction: &Instruction) -> bool {
    instruction.is_jcc_short_or_near()
        || instruction.is_jmp_short_or_near()
        || instruction.is_jcx_short()
        || instruction.is_loop()
        || instruction.is_loopcc()
}

pub fn is_padding(instruction: &Instruction) -> bool {
    matches!(instruction.mnemonic(), Mnemonic::Nop | Mnemonic::Int3)
}

/// As `arch/x86/kernel/uprobes.c` of the kernel has it, but for calls, of which most kernels forget the shadow stack: a process
/// that has one would be ended. Of what newer kernels emulate as well nothing is taken: there it costs no less.
pub fn is_emulated(instruction: &Instruction, first_byte: u8) -> bool {
    // An operand size that is not the usual one is refused.
    let has_prefix = first_byte == 0x66;
    let pushes = matches!(instruction.code(), Code::Push_r64);
    let jumps = instruction.is_jcc_short_or_near() || instruction.is_jmp_short_or_near();
    !has_prefix && (pushes || jumps)
}

/// How far an instruction moves the stack pointer down. `None`: nobody knows.
pub fn lowers(instruction: &Instruction, info: &mut InstructionInfoFactory) -> Option<i64> {
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
            let returns = instruction.flow_control() == FlowControl::Return;
            (!writes_any(instruction, &[Register::RSP], info) || returns).then_some(0)
        }
    }
}

fn is_rsp(register: Register) -> bool {
    register.full_register() == Register::RSP
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

pub fn writes_any(
    instruction: &Instruction,
    registers: &[Register],
    info: &mut InstructionInfoFactory,
) -> bool {
    let used = info.info(instruction).used_registers();
    used.iter()
        .any(|it| is_write(it.access()) && registers.contains(&it.register().full_register()))
}
