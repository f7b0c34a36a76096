// SPDX-License-Identifier: Apache-2.0
use super::*;
use crate::tls::elf::Function;

/// `SSL_read` of Debian's OpenSSL 3.0.19.
const SSL_READ: &str = "4883ec18 64488b042528000000 4889442408 31c0 85d2 782f 4889e1 4863d2 e83dfeffff 85c0 7e03 8b0424 \
    488b542408 64482b142528000000 7544 4883c418 31d2 31c9 31f6 31ff c3 \
    e8449ffeff 488d1505d50400 be4c070000 488d3d62cc0400 e82ca6feff 31c0 31d2 be0f010000 bf14000000 e849a4feff \
    b8ffffffff ebac e83db1feff";
/// `SSL_read_ex` of the same.
const SSL_READ_EX: &str = "4883ec08 e8c7fdffff 31d2 85c0 0f48c2 4883c408 31d2 31c9 31f6 31ff c3";

fn code(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    let bytes = (0..digits.len()).step_by(2);
    bytes
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
        .collect()
}

fn function(code: &[u8]) -> Function {
    Function {
        offset: 0,
        code: code.to_vec(),
    }
}

fn entry(code: &[u8]) -> Result<Spot, Refusal> {
    x86_64::entry(&function(code), Arguments::Four)
}

fn exits(code: &[u8]) -> Result<Vec<Spot>, Refusal> {
    x86_64::exits(&[function(code)])
}

fn arm64_entry(code: &[u8]) -> Result<Spot, Refusal> {
    arm64::entry(&function(code), Arguments::Four)
}

fn arm64_exits(code: &[u8]) -> Result<Vec<Spot>, Refusal> {
    arm64::exits(&[function(code)])
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
    assert_eq!(entry(&read), Ok(spot(0x16, 0x18, true)));
    assert_eq!(exits(&read), Ok(vec![spot(0x38, 0x18, true)]));
    let read_ex = code(SSL_READ_EX);
    assert_eq!(entry(&read_ex), Ok(spot(0, 0, false)));
    assert_eq!(exits(&read_ex), Ok(vec![spot(28, 0, false)]));
}

#[test]
fn a_function_of_go_is_entered_where_it_has_looked_at_its_stack() {
    // cmp 0x10(%r14), %rsp; jbe to where that is made larger, and back; sub; add; ret.
    let small = code("493b6610 760a 4883ec08 4883c408 c3 90 e800000000 ebe9");
    assert!(x86_64::begins_as_go_does(&small));
    assert_eq!(entry(&small), Ok(spot(4, 0, true)));
    assert_eq!(exits(&small), Ok(vec![spot(14, 0, false)]));
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
        assert_eq!(entry(&code(text)), expected, "{text}");
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
        ("eb10", Err(Refusal::GoesOn(0x12))),
        ("7410 c3", Err(Refusal::GoesOn(0x12))),
        ("ebf0 c3", Err(Refusal::GoesOn(0_u64.wrapping_sub(14)))),
        ("ffe0", Err(Refusal::LeavesByJump)),
        ("ebfe", Err(Refusal::NeverReturns)),
        ("c3 06", Err(Refusal::Undecodable)),
        ("c3 e8", Err(Refusal::Undecodable)),
    ] {
        assert_eq!(exits(&code(text)), expected, "{text}");
    }
}

#[test]
fn a_function_may_not_return_everywhere() {
    let most = exits(&[0xc3; MOST_RETURNS]).unwrap();
    assert_eq!(most.len(), MOST_RETURNS);
    let more = [0xc3; MOST_RETURNS + 1];
    assert_eq!(exits(&more), Err(Refusal::ReturnsTooOften));
    let ret = 0xd65f_03c0_u32.to_le_bytes();
    let code = |returns| ret.repeat(returns);
    assert!(arm64_exits(&code(MOST_RETURNS)).is_ok());
    let more = code(MOST_RETURNS + 1);
    assert_eq!(arm64_exits(&more), Err(Refusal::ReturnsTooOften));
}

