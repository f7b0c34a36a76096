// SPDX-License-Identifier: Apache-2.0
//! How many connections have state: a program walks all open files of the host and says a byte for each connection. It is
//! something that the agent says of itself. So it may fail, and it may take its time, and neither must keep anybody from the
//! counters.

use std::io::{self, ErrorKind, Read};
use std::time::{Duration, Instant};

/// There may be very many files, so that they are not walked on every harvest.
const INTERVAL: Duration = Duration::from_secs(10);

/// The latest count, and the walk that makes the next one.
pub struct Connections<R> {
    /// `None` where it is not known.
    count: Option<u64>,
    begun: Option<Instant>,
    walk: Option<Walk<R>>,
}

/// A walk that is under way.
struct Walk<R> {
    files: R,
    counted: u64,
}

impl<R> Default for Connections<R> {
    fn default() -> Self {
        Self {
            count: None,
            begun: None,
            walk: None,
        }
    }
}

impl<R: Read> Connections<R> {
    /// As of some seconds ago at most, if it is known. `start` begins a walk, when it is time for the next.
    pub fn count(&mut self, now: Instant, start: impl FnOnce() -> io::Result<R>) -> Option<u64> {
        if let Err(error) = self.advance(now, start) {
            log::debug!("connections cannot be counted: {error}");
            self.count = None;
            self.walk = None;
        }
        self.count
    }

    fn advance(&mut self, now: Instant, start: impl FnOnce() -> io::Result<R>) -> io::Result<()> {
        let is_new = |begun| now.saturating_duration_since(begun) < INTERVAL;
        if self.walk.is_none() && !self.begun.is_some_and(is_new) {
            self.begun = Some(now);
            self.walk = Some(Walk {
                files: start()?,
                counted: 0,
            });
        }
        if let Some(walk) = &mut self.walk
            && walk.stretch()?
        {
            self.count = Some(walk.counted);
            self.walk = None;
        }
        Ok(())
    }
}

impl<R: Read> Walk<R> {
    /// Goes on, and says whether that was to the end. After a million files without a connection the kernel takes a break, and
    /// so does the walk, until the next harvest.
    fn stretch(&mut self) -> io::Result<bool> {
        let mut bytes = [0; 4096];
        loop {
            match self.files.read(&mut bytes) {
                Ok(0) => return Ok(true),
                Ok(length) => self.counted += length as u64,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// What the kernel answers to each read.
    struct Answers(VecDeque<io::Result<usize>>);

    impl Read for Answers {
        fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
            let answer = self.0.pop_front().unwrap_or(Ok(0));
            answer.inspect(|length| assert!(*length <= bytes.len()))
        }
    }

    fn answers<const N: usize>(answers: [Result<usize, i32>; N]) -> io::Result<Answers> {
        let answers = answers.map(|it| it.map_err(io::Error::from_raw_os_error));
        Ok(Answers(answers.into()))
    }

    fn never() -> io::Result<Answers> {
        panic!("it is not time for the next walk")
    }

    const AGAIN: Result<usize, i32> = Err(libc::EAGAIN);

    #[test]
    fn a_walk_takes_breaks_and_goes_on_to_the_end() {
        let mut connections = Connections::default();
        let start = Instant::now();
        let walk = [AGAIN, AGAIN, Ok(3), Err(libc::EINTR), AGAIN, Ok(4), Ok(0)];
        assert_eq!(connections.count(start, || answers(walk)), None);
        assert_eq!(connections.count(start, never), None);
        assert_eq!(connections.count(start, never), None);
        assert_eq!(connections.count(start, never), Some(7));

        // The next one takes a break, too, and until it is done the last one counts.
        let almost = start + INTERVAL - Duration::from_millis(1);
        assert_eq!(connections.count(almost, never), Some(7));
        let later = start + INTERVAL;
        let walk = || answers([AGAIN, Ok(5)]);
        assert_eq!(connections.count(later, walk), Some(7));
        assert_eq!(connections.count(later, never), Some(5));
    }

    #[test]
    fn where_it_fails_the_number_is_unknown_until_the_next_walk() {
        let mut connections = Connections::default();
        let start = Instant::now();
        assert_eq!(connections.count(start, || answers([Ok(2)])), Some(2));
        let next = |times: u32| start + times * INTERVAL;
        let broken = [Ok(3), Err(libc::EIO), Ok(4)];
        assert_eq!(connections.count(next(1), || answers(broken)), None);
        assert_eq!(connections.count(next(1), never), None);
        assert_eq!(connections.count(next(2), || answers([Ok(9)])), Some(9));
        let refused = || Err(io::Error::from_raw_os_error(libc::EPERM));
        assert_eq!(connections.count(next(3), refused), None);
        assert_eq!(connections.count(next(3), never), None);
        assert_eq!(connections.count(next(4), || answers([])), Some(0));
    }
}
