// SPDX-License-Identifier: Apache-2.0
//! Functions in an ELF file, by their names. Files are anybody's, so that each read has a bound, and so has all that is read of
//! one; only what is needed is read at all. The forms of structures are the crate's, the bounds are ours: that of its readers is
//! the file's length, which may be anything.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result, anyhow, ensure};
use object::elf::{self, FileHeader64, ProgramHeader64, SectionHeader64, Sym64};
use object::pod::{self, Pod};

type Endian = object::LittleEndian;
type Segment = ProgramHeader64<Endian>;
const LITTLE: Endian = object::LittleEndian;

/// What one read may take, and all of a file together.
const PART: u64 = 32 << 20;
const ALL: u64 = 192 << 20;
const SYMBOL: u64 = size_of::<Sym64<Endian>>() as u64;
/// Symbols that are read at once.
const TOGETHER: u64 = 32 << 10;
/// Of a function.
const MOST_CODE: u64 = 64 << 10;

#[cfg(target_arch = "x86_64")]
const MACHINE: elf::Machine = elf::EM_X86_64;
#[cfg(target_arch = "aarch64")]
const MACHINE: elf::Machine = elf::EM_AARCH64;

/// A function, and where it is in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    pub offset: u64,
    pub code: Vec<u8>,
}

/// What is read.
pub trait Source {
    fn fill(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
}

impl Source for &std::fs::File {
    fn fill(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.read_exact_at(buffer, offset)
    }
}

impl Source for &[u8] {
    fn fill(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let bytes = usize::try_from(offset).ok().and_then(|it| self.get(it..));
        let bytes = bytes.and_then(|it| it.get(..buffer.len()));
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// A file of this machine's programs.
pub struct Elf<S> {
    source: S,
    left: Cell<u64>,
    segments: Vec<ProgramHeader64<Endian>>,
    sections: Vec<SectionHeader64<Endian>>,
    /// Which section has the names of all.
    names: u16,
}

/// Where a part of a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Section {
    pub offset: u64,
    pub size: u64,
}

impl<S: Source> Elf<S> {
    pub fn open(source: S) -> Result<Self> {
        let mut elf = Self {
            source,
            left: Cell::new(ALL),
            segments: Vec::new(),
            sections: Vec::new(),
            names: 0,
        };
        let header: FileHeader64<Endian> = elf.table(0, 1)?[0];
        let ident = &header.e_ident;
        ensure!(
            ident.magic == elf::ELFMAG
                && ident.class == elf::ELFCLASS64
                && ident.data == elf::ELFDATA2LSB
                && header.e_machine.get(LITTLE) == MACHINE,
            "it is no ELF file of this machine"
        );
        let counted = |each: u16, count: u16, size: usize| {
            let is_usual = count == 0 || usize::from(each) == size;
            is_usual
                .then_some(u64::from(count))
                .context("its tables have other entries")
        };
        let segments = counted(
            header.e_phentsize.get(LITTLE),
            header.e_phnum.get(LITTLE),
            size_of::<ProgramHeader64<Endian>>(),
        )?;
        let sections = counted(
            header.e_shentsize.get(LITTLE),
            header.e_shnum.get(LITTLE),
            size_of::<SectionHeader64<Endian>>(),
        )?;
        elf.segments = elf.table(header.e_phoff.get(LITTLE), segments)?;
        elf.sections = elf.table(header.e_shoff.get(LITTLE), sections)?;
        elf.names = header.e_shstrndx.get(LITTLE).0;
        Ok(elf)
    }

    /// The first one of this name.
    pub fn section(&self, name: &str) -> Result<Option<Section>> {
        let Some(names) = self.sections.get(usize::from(self.names)) else {
            return Ok(None);
        };
        let texts = self.bytes(names.sh_offset.get(LITTLE), names.sh_size.get(LITTLE))?;
        let mut sections = self.sections.iter();
        let found = sections.find(|it| {
            let at = it.sh_name.get(LITTLE) as usize;
            named(&texts, at, &[name]).is_some()
        });
        Ok(found.map(|it| Section {
            offset: it.sh_offset.get(LITTLE),
            size: it.sh_size.get(LITTLE),
        }))
    }

