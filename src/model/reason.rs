// SPDX-License-Identifier: Apache-2.0
//! Why something was not seen or not counted, and how often.

use std::fmt;
use std::ops::{Index, IndexMut};

/// Writes each reason once, so that none can be left out of [`Reason::ALL`].
macro_rules! reasons {
    ($($reason:ident $label:literal),* $(,)?) => {
        /// `docs/limitations.md` says what each of them means.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Reason {
            $($reason),*
        }

        impl Reason {
            /// In the order in which they are listed.
            pub const ALL: [Self; [$($label),*].len()] = [$(Self::$reason),*];

            /// What metrics and views call it.
            pub fn label(self) -> &'static str {
                match self {
                    $(Self::$reason => $label),*
                }
            }
        }
    };
}

reasons!(
    ProcessesFull "processes_full",
    SeriesFull "series_full",
    ConnectionsFull "connections_full",
    Unmatched "unmatched",
    RequestsLost "requests_lost",
    ResponsesLost "responses_lost",
    Unbounded "unbounded",
    TooLong "too_long",
    Unreadable "unreadable",
    IoUring "io_uring",
    KernelThread "kernel_thread",
    Compat "compat",
    Syscall "syscall",
    Cancelled "cancelled",
    Reset "reset",
    StreamsFull "streams_full",
    JoinedLate "joined_late",
    HpackTable "hpack_table",
    TlsUnseen "tls_unseen",
    TlsCallsFull "tls_calls_full",
    // All others are counted by the programs in the kernel; this is how often the kernel did not run them.
    Recursion "recursion",
);

/// How much was missed, by reason.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Missed([u64; Reason::ALL.len()]);

impl Missed {
    pub fn iter(&self) -> impl Iterator<Item = (Reason, u64)> {
        Reason::ALL.into_iter().zip(self.0)
    }
}

impl Index<Reason> for Missed {
    type Output = u64;

    fn index(&self, reason: Reason) -> &u64 {
        &self.0[reason as usize]
    }
}

impl IndexMut<Reason> for Missed {
    fn index_mut(&mut self, reason: Reason) -> &mut u64 {
        &mut self.0[reason as usize]
    }
}

impl fmt::Debug for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.iter().map(|(reason, count)| (reason.label(), count));
        f.debug_list().entries(counts).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_reason_has_a_count_of_its_own() {
        let mut missed = Missed::default();
        for (index, reason) in Reason::ALL.into_iter().enumerate() {
            missed[reason] += index as u64;
        }
        for (index, (reason, count)) in missed.iter().enumerate() {
            assert_eq!((missed[reason], count), (index as u64, index as u64));
        }
        assert_ne!(missed, Missed::default());
    }

    #[test]
    fn the_log_names_the_reasons() {
        let mut missed = Missed::default();
        missed[Reason::TooLong] = 7;
        assert!(format!("{missed:?}").contains(r#"("too_long", 7)"#));
    }

    /// The names in a cell such as ``"`io_uring` under `sock`; – under `syscall`"``, where the words after "under" are backends.
    fn named_in(cell: &str) -> impl Iterator<Item = &str> {
        cell.split([',', ';'])
            .filter_map(|part| part.split(" under ").next())
            .map(str::trim)
            .filter(|name| *name != "–")
            .map(|name| name.trim_matches('`'))
    }

    #[test]
    fn the_table_of_limitations_has_each_reason_and_no_other() {
        let text = include_str!("../../docs/limitations.md");
        let rows = text.lines().filter(|line| line.starts_with('|'));
        // Without the head of the table and the line below it.
        let last_column = rows
            .skip(2)
            .filter_map(|row| row.trim_end_matches('|').rsplit('|').next());
        let named: BTreeSet<_> = last_column.flat_map(named_in).collect();
        let known: BTreeSet<_> = Reason::ALL.map(Reason::label).into();
        assert_eq!(named, known);
    }
}
