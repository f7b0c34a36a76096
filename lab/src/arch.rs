// SPDX-License-Identifier: Apache-2.0
//! What differs between the architectures of machines.

use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Arch {
    X86_64,
    Aarch64,
}

impl Arch {
    /// As Debian calls it.
    pub fn debian(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Aarch64 => "arm64",
        }
    }

    /// As Rust calls it.
    pub fn target(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-unknown-linux-gnu",
            Self::Aarch64 => "aarch64-unknown-linux-gnu",
        }
    }

    /// As the tools of GNU call it.
    pub fn gnu(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-linux-gnu",
            Self::Aarch64 => "aarch64-linux-gnu",
        }
    }

    /// The emulator and the machine that it is to be.
    pub fn emulator(self) -> (&'static str, &'static [&'static str]) {
        match self {
            // Byte-wise string instructions are the slowest to emulate: without them the kernel copies and fills by
            // words.
            Self::X86_64 => (
                "qemu-system-x86_64",
                &["-machine", "q35", "-cpu", "max,erms=off,fsrm=off,fsrs=off"],
            ),
            // What later ones can do besides, above all to authenticate pointers, takes time to emulate.
            Self::Aarch64 => (
                "qemu-system-aarch64",
                &["-machine", "virt", "-cpu", "cortex-a72"],
            ),
        }
    }

    /// The first serial line.
    pub fn console(self) -> &'static str {
        match self {
            Self::X86_64 => "ttyS0",
            Self::Aarch64 => "ttyAMA0",
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::X86_64 => "x86-64",
            Self::Aarch64 => "arm64",
        })
    }
}