    /// How much was read so far.
    pub fn taken(&self) -> u64 {
        ALL - self.left.get()
    }

    pub fn bytes(&self, offset: u64, size: u64) -> Result<Vec<u8>> {
        let left = self.left.get().checked_sub(size);
        let left = left.filter(|_| size <= PART);
        self.left
            .set(left.context("it is larger than any library")?);
        let mut bytes = vec![0; size as usize];
        self.source.fill(&mut bytes, offset).context("it is cut")?;
        Ok(bytes)
    }

    fn table<T: Pod>(&self, offset: u64, count: u64) -> Result<Vec<T>> {
        let size = count.checked_mul(size_of::<T>() as u64);
        let bytes = self.bytes(offset, size.context("it is larger than any library")?)?;
        let entries = pod::slice_from_bytes(&bytes, count as usize);
        let (entries, _) = entries.map_err(|()| anyhow!("it is not aligned"))?;
        Ok(entries.to_vec())
    }

    /// Those of the functions of these names that the file has, from its table of dynamic symbols or else from that of all.
    pub fn functions<'n>(&self, names: &[&'n str]) -> Result<BTreeMap<&'n str, Function>> {
        for kind in [elf::SHT_DYNSYM, elf::SHT_SYMTAB] {
            for section in &self.sections {
                if section.sh_type.get(LITTLE) != kind {
                    continue;
                }
                let found = self.functions_in(section, names)?;
                if !found.is_empty() {
                    return Ok(found);
                }
            }
        }
        Ok(BTreeMap::new())
    }

    fn functions_in<'n>(
        &self,
        symbols: &SectionHeader64<Endian>,
        names: &[&'n str],
    ) -> Result<BTreeMap<&'n str, Function>> {
        let texts = self.sections.get(symbols.sh_link.get(LITTLE) as usize);
        let texts = texts.context("its symbols have no names")?;
        let texts = self.bytes(texts.sh_offset.get(LITTLE), texts.sh_size.get(LITTLE))?;
        let count = symbols.sh_size.get(LITTLE) / SYMBOL;
        let mut found = BTreeMap::new();
        for first in (0..count).step_by(TOGETHER as usize) {
            let at = symbols.sh_offset.get(LITTLE).checked_add(first * SYMBOL);
            let at = at.context("its symbols are nowhere")?;
            let some: Vec<Sym64<Endian>> = self.table(at, TOGETHER.min(count - first))?;
            for symbol in &some {
                let is_function = symbol.st_type() == elf::STT_FUNC;
                if !is_function || symbol.st_shndx.get(LITTLE) == elf::SHN_UNDEF {
                    continue;
                }
                let at = symbol.st_name.get(LITTLE) as usize;
                if let Some(name) = named(&texts, at, names)
                    && !found.contains_key(name)
                {
                    let (address, size) = (symbol.st_value.get(LITTLE), symbol.st_size.get(LITTLE));
                    found.insert(name, self.function(address, size)?);
                }
            }
        }
        Ok(found)
    }

    fn offset_in(&self, which: impl Fn(&Segment) -> bool, address: u64, size: u64) -> Option<u64> {
        let mut mapped = self.mapped().filter(|it| which(it));
        mapped.find_map(|it| {
            let within = address.checked_sub(it.p_vaddr.get(LITTLE))?;
            let is_there = within.checked_add(size)? <= it.p_filesz.get(LITTLE);
            is_there.then(|| it.p_offset.get(LITTLE).checked_add(within))?
        })
    }

    fn mapped(&self) -> impl Iterator<Item = &Segment> {
        let segments = self.segments.iter();
        segments.filter(|it| it.p_type.get(LITTLE) == elf::PT_LOAD)
    }

    /// Bytes at an address, as they are when the file is mapped.
    pub fn bytes_at(&self, address: u64, size: u64) -> Result<Vec<u8>> {
        let offset = self.offset_in(|_| true, address, size);
        self.bytes(offset.context("an address is nowhere in it")?, size)
    }

    /// To where something of the file is mapped.
    pub fn address_of(&self, offset: u64) -> Option<u64> {
        self.mapped().find_map(|it| {
            let within = offset.checked_sub(it.p_offset.get(LITTLE))?;
            let is_there = within < it.p_filesz.get(LITTLE);
            is_there.then(|| it.p_vaddr.get(LITTLE).checked_add(within))?
        })
    }

    /// To where the table by which stacks are unwound is mapped.
    pub fn unwind_table(&self) -> Option<u64> {
        let mut segments = self.segments.iter();
        let table = segments.find(|it| it.p_type.get(LITTLE) == elf::PT_GNU_EH_FRAME);
        table.map(|it| it.p_vaddr.get(LITTLE))
    }

    /// The code at an address, which has to be in a part of the file that is mapped to be executed.
    pub fn function(&self, address: u64, size: u64) -> Result<Function> {
        ensure!(
            (1..=MOST_CODE).contains(&size),
            "a function has {size} bytes"
        );
        let is_code = |it: &Segment| it.p_flags.get(LITTLE).contains(elf::PF_X);
        let offset = self.offset_in(is_code, address, size);
        let offset = offset.context("a function is in no code")?;
        Ok(Function {
            offset,
            code: self.bytes(offset, size)?,
        })
    }
}

