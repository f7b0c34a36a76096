// SPDX-License-Identifier: Apache-2.0
//! Functions of a Go program, by their names, from the table that its runtime unwinds stacks by. It is there in stripped programs,
//! too. As of Go 1.18 (`runtime/symtab.go`); earlier ones have another form, and are not looked into.
//!
//! The file may be anybody's: [`Elf`] bounds what is read, and numbers are checked before they are used.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

use crate::tls::elf::{Elf, Function, Source};

const MAGIC: [u32; 2] = [0xffff_fff0, 0xffff_fff1];
/// As it is called, also in programs that are position-independent.
const SECTIONS: [&str; 2] = [".gopclntab", ".data.rel.ro.gopclntab"];
const HEADER: u64 = 8 + 8 * 8;
/// More than the largest programs have.
const MOST_FUNCTIONS: u64 = 2 << 20;
/// Where a function's entry ends and its name begins, in what the table has of it.
const FUNCTION: u64 = 8;
/// What is read at once.
const WINDOW: u64 = 1 << 20;

/// Where the table is in the file, and in it.
struct Table<'e, S> {
    elf: &'e Elf<S>,
    offset: u64,
    size: u64,
    count: u64,
    text: u64,
    names: u64,
    names_end: u64,
    functions: u64,
}

/// Those of these functions that a program has. None: it is not of Go.
pub fn functions<'n, S: Source>(
    elf: &Elf<S>,
    names: &[&'n str],
) -> Result<BTreeMap<&'n str, Function>> {
    let mut found = BTreeMap::new();
    let mut section = None;
    for name in SECTIONS {
        section = section.or(elf.section(name)?);
    }
    let Some(section) = section else {
        return Ok(found);
    };
    let table = Table::open(elf, section.offset, section.size)?;
    let wanted = table.offsets_of(names)?;
    if wanted.is_empty() {
        return Ok(found);
    }
    let entries = table.entries()?;
    let mut window = Window::default();
    for pair in entries.chunks_exact(2).collect::<Vec<_>>().windows(2) {
        let [[from, at], [to, _]] = [pair[0], pair[1]].map(|it| [it[0], it[1]]);
        let name = window.number(&table, table.functions + u64::from(at) + FUNCTION - 4)?;
        if let Some(name) = wanted.get(&name) {
            let size = to
                .checked_sub(from)
                .context("its functions are not in order")?;
            let address = table.text.checked_add(from.into());
            let address = address.context("its functions are nowhere")?;
            found.insert(*name, elf.function(address, size.into())?);
        }
    }
    Ok(found)
}

impl<'e, S: Source> Table<'e, S> {
    fn open(elf: &'e Elf<S>, offset: u64, size: u64) -> Result<Self> {
        let header = elf.bytes(offset, HEADER)?;
        let number = |index: usize| {
            let at = 8 + 8 * index;
            u64::from_le_bytes(header[at..at + 8].try_into().unwrap_or_default())
        };
        let magic = u32::from_le_bytes(header[..4].try_into().unwrap_or_default());
        ensure!(
            MAGIC.contains(&magic) && header[7] == 8,
            "its table of functions has another form than since Go 1.18"
        );
        let table = Self {
            elf,
            offset,
            size,
            count: number(0),
            text: number(2),
            names: number(3),
            names_end: number(4),
            functions: number(7),
        };
        ensure!(
            table.count < MOST_FUNCTIONS
                && table.names <= table.names_end
                && table.names_end <= size
                && table.functions <= size,
            "its table of functions is malformed"
        );
        ensure!(table.text > 0, "where its code is shows only when it runs");
        Ok(table)
    }

    fn bytes(&self, from: u64, size: u64) -> Result<Vec<u8>> {
        let is_there = from.checked_add(size).is_some_and(|end| end <= self.size);
        ensure!(is_there, "its table of functions is cut");
        self.elf.bytes(self.offset + from, size)
    }

