// SPDX-License-Identifier: Apache-2.0
//! The worker's side: a conversation in which one system call moves all, and a thread that waits for its CPU meanwhile.

use std::net::TcpStream;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use rustix::net::{RecvFlags, SendFlags, recv, send};
use scope_http_statistics::kernel::real_time::RealTimePriority;
use serde::{Deserialize, Serialize};

use crate::connection::Connection;
use crate::cores::{Cores, pin};
use crate::messages;
use crate::stall::input::{Case, Direction};

/// How often somebody wants the CPU: so much less than it had to wait may be seen.
const PERIOD: Duration = Duration::from_micros(20);

pub struct Conversation {
    connection: Connection<TcpStream>,
    direction: Direction,
    bytes: Vec<u8>,
}

/// How long a call took, or how long another thread had to wait for the CPU during it.
#[derive(Serialize, Deserialize)]
pub struct Called(pub Duration);

impl Conversation {
    pub fn prepare(case: Case) -> Result<Self> {
        let mut connection = Connection::open()?.with_room_for(case.size)?;
        connection.round_trip(&messages::small())?;
        for request in case.requests() {
            connection.ask(&request)?;
        }
        let bytes = case.bytes();
        if case.direction == Direction::Requests {
            let sent = send(&connection.client, &bytes, SendFlags::empty())?;
            ensure!(sent == bytes.len(), "the client sent {sent} bytes at once");
        }
        Ok(Self {
            connection,
            direction: case.direction,
            bytes,
        })
    }

    pub fn call(mut self, watched: bool, cores: Cores) -> Result<Called> {
        if watched {
            return wait_during(cores.here, || self.transfer());
        }
        let start = Instant::now();
        self.transfer()?;
        Ok(Called(start.elapsed()))
    }

    /// One system call.
    fn transfer(&mut self) -> Result<()> {
        let server = &self.connection.server;
        let moved = match self.direction {
            Direction::Requests => recv(server, &mut self.bytes[..], RecvFlags::WAITALL)?.0,
            Direction::Responses => send(server, &self.bytes, SendFlags::empty())?,
        };
        ensure!(moved == self.bytes.len(), "one call moved {moved} bytes");
        Ok(())
    }
}

/// The longest that a real-time thread waits for this CPU during a call.
fn wait_during(cpu: usize, call: impl FnOnce() -> Result<()>) -> Result<Called> {
    let (longest, over, ready) = (AtomicU64::new(0), AtomicBool::new(false), Barrier::new(2));
    let watch = || -> Result<()> {
        let prepared = pin(cpu).and_then(|()| Ok(RealTimePriority::take()?));
        ready.wait();
        let _priority = prepared.context("no real-time priority")?;
        while !over.load(Ordering::Relaxed) {
            let start = Instant::now();
            thread::sleep(PERIOD);
            let late = start.elapsed().saturating_sub(PERIOD);
            longest.fetch_max(u64::try_from(late.as_nanos())?, Ordering::Relaxed);
        }
        Ok(())
    };
    thread::scope(|scope| {
        let watching = scope.spawn(watch);
        ready.wait();
        // It has the CPU first, and sleeps when this thread goes on.
        thread::sleep(10 * PERIOD);
        longest.store(0, Ordering::Relaxed);
        let called = call();
        let waited = longest.load(Ordering::Relaxed);
        over.store(true, Ordering::Relaxed);
        watching
            .join()
            .map_err(|_| anyhow!("the watching thread panicked"))??;
        called?;
        Ok(Called(Duration::from_nanos(waited)))
    })
}
