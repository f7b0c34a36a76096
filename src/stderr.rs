// SPDX-License-Identifier: Apache-2.0
//! Where log lines go. Whoever should read them may have stopped, while a pipe or a terminal takes no more: then lines are dropped, so
//! that nothing waits for a reader that counts or serves.

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// What a pipe that takes anything takes at once (`PIPE_BUF`).
const AT_ONCE: usize = 4096;

/// A writer for whole lines, which never waits. Only another process that fills the same pipe in the very same moment could keep it.
#[derive(Debug)]
pub struct Unhurried<T, G> {
    to: T,
    /// What is said of so many lines that were dropped.
    gap: G,
    dropped: u64,
}

/// Stderr.
pub fn unhurried<G: Fn(u64) -> String>(gap: G) -> Unhurried<io::Stderr, G> {
    Unhurried::new(io::stderr(), gap)
}

impl<T: Write + AsFd, G> Unhurried<T, G> {
    fn new(to: T, gap: G) -> Self {
        Self {
            to,
            gap,
            dropped: 0,
        }
    }

    /// Whether all of it was taken.
    fn put(&mut self, bytes: &[u8]) -> io::Result<bool> {
        for piece in bytes.chunks(AT_ONCE) {
            if !takes_more(self.to.as_fd()) {
                return Ok(false);
            }
            self.to.write_all(piece)?;
        }
        Ok(true)
    }
}

impl<T: Write + AsFd, G: Fn(u64) -> String> Write for Unhurried<T, G> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let told = self.dropped > 0 && {
            let gap = (self.gap)(self.dropped) + "\n";
            self.put(gap.as_bytes())?
        };
        if told {
            self.dropped = 0;
        }
        if self.dropped > 0 || !self.put(line)? {
            self.dropped += 1;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn takes_more(file: BorrowedFd<'_>) -> bool {
    let mut polled = [PollFd::from_borrowed_fd(file, PollFlags::OUT)];
    let no_time = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // What fails at once does not wait either.
    poll(&mut polled, Some(&no_time)) != Ok(0)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn what_nobody_takes_is_dropped_and_that_is_said() {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut log = Unhurried::new(writer, |dropped| format!("{dropped} lines"));
        let line = [&[b'x'; 99][..], b"\n"].concat();
        // More than any pipe holds by default.
        for _ in 0..10_000 {
            log.write_all(&line).unwrap();
        }
        let dropped = log.dropped;
        assert!(dropped > 0);
        let held = (10_000 - dropped as usize) * line.len();
        let mut taken = vec![0; held];
        reader.read_exact(&mut taken).unwrap();
        assert_eq!(taken, line.repeat(10_000 - dropped as usize));
        log.write_all(b"last\n").unwrap();
        drop(log);
        let mut rest = String::new();
        reader.read_to_string(&mut rest).unwrap();
        let gap = format!("{dropped} lines\n");
        assert_eq!(rest, gap + "last\n");
    }

    #[test]
    fn a_long_line_is_whole_and_one_that_nobody_can_read_is_an_error() {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut log = Unhurried::new(writer, |_| String::new());
        let line = [&[b'y'; 3 * AT_ONCE][..], b"\n"].concat();
        log.write_all(&line).unwrap();
        let mut taken = vec![0; line.len()];
        reader.read_exact(&mut taken).unwrap();
        assert_eq!(taken, line);
        drop(reader);
        assert!(log.write_all(&line).is_err());
    }
}