#[test]
fn on_arm64_each_return_is_one() {
    let code =
        |words: &[u32]| -> Vec<u8> { words.iter().flat_map(|it| it.to_le_bytes()).collect() };
    // stp; cbz to the second return; ret; ret.
    let two = code(&[0xa9bf_7bfd, 0xb400_0040, 0xd65f_03c0, 0xd65f_03c0]);
    assert_eq!(arm64_entry(&two), Ok(spot(0, 0, false)));
    assert_eq!(
        arm64_exits(&two),
        Ok(vec![spot(8, 0, true), spot(12, 0, true)])
    );
    for (words, expected) in [
        // b to elsewhere, forwards and backwards; b.ne; tbz; br.
        (&[0x1400_0010][..], Refusal::GoesOn(0x40)),
        (&[0x17ff_ffff], Refusal::GoesOn(0_u64.wrapping_sub(4))),
        (&[0x5400_0201, 0xd65f_03c0], Refusal::GoesOn(0x40)),
        (&[0x3600_0080, 0xd65f_03c0], Refusal::GoesOn(0x10)),
        (&[0xd61f_0200], Refusal::LeavesByJump),
        (&[0xd503_201f], Refusal::NeverReturns),
    ] {
        assert_eq!(arm64_exits(&code(words)), Err(expected), "{words:x?}");
    }
    assert_eq!(arm64_entry(&[]), Err(Refusal::Undecodable));
    // ldr x16, [x28, #16]; cmp sp, x16.
    assert!(arm64::begins_as_go_does(&code(&[0xf940_0b90, 0xeb30_63ff])));
    assert!(!arm64::begins_as_go_does(&two));
}

/// `gnutls_record_recv` of `GnuTLS` 3.7.9, in short: a look at the session, a return, and a jump to what returns in its place.
const RECEIVES: &str = "4883ec08 80bfb806000000 4889d1 7402 eb06 4883c408 c3 90 4883c408 eb57";

#[test]
fn a_jump_to_another_function_is_followed_to_its_returns() {
    let code = code(RECEIVES);
    let first = Function {
        offset: 0x100,
        code: code.clone(),
    };
    // Its size is gone, and is not needed.
    assert_eq!(
        x86_64::entry(&first, Arguments::Two),
        Ok(spot(0x10e, 8, true))
    );
    assert_eq!(
        x86_64::entry(&first, Arguments::Four),
        Ok(spot(0x100, 0, false))
    );
    let end = 0x100 + code.len() as u64;
    let goes_on = Err(Refusal::GoesOn(end + 0x57));
    assert_eq!(x86_64::exits(std::slice::from_ref(&first)), goes_on);
    // push; pop; ret; a canary that is seldom wrong.
    let next = Function {
        offset: end + 0x57,
        code: vec![0x53, 0x5b, 0xc3, 0xc3],
    };
    let spots = [0x116, end + 0x59, end + 0x5a].map(|it| spot(it, 0, false));
    assert_eq!(x86_64::exits(&[first, next]), Ok(spots.to_vec()));
}

#[test]
fn a_jump_by_a_register_is_a_choice_where_there_is_a_frame() {
    for (text, expected) in [
        // push %rbx; jmp *%rax; pop; ret; the same behind it.
        ("53 ffe0 5b c3 5b c3", Some(vec![4, 6])),
        // mov %rsp, %rbp below a push; sub; jmp *%rax; leave; ret.
        ("55 4889e5 4883ec10 ffe0 c9 c3", Some(vec![11])),
        // leave, which ends the frame: it leaves.
        ("55 4889e5 4883ec10 c9 ffe0 c3", None),
        // lea -8(%rbp), %rsp; jmp *%rax.
        ("55 4889e5 4883ec10 488d65f8 ffe0 c9 c3", Some(vec![15])),
        // push; pop; jmp *%rax.
        ("53 5b ffe0 c3", None),
        // Of two ways to the jump one has a push more: nobody knows. test; je; push; jmp *%rax.
        ("53 85ff 7401 53 ffe0 5b c3", None),
        // The stack is aligned: and $-16, %rsp; jmp *%rax.
        ("53 4883e4f0 ffe0 5b c3", None),
    ] {
        let spots = expected.map(|it| it.into_iter().map(|at| spot(at, 0, false)).collect());
        assert_eq!(
            exits(&code(text)),
            spots.ok_or(Refusal::LeavesByJump),
            "{text}"
        );
    }
    // The choice may lead back to the test, but not to the push. sub; test; je; jmp *%rax.
    assert_eq!(
        entry(&code("4883ec08 85ff 7402 ffe0 4883c408 c3")),
        Ok(spot(0, 0, false))
    );
    assert_eq!(entry(&code("53 ffe0 5b c3")), Ok(spot(0, 0, true)));
}
