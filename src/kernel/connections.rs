// SPDX-License-Identifier: Apache-2.0
//! How many connections have state: a program says it byte by byte, walking what there is of them. It is something that the agent
//! says of itself. So it may fail, and it may take its time: a thread of its own counts, and no harvest waits for it.
//!
//! That thread has the priority of any other. One that waits for an idle CPU in the middle of a walk would hold a file open, or have
//! all CPUs wait with what they free.

use std::io::{self, ErrorKind, Read};
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use libbpf_rs::skel::{OpenSkel, SkelBuilder};
use libbpf_rs::{Iter, Link};
use rustix::time::{ClockId, clock_gettime};

use crate::confine;
use crate::model::counters::ConnectionCount as Count;

skeleton!(skeleton, "connections");

/// From one count to the next, at least.
const INTERVAL: Duration = Duration::from_secs(10);
/// How many times longer than a walk has kept a CPU the thread rests before it does the same again: there may be very many files.
const REST: u32 = 100;

/// Bytes, and so files, of one read. In between what their owners have closed meanwhile is released.
const FILES: usize = 4 << 10;
/// Nothing is held back here, and to go on the kernel passes over what is done. What it can hold at once is twice that.
const STORAGES: usize = 16 << 10;

/// What a program says of a connection: `enum http_connection_kind`.
const HTTP2: u8 = 2;

/// Counts once.
pub type Walk = Box<dyn FnMut() -> io::Result<Count> + Send>;

/// Over the open files of all tasks, as the program of the link does it.
pub fn over_files(link: Link) -> Walk {
    walk(link, FILES)
}

/// Over this map of storages, if the kernel has iterators over maps.
pub fn over_storages(map: BorrowedFd<'_>) -> Result<Walk> {
    let mut object = MaybeUninit::uninit();
    let mut open = skeleton::ConnectionsSkelBuilder::default().open(&mut object)?;
    open.maps.http_connections.reuse_fd(map)?;
    let loaded = open.load()?;
    let link = loaded.progs.http_count_storages.attach_iter(map)?;
    Ok(walk(link, STORAGES))
}

fn walk(link: Link, length: usize) -> Walk {
    Box::new(move || sum(Iter::new(&link).map_err(io::Error::other)?, length))
}

/// All that are no zero.
fn sum(mut bytes: impl Read, length: usize) -> io::Result<Count> {
    let mut buffer = vec![0; length];
    let mut sum = Count::default();
    loop {
        match bytes.read(&mut buffer) {
            Ok(0) => return Ok(sum),
            Ok(length) => {
                let of = |wanted: fn(u8) -> bool| {
                    buffer[..length]
                        .iter()
                        .filter(|&&byte| wanted(byte))
                        .count() as u64
                };
                sum.all += of(|byte| byte != 0);
                sum.http2 += of(|byte| byte == HTTP2);
            }
            // The kernel takes a break after a million things without a byte.
            Err(error)
                if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => {}
            Err(error) => return Err(error),
        }
    }
}

/// The latest count, and the thread that makes the next one.
pub struct Connections {
    latest: Option<Count>,
    counting: Counting,
}

enum Counting {
    /// By the first walk until that succeeds, then by the last.
    Later(Vec<Walk>),
    Now {
        counts: Receiver<Option<Count>>,
        /// When it is dropped, the thread ends.
        _go_on: Sender<()>,
    },
    Never,
}

impl Connections {
    /// By the first of these walks, and once that was done by the last. Not before somebody asks.
    pub fn by(walks: Vec<Walk>) -> Self {
        Self {
            latest: None,
            counting: if walks.is_empty() {
                Counting::Never
            } else {
                Counting::Later(walks)
            },
        }
    }

    /// As of some seconds ago, if it is known: then the first walk has come to its end. The thread that counts has the rights of the one
    /// that asks first.
    pub fn count(&mut self) -> Option<Count> {
        if let Counting::Later(walks) = &mut self.counting {
            self.counting = start(std::mem::take(walks)).unwrap_or_else(|error| {
                log::warn!("connections are not counted: {error}");
                Counting::Never
            });
        }
        if let Counting::Now { counts, .. } = &self.counting
            && let Some(latest) = counts.try_iter().last()
        {
            self.latest = latest;
        }
        self.latest
    }
}

fn start(walks: Vec<Walk>) -> io::Result<Counting> {
    let (counted, counts) = mpsc::channel();
    let (go_on, stop) = mpsc::channel();
    thread::Builder::new()
        .name("connections".to_owned())
        .spawn(move || {
            if let Err(error) = confine::counting() {
                log::warn!("the thread that counts connections keeps all rights: {error}");
            }
            count_on(walks, &counted, &stop);
        })?;
    Ok(Counting::Now {
        counts,
        _go_on: go_on,
    })
}

