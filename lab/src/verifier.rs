// SPDX-License-Identifier: Apache-2.0
//! `docs/verifier.txt`: what each BPF program takes the verifier of each kernel.

use std::fmt::Write;

use crate::outcome::Outcome;
use crate::verdict::MOST_INSTRUCTIONS;

/// What the example `verifier` prints in place of a number.
const REFUSED: &str = "refused";

/// A line of what the example `verifier` prints: a program first and, where it is accepted, the processed instructions last.
pub fn parse(line: &str) -> Option<(&str, Option<u64>)> {
    let (program, rest) = line.split_once(' ')?;
    match rest.split_whitespace().next_back()? {
        REFUSED => Some((program, None)),
        number => Some((program, Some(number.parse().ok()?))),
    }
}

pub fn document(outcomes: &[Outcome]) -> String {
    let seen: Vec<_> = outcomes
        .iter()
        .filter(|outcome| !outcome.verified.is_empty())
        .collect();
    let mut text = format!(
        "Instructions that the verifier of each kernel processes for each BPF program, as make test-kernels saw it.\n\
         A kernel refuses a program at 1000000, and make test-kernels fails at more than {MOST_INSTRUCTIONS}.\n\
         \"-\": this kernel lacks what the program is attached to or calls.\n\n"
    );
    for outcome in &seen {
        let release = outcome.release.as_deref().unwrap_or_default();
        let _ = writeln!(text, "{:<12}{release}", outcome.name());
    }
    let _ = write!(text, "\n{:<26}", "program");
    for outcome in &seen {
        let _ = write!(text, "{:>12}", outcome.name());
    }
    text.push('\n');
    // Every kernel tells of every program.
    for (i, (program, _)) in seen
        .first()
        .map_or(&[][..], |first| &first.verified)
        .iter()
        .enumerate()
    {
        let _ = write!(text, "{program:<26}");
        for outcome in &seen {
            let instructions = outcome.verified.get(i).and_then(|(_, n)| *n);
            let cell = instructions.map_or("-".to_owned(), |n| n.to_string());
            let _ = write!(text, "{cell:>12}");
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::KERNELS;

    #[test]
    fn lines_of_programs_are_told_from_others() {
        assert_eq!(
            parse("http_sock_recv  2901  72810"),
            Some(("http_sock_recv", Some(72810)))
        );
        assert_eq!(
            parse("http_sock_recv        refused"),
            Some(("http_sock_recv", None))
        );
        for line in [
            "",
            "program  instructions  processed",
            "Linux 6.18 on x86_64.",
        ] {
            assert_eq!(parse(line), None);
        }
    }

    #[test]
    fn a_column_is_a_kernel() {
        let mut outcomes = KERNELS.map(Outcome::of);
        outcomes[1].verified = vec![("http_sock_recv".into(), None)];
        outcomes[2].verified = vec![("http_sock_recv".into(), Some(72810))];
        let text = document(&outcomes);
        let words: Vec<_> = text.lines().last().unwrap().split_whitespace().collect();
        assert_eq!(words, ["http_sock_recv", "-", "72810"]);
    }
}
