// SPDX-License-Identifier: Apache-2.0
//! Asks an agent, and lets other things go on until it answers.

use std::time::Duration;

use anyhow::Result;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::api::document::Document;
use crate::terminal::address::Address;
use crate::terminal::client;
use crate::terminal::own::Own;

/// Who is asked.
pub enum Source {
    Running(Address),
    Own(Own),
}

/// What is known now.
#[derive(Default)]
pub struct Answer {
    pub document: Document,
    /// With the first one, where the agent has kept them: rates of the last minute, by process.
    pub last_minute: Vec<(String, Vec<f64>)>,
}

pub struct Agent<'a> {
    runtime: &'a Runtime,
    source: Source,
    asked: Option<JoinHandle<Result<Answer>>>,
    has_answered: bool,
}

impl<'a> Agent<'a> {
    pub fn new(runtime: &'a Runtime, source: Source) -> Self {
        Self {
            runtime,
            source,
            asked: None,
            has_answered: false,
        }
    }

    /// For the busiest, or for `all`.
    pub fn ask(&mut self, all: bool) {
        let answer = match &self.source {
            Source::Running(address) => {
                let (address, is_first) = (address.clone(), !self.has_answered);
                self.runtime.spawn(async move {
                    Ok(Answer {
                        document: client::document(&address, all).await?,
                        last_minute: last_minute(&address, is_first).await,
                    })
                })
            }
            Source::Own(own) => {
                let answer = own.document(all).map(|document| Answer {
                    document,
                    last_minute: Vec::new(),
                });
                self.runtime.spawn(async { answer })
            }
        };
        self.asked = Some(answer);
    }

    pub fn is_asked(&self) -> bool {
        self.asked.is_some()
    }

    /// What the agent says to what it was asked last. The runtime has no thread of its own: it gets on only here.
    pub fn answer_within(&mut self, limit: Duration) -> Option<Result<Answer>> {
        let asked = self.asked.as_mut()?;
        let answer = self.runtime.block_on(async { timeout(limit, asked).await });
        let answer = answer.ok()?;
        self.asked = None;
        let answer = answer.unwrap_or_else(|error| Err(error.into()));
        self.has_answered |= answer.is_ok();
        Some(answer)
    }
}

async fn last_minute(address: &Address, is_first: bool) -> Vec<(String, Vec<f64>)> {
    let Address::Socket(socket) = address else {
        return Vec::new();
    };
    if !is_first {
        return Vec::new();
    }
    // Without them the graphs begin now.
    let view = client::view(socket).await;
    let processes = view.map_or_else(|_| Vec::new(), |view| view.processes);
    let rates = processes.into_iter().map(|process| {
        let id = format!("{}.{}", process.pid, process.start_time);
        (id, process.points.iter().map(|it| it.requests).collect())
    });
    rates.collect()
}
