// SPDX-License-Identifier: Apache-2.0
//! Looks into processes that serve TLS: finds the libraries that they have mapped, and attaches programs to their functions.
//!
//! That takes rights which the agent gives up once it has started, and it reads files that are anybody's. So it is done by a
//! process of its own ([`helper`]), which the programs in the kernel tell what to look at, and nobody else.

pub mod attach;
mod calls;
pub mod elf;
mod gopclntab;
pub mod helper;
mod library;
mod mappings;
mod place;
mod ring;
mod unwind;
mod watch;