/// Which of these names the text is that begins there and ends with a zero.
fn named<'n>(texts: &[u8], at: usize, names: &[&'n str]) -> Option<&'n str> {
    let text = texts.get(at..)?;
    names.iter().copied().find(|name| {
        let rest = text.strip_prefix(name.as_bytes());
        rest.is_some_and(|rest| rest.first() == Some(&0))
    })
}

#[cfg(test)]
pub mod tests {
    use super::*;

    const CODE: [u8; 3] = [0x53, 0x5b, 0xc3];
    const NAMES: [&str; 3] = ["SSL_read", "SSL_re", "SSL_free"];
    /// Where each part of [`file`] is.
    const SEGMENTS: usize = 64;
    const SECTIONS: usize = SEGMENTS + 2 * 56;
    const SYMBOLS: usize = SECTIONS + 3 * 64;
    const TEXTS: usize = SYMBOLS + 4 * 24;
    const BYTES: usize = TEXTS + 32;
    const ADDRESS: u64 = 0x40_0000;

    fn put(bytes: &mut [u8], at: usize, numbers: &[(usize, u64)]) {
        let mut at = at;
        for (size, number) in numbers {
            bytes[at..at + size].copy_from_slice(&number.to_le_bytes()[..*size]);
            at += size;
        }
    }

