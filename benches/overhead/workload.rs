// SPDX-License-Identifier: Apache-2.0
//! What is timed: short blocks of equal work, so that a block without any disturbance turns up soon.

use std::fs::File;
use std::io::Read;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::calls::{Caller, Calls};
use crate::connection::{Connection, Stream};
use crate::cores::{Cores, pin};
use crate::messages::{self, Exchange};
use crate::strangers::talk::{BULK, Socket, Talk};

/// Round trips in a block: about a millisecond, and a multiple of the mix.
const ROUND_TRIPS: usize = 250;
/// Of pieces of bulk.
const PIECES: usize = 16;
/// Plain system calls in a block.
const CALLS: usize = 2000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
pub enum Kind {
    /// Loopback round trips with an 80-byte request
    #[value(name = "80")]
    Small,
    /// Loopback round trips with a 535-byte request
    #[value(name = "535")]
    Large,
    /// Loopback round trips with 25 exchanges in random order
    Mix,
    /// Two threads of one process on two cores, each with round trips of its own
    Threads,
    /// A system call that does nothing
    Getppid,
    /// Reads of 64 bytes from /dev/zero
    Read,
    /// They have a table of their own.
    #[value(skip)]
    Stranger(Talk, Socket),
    /// So have these.
    #[value(skip)]
    Call(Caller),
}

impl Kind {
    pub fn label(self) -> &'static str {
        match self {
            Self::Small => "round trip, 80 bytes",
            Self::Large => "round trip, 535 bytes",
            Self::Mix => "round trip, mix of 25",
            Self::Threads => "round trip, two threads",
            Self::Getppid => "getppid",
            Self::Read => "read of /dev/zero",
            Self::Stranger(talk, _) => talk.label(),
            Self::Call(caller) => caller.label(),
        }
    }

    /// Whether it is set up before anybody watches.
    pub fn is_old(self) -> bool {
        matches!(self, Self::Stranger(_, Socket::OldTcp))
    }

    /// Sets the work up anew: state that an earlier program left at a socket would slow the next one down.
    pub fn prepare(self, cores: Cores) -> Result<Workload> {
        match self {
            Self::Small => requests(vec![messages::small()]),
            Self::Large => requests(vec![messages::large()]),
            Self::Mix => requests(messages::mix()),
            Self::Threads => two_threads(cores),
            Self::Getppid => Ok(getppid()),
            Self::Read => read_zero(),
            Self::Stranger(talk, Socket::Tcp | Socket::OldTcp) => strangers::<TcpStream>(talk),
            Self::Stranger(talk, Socket::Unix) => strangers::<UnixStream>(talk),
            Self::Call(caller) => calls(caller),
        }
    }
}

pub struct Workload {
    operations: usize,
    /// HTTP requests in a block, on all connections together.
    requests: usize,
    /// And those before the first block.
    prepared: usize,
    block: Box<dyn FnMut() -> Result<Duration>>,
}

#[derive(Serialize, Deserialize)]
pub struct Measured {
    /// The fastest block, in nanoseconds for each operation.
    pub floor: f64,
    /// All requests that were sent.
    pub requests: usize,
}

impl Workload {
    pub fn measure(&mut self, budget: Duration) -> Result<Measured> {
        let start = Instant::now();
        let mut fastest = Duration::MAX;
        let mut requests = std::mem::take(&mut self.prepared);
        while start.elapsed() < budget {
            fastest = fastest.min((self.block)()?);
            requests += self.requests;
        }
        Ok(Measured {
            floor: fastest.as_nanos() as f64 / self.operations as f64,
            requests,
        })
    }
}

fn requests(exchanges: Vec<Exchange>) -> Result<Workload> {
    let connection = Connection::<TcpStream>::open()?;
    let mut workload = round_trips(connection, exchanges, ROUND_TRIPS);
    workload.requests = ROUND_TRIPS;
    Ok(workload)
}

