// SPDX-License-Identifier: Apache-2.0
//! `docs/verifier.txt`: what each BPF program takes the verifier of each kernel.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::kernels::BACKENDS;
use crate::outcome::Outcome;
use crate::record::Record;
use crate::verdict::MOST_INSTRUCTIONS;

/// What the example `verifier` prints, and tests write: which backend the agent takes and why; then for each backend a title,
/// and below it either why it is refused or, for each program, its name, its size and the processed instructions.
pub fn records(text: &str) -> Vec<Record> {
    let mut backend = "";
    let mut records = Vec::new();
    for line in text.lines() {
        if let Some(choice) = line.strip_prefix("auto: ") {
            let words = choice.strip_prefix("error: ").unwrap_or(choice);
            records.push(Record::Choice(reason(words, "").to_owned()));
        } else if let Some(title) = line.strip_prefix("backend ") {
            backend = title.split(' ').next().unwrap_or_default();
        } else if let Some(error) = line.strip_prefix("error: ") {
            records.push(Record::Backend {
                name: backend.to_owned(),
                refusal: Some(reason(error, backend).to_owned()),
            });
        } else if let [program, _, processed] = line.split_whitespace().collect::<Vec<_>>()[..]
            && let Ok(instructions) = processed.parse()
        {
            let accepted = Record::Backend {
                name: backend.to_owned(),
                refusal: None,
            };
            if !records.contains(&accepted) {
                records.push(accepted);
            }
            records.push(Record::Verified {
                backend: backend.to_owned(),
                program: program.to_owned(),
                instructions,
            });
        }
    }
    records
}

/// Without what is the same for every backend.
fn reason<'a>(error: &'a str, backend: &str) -> &'a str {
    let error = error.strip_prefix("no usable backend: ").unwrap_or(error);
    let error = error.strip_prefix(backend).unwrap_or(error);
    let error = error.strip_prefix(": ").unwrap_or(error);
    error.split(" (-vv ").next().unwrap_or(error)
}

pub fn document(outcomes: &[Outcome]) -> String {
    let seen: Vec<_> = (outcomes.iter())
        .filter(|outcome| !outcome.verified.is_empty())
        .collect();
    let mut text = format!(
        "Instructions that the verifier processes for each BPF program, as make test-kernels saw it.\n\
         A kernel refuses a program at 1000000; make test-kernels fails at more than {MOST_INSTRUCTIONS}.\n\
         \"-\": the kernel refuses the program or does not need it; docs/compatibility.md says what it lacks.\n\n"
    );
    for outcome in &seen {
        let release = outcome.release.as_deref().unwrap_or_default();
        let _ = writeln!(text, "{:<12}{release}", outcome.name());
    }
    let programs: BTreeSet<_> = seen
        .iter()
        .flat_map(|outcome| outcome.verified.keys())
        .collect();
    for backend in BACKENDS {
        let programs: Vec<_> = programs.iter().filter(|(of, _)| of == backend).collect();
        if programs.is_empty() {
            continue;
        }
        let _ = write!(text, "\n{:<26}", format!("backend {backend}"));
        for outcome in &seen {
            let _ = write!(text, "{:>12}", outcome.name());
        }
        text.push('\n');
        for key in programs {
            let _ = write!(text, "{:<26}", key.1);
            for outcome in &seen {
                let instructions = outcome.verified.get(*key);
                let cell = instructions.map_or("-".to_owned(), u64::to_string);
                let _ = write!(text, "{cell:>12}");
            }
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::KERNELS;

    const TEXT: &str = "\
Linux 6.1 on x86_64. A program is refused at 1000000 processed instructions.

auto: syscall: not sock: the kernel has no tracepoint

backend sock              instructions     processed
error: no usable backend: sock: the kernel has no tracepoint (-vv shows what the kernel said)

backend syscall           instructions     processed
http_exit_read                    2824         71997
";

    #[test]
    fn programs_belong_to_the_backend_above_them() {
        let backend = |name: &str, refusal: Option<&str>| Record::Backend {
            name: name.into(),
            refusal: refusal.map(str::to_owned),
        };
        let expected = [
            Record::Choice("syscall: not sock: the kernel has no tracepoint".into()),
            backend("sock", Some("the kernel has no tracepoint")),
            backend("syscall", None),
            Record::Verified {
                backend: "syscall".into(),
                program: "http_exit_read".into(),
                instructions: 71997,
            },
        ];
        assert_eq!(records(TEXT), expected);
    }

    #[test]
    fn a_column_is_a_kernel() {
        let mut outcomes = KERNELS.map(Outcome::of);
        for record in records(TEXT) {
            outcomes[1].absorb(record);
        }
        let of_sock = "backend sock\nhttp_sock_recv 2901 72810\n";
        for record in records(TEXT).into_iter().chain(records(of_sock)) {
            outcomes[2].absorb(record);
        }
        let text = document(&outcomes);
        let rows: Vec<Vec<_>> = (text.lines().rev().take(5))
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(rows[0], ["http_exit_read", "71997", "71997"]);
        assert_eq!(rows[1], ["backend", "syscall", "6.1", "6.12"]);
        assert_eq!(rows[3], ["http_sock_recv", "-", "72810"]);
    }
}