fn count_on(mut walks: Vec<Walk>, counted: &Sender<Option<Count>>, stop: &Receiver<()>) {
    loop {
        let before = (walks.len(), busy());
        let count = count_once(&mut walks);
        let rest = if walks.len() == before.0 {
            INTERVAL.max(REST * busy().saturating_sub(before.1))
        } else {
            INTERVAL
        };
        if counted.send(count).is_err() || stop.recv_timeout(rest) != Err(RecvTimeoutError::Timeout)
        {
            return;
        }
    }
}

/// How long this thread has kept a CPU.
fn busy() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    // Neither is ever negative.
    Duration::new(
        time.tv_sec.unsigned_abs(),
        time.tv_nsec.unsigned_abs() as u32,
    )
}

/// By the first walk. What is left is how to count the next time.
fn count_once(walks: &mut Vec<Walk>) -> Option<Count> {
    let count = walks.first_mut()?().inspect_err(|error| {
        log::debug!("connections cannot be counted: {error}");
    });
    if count.is_ok() {
        walks.drain(..walks.len() - 1);
    }
    count.ok()
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// What the kernel answers to each read.
    struct Answers(VecDeque<Result<Vec<u8>, i32>>);

    impl Read for Answers {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let bytes = self.0.pop_front().unwrap_or(Ok(Vec::new()));
            let bytes = bytes.map_err(io::Error::from_raw_os_error)?;
            buffer[..bytes.len()].copy_from_slice(&bytes);
            Ok(bytes.len())
        }
    }

    fn sum_of<const N: usize>(answers: [Result<Vec<u8>, i32>; N]) -> Result<Count, i32> {
        sum(Answers(answers.into()), 8).map_err(|error| error.raw_os_error().unwrap())
    }

    #[test]
    fn a_walk_goes_on_to_the_end_whatever_breaks_there_are() {
        let again = || Err(libc::EAGAIN);
        let (some, more) = (Ok(vec![0, 1, 0, 2, 1]), Ok(vec![1, 2, 2, 1, 0, 0]));
        let answers = [again(), some, Err(libc::EINTR), again(), more, Ok(vec![])];
        assert_eq!(sum_of(answers), Ok(Count { all: 7, http2: 3 }));
        assert_eq!(sum_of([]), Ok(Count::default()));
        assert_eq!(
            sum_of([Ok(vec![1]), Err(libc::EIO), Ok(vec![1])]),
            Err(libc::EIO)
        );
    }

    /// A walk whose outcomes are these, and then the last one again and again.
    fn outcomes(mut outcomes: Vec<Result<u64, i32>>) -> Walk {
        Box::new(move || {
            let outcome = if outcomes.len() > 1 {
                outcomes.remove(0)
            } else {
                outcomes[0]
            };
            let all = outcome.map_err(io::Error::from_raw_os_error)?;
            Ok(Count { all, http2: 0 })
        })
    }

    #[test]
    fn the_first_walk_is_done_until_it_succeeds_and_never_again() {
        let first = outcomes(vec![Err(libc::EPERM), Ok(3), Ok(4)]);
        let then = outcomes(vec![Ok(5), Err(libc::EIO), Ok(6)]);
        let mut walks = vec![first, then];
        let counts: Vec<_> = (0..5)
            .map(|_| count_once(&mut walks).map(|it| it.all))
            .collect();
        assert_eq!(counts, [None, Some(3), Some(5), None, Some(6)]);
        // Where there is no other, it goes on.
        let mut walks = vec![outcomes(vec![Ok(1), Ok(2)])];
        assert_eq!(count_once(&mut walks).map(|it| it.all), Some(1));
        assert_eq!(count_once(&mut walks).map(|it| it.all), Some(2));
    }

    #[test]
    fn whoever_asks_waits_for_no_walk() {
        const SEVEN: Count = Count { all: 7, http2: 2 };
        let (go_on, held_up) = mpsc::channel::<()>();
        let slow: Walk = Box::new(move || {
            // Until that is dropped.
            let _ = held_up.recv();
            Ok(SEVEN)
        });
        let mut connections = Connections::by(vec![slow]);
        assert_eq!(connections.count(), None);
        assert_eq!(connections.count(), None);
        drop(go_on);
        while connections.count().is_none() {
            thread::yield_now();
        }
        assert_eq!(connections.count(), Some(SEVEN));
        assert_eq!(Connections::by(Vec::new()).count(), None);
    }
}