fn calls(caller: Caller) -> Result<Workload> {
    let mut connection = Connection::<TcpStream>::open()?;
    let mut calls = Calls::of(caller)?;
    connection.round_trip(&calls.greeting)?;
    let block = move || {
        let start = Instant::now();
        for _ in 0..ROUND_TRIPS {
            connection.round_trip(calls.next())?;
        }
        Ok(start.elapsed())
    };
    Ok(Workload {
        operations: ROUND_TRIPS,
        requests: ROUND_TRIPS,
        prepared: 1,
        block: Box::new(block),
    })
}

fn strangers<S: Stream + 'static>(talk: Talk) -> Result<Workload> {
    let mut connection = Connection::<S>::open()?.with_room_for(BULK)?;
    let exchanges = talk.exchanges();
    for exchange in talk.greeting().iter().chain(&exchanges) {
        connection.round_trip(exchange)?;
    }
    let count = if talk.is_bulk() { PIECES } else { ROUND_TRIPS };
    Ok(round_trips(connection, exchanges, count))
}

fn round_trips<S: Stream + 'static>(
    mut connection: Connection<S>,
    exchanges: Vec<Exchange>,
    count: usize,
) -> Workload {
    let mut order: Vec<usize> = (0..count).map(|i| i % exchanges.len()).collect();
    let mut random = fastrand::Rng::with_seed(1);
    let block = move || {
        // Each block has the same exchanges, in an order of its own.
        random.shuffle(&mut order);
        let start = Instant::now();
        for &i in &order {
            connection.round_trip(&exchanges[i])?;
        }
        Ok(start.elapsed())
    };
    Workload {
        operations: count,
        requests: 0,
        prepared: 0,
        block: Box::new(block),
    }
}

/// The slower of the two threads counts, so that a block in which one of them had to wait is no floor.
fn two_threads(cores: Cores) -> Result<Workload> {
    let mut connections = [
        Connection::<TcpStream>::open()?,
        Connection::<TcpStream>::open()?,
    ];
    let exchange = messages::small();
    let block = move || {
        let ready = AtomicUsize::new(0);
        let run = |cpu: usize, connection: &mut Connection<TcpStream>| -> Result<Duration> {
            let pinned = pin(cpu);
            ready.fetch_add(1, Ordering::SeqCst);
            while ready.load(Ordering::SeqCst) < 2 {
                std::hint::spin_loop();
            }
            pinned?;
            let start = Instant::now();
            for _ in 0..ROUND_TRIPS {
                connection.round_trip(&exchange)?;
            }
            Ok(start.elapsed())
        };
        let [first, second] = &mut connections;
        thread::scope(|scope| {
            let other = scope.spawn(|| run(cores.there, first));
            let own = run(cores.here, second)?;
            let other = other
                .join()
                .map_err(|_| anyhow::anyhow!("a thread panicked"))??;
            Ok(own.max(other))
        })
    };
    Ok(Workload {
        operations: ROUND_TRIPS,
        requests: 2 * ROUND_TRIPS,
        prepared: 0,
        block: Box::new(block),
    })
}

fn getppid() -> Workload {
    let block = || {
        let start = Instant::now();
        for _ in 0..CALLS {
            std::hint::black_box(std::os::unix::process::parent_id());
        }
        Ok(start.elapsed())
    };
    Workload {
        operations: CALLS,
        requests: 0,
        prepared: 0,
        block: Box::new(block),
    }
}

fn read_zero() -> Result<Workload> {
    let mut zero = File::open("/dev/zero").context("cannot open /dev/zero")?;
    let mut buffer = [0; 64];
    let block = move || {
        let start = Instant::now();
        for _ in 0..CALLS {
            zero.read_exact(&mut buffer)?;
        }
        Ok(start.elapsed())
    };
    Ok(Workload {
        operations: CALLS,
        requests: 0,
        prepared: 0,
        block: Box::new(block),
    })
}