    /// Where the names begin, from the first of all names on.
    fn offsets_of<'n>(&self, names: &[&'n str]) -> Result<BTreeMap<u32, &'n str>> {
        let texts = self.bytes(self.names, self.names_end - self.names)?;
        let mut at: u32 = 0;
        let mut offsets = BTreeMap::new();
        for text in texts.split(|byte| *byte == 0) {
            if let Some(name) = names.iter().find(|name| name.as_bytes() == text) {
                offsets.insert(at, *name);
            }
            at = at.saturating_add(text.len() as u32 + 1);
        }
        Ok(offsets)
    }

    /// Of each function where it begins, from the first one on, and where the table has more of it; then where the last one ends.
    fn entries(&self) -> Result<Vec<u32>> {
        let bytes = self.bytes(self.functions, self.count * 8 + 4)?;
        let numbers = bytes.chunks_exact(4).map(|it| {
            let number = it.try_into().unwrap_or_default();
            u32::from_le_bytes(number)
        });
        // So that the end is a pair, too.
        Ok(numbers.chain([0]).collect())
    }
}

/// A part of the table that goes along with who reads it from its beginning to its end.
#[derive(Default)]
struct Window {
    from: u64,
    bytes: Vec<u8>,
}

impl Window {
    fn number<S: Source>(&mut self, table: &Table<'_, S>, at: u64) -> Result<u32> {
        let is_within = |it: &Self| at >= it.from && at + 4 <= it.from + it.bytes.len() as u64;
        if !is_within(self) {
            let left = table.size.checked_sub(at).context("its table is cut")?;
            self.bytes = table.bytes(at, left.min(WINDOW))?;
            self.from = at;
        }
        let start = (at - self.from) as usize;
        let number = self
            .bytes
            .get(start..start + 4)
            .context("its table is cut")?;
        Ok(u32::from_le_bytes(number.try_into().unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::elf::tests::with_section;

    const NAMES: [&str; 2] = ["tls.(*Conn).Read", "tls.(*Conn).Close"];
    const CODE: [u8; 3] = [0x53, 0x5b, 0xc3];

    fn put(bytes: &mut Vec<u8>, numbers: &[u32]) {
        bytes.extend(numbers.iter().flat_map(|it| it.to_le_bytes()));
    }

    /// Of two functions, the second of which is the first of these, where the code begins at that address.
    fn table(text: u64) -> Vec<u8> {
        let names = b"main.main\0tls.(*Conn).Read\0";
        let names_at = HEADER;
        let functions_at = names_at + names.len() as u64;
        let mut bytes = vec![0xf1, 0xff, 0xff, 0xff, 0, 0, 1, 8];
        for number in [2, 0, text, names_at, functions_at, 0, 0, functions_at] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(names);
        put(&mut bytes, &[0, 20, 1, 28, 3]);
        put(&mut bytes, &[0, 0, 1, 10]);
        bytes
    }

    fn found(table: &[u8]) -> Result<BTreeMap<&'static str, Function>> {
        let (file, _) = with_section(".gopclntab", table);
        functions(&Elf::open(&file[..])?, &NAMES)
    }

    #[test]
    fn a_function_is_found_by_its_name_and_ends_where_the_next_one_begins() {
        let (file, address) = with_section(".gopclntab", &table(0));
        let _ = file;
        let found = found(&table(address)).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[NAMES[0]].code, CODE[1..]);
    }

    #[test]
    fn what_has_no_table_is_not_of_go() {
        let (file, _) = with_section(".other", &[]);
        let found = functions(&Elf::open(&file[..]).unwrap(), &NAMES).unwrap();
        assert_eq!(found, BTreeMap::new());
    }

    #[test]
    fn whatever_is_in_it_there_is_an_end_to_it() {
        let (_, address) = with_section(".gopclntab", &[]);
        let whole = table(address);
        for at in 0..whole.len() {
            for value in [0, 1, 0x40, 0x7f, 0x80, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] = value;
                let _ = found(&bytes);
                let _ = found(&bytes[..at]);
            }
        }
        assert!(found(&table(0)).is_err());
    }
}
