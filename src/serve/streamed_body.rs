// SPDX-License-Identifier: Apache-2.0
//! A long text as a body: written in a thread of its own, and only as fast as the client takes it.
//!
//! So neither its length nor a slow client costs memory, and other clients do not wait for it.

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use http_body_util::channel::{Channel, Sender};
use hyper::body::{Bytes, Frame};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use crate::serve::server::Body;

/// Bytes of a part.
const PART: usize = 128 * 1024;
/// Parts on their way, so that writing and sending go on at the same time.
const AHEAD: usize = 2;
/// For the whole text. A client that takes longer gets no more of it.
const LIMIT: Duration = Duration::from_secs(30);

/// Makes bodies of which only so many are written at the same time.
#[derive(Clone)]
pub struct StreamedBodies(Arc<Semaphore>);

impl StreamedBodies {
    pub fn new(count: usize) -> Self {
        Self(Arc::new(Semaphore::new(count)))
    }

    /// The body that `write` will write, when it is its turn.
    pub fn body<F>(&self, write: F) -> Body
    where
        F: FnOnce(&mut BodyWriter) -> io::Result<()> + Send + 'static,
    {
        let (sender, body) = Channel::new(AHEAD);
        let slots = Arc::clone(&self.0);
        tokio::spawn(async move {
            let deadline = Instant::now() + LIMIT;
            let Ok(Ok(slot)) = timeout_at(deadline, Arc::clone(&slots).acquire_owned()).await
            else {
                return sender.abort(ErrorKind::TimedOut.into());
            };
            let mut out = BodyWriter::new(sender, deadline, slots, slot);
            let writing = tokio::task::spawn_blocking(move || {
                let written = write(&mut out).and_then(|()| out.flush());
                if written.is_err() {
                    // What the client has of it must not look complete.
                    out.sender.abort(ErrorKind::TimedOut.into());
                }
            });
            if let Err(error) = writing.await {
                log::error!("a text was left: {error}");
            }
        });
        body.boxed_unsync()
    }
}

/// Collects what is written and sends it part by part. While it waits for the client, it is somebody else's turn.
pub struct BodyWriter {
    buffer: Vec<u8>,
    sender: Sender<Bytes, io::Error>,
    deadline: Instant,
    runtime: Handle,
    slots: Arc<Semaphore>,
    slot: Option<OwnedSemaphorePermit>,
}

impl BodyWriter {
    fn new(
        sender: Sender<Bytes, io::Error>,
        deadline: Instant,
        slots: Arc<Semaphore>,
        slot: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            buffer: Vec::with_capacity(PART),
            sender,
            deadline,
            runtime: Handle::current(),
            slots,
            slot: Some(slot),
        }
    }

    fn send(&mut self) -> io::Result<()> {
        let full = std::mem::replace(&mut self.buffer, Vec::with_capacity(PART));
        let Err(full) = self.sender.try_send(Frame::data(full.into())) else {
            return Ok(());
        };
        self.slot = None;
        let slots = Arc::clone(&self.slots);
        let turn = async {
            self.sender.send(full).await.ok()?;
            slots.acquire_owned().await.ok()
        };
        let turn = self.runtime.block_on(timeout_at(self.deadline, turn));
        self.slot = turn.ok().flatten();
        if self.slot.is_some() {
            Ok(())
        } else {
            Err(ErrorKind::TimedOut.into())
        }
    }
}

impl Write for BodyWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.len() + bytes.len() > PART && !self.buffer.is_empty() {
            self.send()?;
        }
        self.buffer.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send()
    }
}

impl fmt::Write for BodyWriter {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.write_all(text.as_bytes()).map_err(|_| fmt::Error)
    }
}
