// SPDX-License-Identifier: Apache-2.0
//! How a process was started. It is read only when somebody asks, and nothing is kept: it may have secrets in it.

use std::fs::File;
use std::io::{self, Read};

use serde::Serialize;

use crate::identity::life::Lives;
use crate::model::counters::ProcessId;

/// What people read.
const BYTES: u64 = 4096;

#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct CommandLine {
    pub arguments: Vec<String>,
    /// Whether there is more of it.
    pub is_cut: bool,
}

impl CommandLine {
    /// `None` where the process is gone, or `/proc` hides what others own.
    pub fn of(id: ProcessId, lives: &Lives) -> Option<Self> {
        let text = read(id.pid).ok()?;
        // If it lives now it had this pid then, too.
        (!lives.is_gone(id)).then(|| Self::parse(text))
    }

    fn parse(mut text: Vec<u8>) -> Self {
        let is_cut = text.len() as u64 > BYTES;
        text.truncate(BYTES as usize);
        let text = text.strip_suffix(b"\0").unwrap_or(&text);
        let arguments = text.split(|byte| *byte == 0);
        // Of who is just executing something there is nothing yet.
        let arguments = arguments.filter(|_| !text.is_empty());
        Self {
            arguments: arguments
                .map(|it| String::from_utf8_lossy(it).into_owned())
                .collect(),
            is_cut,
        }
    }
}

fn read(pid: u32) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let file = File::open(format!("/proc/{pid}/cmdline"))?;
    file.take(BYTES + 1).read_to_end(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &[u8]) -> (Vec<String>, bool) {
        let CommandLine { arguments, is_cut } = CommandLine::parse(text.to_vec());
        (arguments, is_cut)
    }

    #[test]
    fn arguments_are_told_apart_and_bounded() {
        let words = |words: &[&str]| words.iter().map(|it| (*it).to_owned()).collect();
        assert_eq!(parsed(b"a b\0\0c\0"), (words(&["a b", "", "c"]), false));
        // A process may write there what it likes.
        assert_eq!(
            parsed(b"nginx: worker process"),
            (words(&["nginx: worker process"]), false)
        );
        assert_eq!(parsed(b""), (Vec::new(), false));
        assert_eq!(parsed(b"\xff\0"), (words(&["\u{fffd}"]), false));
        let (arguments, is_cut) = parsed(&[b'a'; 5000]);
        assert_eq!((arguments[0].len(), is_cut), (4096, true));
    }

    #[test]
    fn another_process_with_the_same_pid_is_not_taken_for_it() {
        let lives = Lives::assumed();
        let mut child = std::process::Command::new("sleep")
            .args(["61", "0"])
            .spawn()
            .unwrap();
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
        let (_, fields) = stat.rsplit_once(')').unwrap();
        let ticks: u64 = fields.split_whitespace().nth(19).unwrap().parse().unwrap();
        let id = ProcessId {
            pid: child.id(),
            start_time: ticks * 1_000_000_000 / rustix::param::clock_ticks_per_second(),
        };
        let mut arguments = Vec::new();
        while arguments.is_empty() {
            arguments = CommandLine::of(id, &lives).unwrap().arguments;
        }
        assert_eq!(arguments, ["sleep", "61", "0"]);
        let earlier = ProcessId {
            start_time: id.start_time - 50_000_000,
            ..id
        };
        assert_eq!(CommandLine::of(earlier, &lives), None);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(CommandLine::of(id, &lives), None);
    }
}
