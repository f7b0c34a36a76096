// SPDX-License-Identifier: Apache-2.0
//! Asks the running agent, and lets other things go on until it answers.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::page::view::View;
use crate::terminal::client;

/// The running agent.
pub struct Agent<'a> {
    runtime: &'a Runtime,
    socket: &'a Path,
    asked: Option<JoinHandle<Result<View>>>,
}

impl<'a> Agent<'a> {
    pub fn new(runtime: &'a Runtime, socket: &'a Path) -> Self {
        Self {
            runtime,
            socket,
            asked: None,
        }
    }

    pub fn ask(&mut self) {
        let socket = self.socket.to_owned();
        let view = async move { client::view(&socket).await };
        self.asked = Some(self.runtime.spawn(view));
    }

    pub fn is_asked(&self) -> bool {
        self.asked.is_some()
    }

    /// What the agent says to what it was asked last. The runtime has no thread of its own: it gets on only here.
    pub fn answer_within(&mut self, limit: Duration) -> Option<Result<View>> {
        let asked = self.asked.as_mut()?;
        let answer = self.runtime.block_on(async { timeout(limit, asked).await });
        let answer = answer.ok()?;
        self.asked = None;
        Some(answer.unwrap_or_else(|error| Err(error.into())))
    }
}