    /// A small one, with a function, one that is defined elsewhere, and what is none.
    fn file() -> Vec<u8> {
        let mut bytes = vec![0; BYTES + CODE.len()];
        bytes[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        let tables = [(8, SEGMENTS as u64), (8, SECTIONS as u64)];
        let counts = [(2, 64), (2, 56), (2, 2), (2, 64), (2, 3), (2, 0)];
        put(
            &mut bytes,
            16,
            &[(2, 3), (2, MACHINE.0.into()), (4, 1), (8, 0)],
        );
        put(&mut bytes, 32, &tables);
        put(&mut bytes, 52, &counts);
        // What is read, and what is executed.
        let size = CODE.len() as u64;
        put(
            &mut bytes,
            SEGMENTS,
            &[(4, 1), (4, 4), (8, 0), (8, 0), (8, 0), (8, 64)],
        );
        let code = [
            (4, 1),
            (4, 5),
            (8, BYTES as u64),
            (8, ADDRESS),
            (8, 0),
            (8, size),
        ];
        put(&mut bytes, SEGMENTS + 56, &code);
        let symbols = [
            (4, 0),
            (4, 11),
            (8, 0),
            (8, 0),
            (8, SYMBOLS as u64),
            (8, 4 * 24),
            (4, 2),
        ];
        put(&mut bytes, SECTIONS + 64, &symbols);
        let texts = [(4, 0), (4, 3), (8, 0), (8, 0), (8, TEXTS as u64), (8, 32)];
        put(&mut bytes, SECTIONS + 128, &texts);
        let symbol = |name: u64, kind: u64, section: u64| {
            [
                (4, name),
                (1, kind),
                (1, 0),
                (2, section),
                (8, ADDRESS),
                (8, size),
            ]
        };
        put(&mut bytes, SYMBOLS + 24, &symbol(1, 0x12, 1));
        put(&mut bytes, SYMBOLS + 48, &symbol(10, 0x12, 0));
        put(&mut bytes, SYMBOLS + 72, &symbol(10, 0x11, 1));
        bytes[TEXTS + 1..TEXTS + 19].copy_from_slice(b"SSL_read\0SSL_free\0");
        bytes[BYTES..].copy_from_slice(&CODE);
        bytes
    }

    /// The same with a section more, of this name; and where its code is mapped to.
    pub fn with_section(name: &str, content: &[u8]) -> (Vec<u8>, u64) {
        let mut bytes = file();
        let sections = bytes.len();
        let header = bytes[SECTIONS..SYMBOLS].to_vec();
        bytes.extend(header);
        bytes.extend([0; 64]);
        let at = bytes.len();
        bytes.extend(content);
        let names = bytes.len();
        bytes.push(0);
        bytes.extend(name.as_bytes());
        bytes.push(0);
        let size = name.len() as u64 + 2;
        let place = |at: usize, size| [(8, at as u64), (8, size)];
        // The first one has the names.
        put(&mut bytes, sections + 24, &place(names, size));
        let last = sections + 3 * 64;
        put(&mut bytes, last, &[(4, 1), (4, 1)]);
        put(&mut bytes, last + 24, &place(at, content.len() as u64));
        put(&mut bytes, 40, &[(8, sections as u64)]);
        put(&mut bytes, 60, &[(2, 4), (2, 0)]);
        (bytes, ADDRESS)
    }

    #[test]
    fn a_function_is_found_by_its_whole_name_with_its_code() {
        let file = file();
        let found = Elf::open(&file[..]).unwrap().functions(&NAMES).unwrap();
        let function = Function {
            offset: BYTES as u64,
            code: CODE.to_vec(),
        };
        assert_eq!(found, BTreeMap::from([("SSL_read", function)]));
    }

    #[test]
    fn so_it_is_in_a_real_file() {
        let own = std::fs::File::open("/proc/self/exe").unwrap();
        let found = Elf::open(&own).unwrap().functions(&["main"]).unwrap();
        assert!(found["main"].code.len() > 1);
    }

    #[test]
    fn what_is_no_file_of_this_machine_is_refused() {
        let whole = file();
        for (at, value) in [(0, 0), (4, 1), (5, 2), (18, 0x28)] {
            let mut other = file();
            other[at] = value;
            assert!(Elf::open(&other[..]).is_err(), "{at}");
        }
        for bytes in [b"#!/bin/sh\n", &whole[..63], &[]] {
            assert!(Elf::open(bytes).is_err());
        }
    }

    #[test]
    fn whatever_is_in_a_file_there_is_an_end_to_it() {
        for at in 0..BYTES {
            for value in [0, 1, 0x40, 0x7f, 0x80, 0xff] {
                let mut bytes = file();
                bytes[at] = value;
                if let Ok(elf) = Elf::open(&bytes[..]) {
                    let _ = elf.functions(&NAMES);
                }
            }
        }
    }

    /// A file that says it is as long as it likes.
    struct Endless;

    impl Source for Endless {
        fn fill(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
            assert!(buffer.len() as u64 <= PART);
            buffer.fill(1);
            let file = file();
            let start = usize::try_from(offset)
                .unwrap_or(usize::MAX)
                .min(file.len());
            let length = buffer.len().min(file.len() - start);
            buffer[..length].copy_from_slice(&file[start..start + length]);
            // The sizes of its symbols and of their names.
            for at in [SECTIONS + 64 + 32, SECTIONS + 128 + 32] {
                if let Some(at) = at.checked_sub(start).filter(|it| it + 8 <= buffer.len()) {
                    buffer[at..at + 8].copy_from_slice(&(1_u64 << 40).to_le_bytes());
                }
            }
            Ok(())
        }
    }

    #[test]
    fn no_more_is_read_than_a_library_has() {
        let error = Elf::open(Endless).unwrap().functions(&NAMES).unwrap_err();
        assert_eq!(error.to_string(), "it is larger than any library");
    }
}
