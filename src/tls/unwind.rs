// SPDX-License-Identifier: Apache-2.0
//! Which function is somewhere in a file, by the table by which stacks are unwound: it is there where names are not. As in the
//! Linux Standard Base (`.eh_frame_hdr`, `.eh_frame`).
//!
//! The file may be anybody's: [`Elf`] bounds what is read, and what the table says has to agree with itself.

use anyhow::{Context, Result, ensure};

use crate::tls::elf::{Elf, Function, Source};

/// Version 1; the numbers' forms: where the rest is, how many entries, and what they are relative to. Linkers make no other.
const HEAD: [u8; 4] = [1, 0x1b, 0x03, 0x3b];
const ENTRIES: u64 = 12;
/// Where a function begins, and what there is to say of it, both from the table on.
const ENTRY: u64 = 8;
/// More than the largest programs have.
const MOST: u32 = 4 << 20;

/// The function around a place in the file. None: the table does not say.
pub fn function_at<S: Source>(elf: &Elf<S>, offset: u64) -> Result<Option<Function>> {
    let (Some(address), Some(table)) = (elf.address_of(offset), elf.unwind_table()) else {
        return Ok(None);
    };
    let head = elf.bytes_at(table, ENTRIES)?;
    if head[..4] != HEAD {
        return Ok(None);
    }
    let count = number(&head, 8);
    ensure!(count < MOST, "its table of functions is too long");
    let entry = |index: u32| {
        let at = table.wrapping_add(ENTRIES + ENTRY * u64::from(index));
        let entry = elf.bytes_at(at, ENTRY)?;
        let [begin, more] = [0, 4].map(|it| relative(table, number(&entry, it)));
        anyhow::Ok((begin, more))
    };
    // How many begin there or before.
    let (mut least, mut most) = (0, count);
    while least < most {
        let middle = least + (most - least) / 2;
        match entry(middle)?.0 <= address {
            true => least = middle + 1,
            false => most = middle,
        }
    }
    let Some(index) = least.checked_sub(1) else {
        return Ok(None);
    };
    let (begin, more) = entry(index)?;
    // Its length, whose it is, where it begins, and its size.
    let said = elf.bytes_at(more, 16)?;
    let is_there = relative(more.wrapping_add(8), number(&said, 8));
    ensure!(is_there == begin, "its tables of functions do not agree");
    let size = u64::from(number(&said, 12));
    let end = begin.checked_add(size).context("a function is endless")?;
    if address >= end {
        return Ok(None);
    }
    elf.function(begin, size).map(Some)
}

fn number(bytes: &[u8], at: usize) -> u32 {
    let bytes = bytes.get(at..at + 4).and_then(|it| it.try_into().ok());
    u32::from_le_bytes(bytes.unwrap_or_default())
}

fn relative(to: u64, distance: u32) -> u64 {
    to.wrapping_add_signed(distance.cast_signed().into())
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn it_is_the_function_that_has_its_name_there() {
        let path = "/usr/lib/x86_64-linux-gnu/libssl.so.3";
        let file = File::open(path).expect("the package libssl3 is not installed");
        let elf = Elf::open(&file).unwrap();
        let functions = elf.functions(&["SSL_read", "SSL_write_ex"]).unwrap();
        assert_eq!(functions.len(), 2);
        for function in functions.values() {
            for within in [0, 1, function.code.len() as u64 - 1] {
                let found = function_at(&elf, function.offset + within).unwrap();
                assert_eq!(found.as_ref(), Some(function));
            }
        }
        let nowhere = file.metadata().unwrap().len();
        for offset in [0, 1, nowhere, u64::MAX] {
            assert_eq!(function_at(&elf, offset).unwrap(), None, "{offset}");
        }
    }

    /// A failure says by which seed.
    #[test]
    #[cfg(target_arch = "x86_64")]
    fn whatever_a_table_says_there_is_an_end_to_it() {
        let path = "/usr/lib/x86_64-linux-gnu/libssl.so.3";
        let mut bytes = std::fs::read(path).expect("the package libssl3 is not installed");
        let (table, offset) = {
            let elf = Elf::open(&bytes[..]).unwrap();
            let functions = elf.functions(&["SSL_read"]).unwrap();
            (elf.unwind_table().unwrap(), functions["SSL_read"].offset)
        };
        // Addresses are offsets there.
        let table = table as usize;
        assert_eq!(bytes[table..table + 4], HEAD);
        for seed in 0..2000 {
            let mut random = fastrand::Rng::with_seed(seed);
            let at = match random.bool() {
                true => table + random.usize(..12),
                false => random.usize(table..bytes.len()),
            };
            let before = std::mem::replace(&mut bytes[at], random.u8(..));
            let elf = Elf::open(&bytes[..]).unwrap();
            if let Ok(Some(function)) = function_at(&elf, offset) {
                let end = function.offset + function.code.len() as u64;
                assert!((function.offset..end).contains(&offset), "{seed}");
            }
            drop(elf);
            bytes[at] = before;
        }
    }
}
