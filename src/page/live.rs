// SPDX-License-Identifier: Apache-2.0
//! The [`History`] for all who look at it, as server-sent events each second or as JSON when asked.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use http_body_util::BodyExt;
use http_body_util::channel::{Channel, Sender};
use hyper::body::Bytes;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::spawn_blocking;

use crate::model::snapshot::Snapshot;
use crate::page::history::History;
use crate::sampler::EverySnapshot;
use crate::serve::server::Body;

/// Events that a slow client may be behind before it gets a whole view instead.
const BEHIND: usize = 4;

pub struct Live {
    history: Arc<Mutex<History>>,
    /// With the number of the tick that each is of.
    news: broadcast::Sender<(u64, Bytes)>,
    /// Made once a tick for all who see it for the first time.
    whole: tokio::sync::Mutex<Option<(u64, Bytes)>>,
}

impl Live {
    /// Follows the snapshots in a task of its own. Texts are made in other threads than the one that serves.
    pub fn follow(host: String, first: Arc<Snapshot>, mut every: EverySnapshot) -> Arc<Self> {
        let live = Arc::new(Self {
            history: Arc::new(Mutex::new(History::new(host, first))),
            news: broadcast::channel(BEHIND).0,
            whole: tokio::sync::Mutex::default(),
        });
        let follower = Arc::clone(&live);
        tokio::spawn(async move {
            while let Some(snapshot) = every.recv().await {
                let history = Arc::clone(&follower.history);
                let news = follower.news.clone();
                let pushing = spawn_blocking(move || {
                    let mut history = lock(&history);
                    history.push(snapshot);
                    // Whoever comes after this sees this second in a whole view.
                    let is_told = news.receiver_count() > 0;
                    let text = is_told.then(|| json(&mut history, false));
                    text.transpose().map(|text| (history.ticks(), text))
                });
                match pushing.await {
                    // Whoever has left meanwhile does not matter.
                    Ok(Ok((tick, Some(text)))) => _ = follower.news.send((tick, event(&text))),
                    Ok(Ok((_, None))) => {}
                    Ok(Err(error)) => log::warn!("{error:#}"),
                    Err(error) => log::error!("a second was left: {error}"),
                }
            }
        });
        live
    }

    /// Everything there is to see now, and the number of the tick that it is of.
    async fn whole(&self) -> Result<(u64, Bytes)> {
        let mut latest = self.whole.lock().await;
        let history = Arc::clone(&self.history);
        let known = latest.as_ref().map(|(tick, _)| *tick);
        let making = spawn_blocking(move || {
            let mut history = lock(&history);
            let tick = history.ticks();
            if known == Some(tick) {
                return Ok(None);
            }
            json(&mut history, true).map(|text| Some((tick, Bytes::from(text))))
        });
        match making.await.context("a view was left")?? {
            Some(new) => Ok(latest.insert(new).clone()),
            None => latest.clone().context("there is no view"),
        }
    }

    /// Everything there is to see now, as JSON.
    pub async fn json(&self) -> Result<Bytes> {
        Ok(self.whole().await?.1)
    }

    /// An endless body of events.
    pub fn events(self: &Arc<Self>) -> Body {
        let (sender, body) = Channel::new(1);
        tokio::spawn(Arc::clone(self).stream(sender));
        body.boxed_unsync()
    }

    /// Ends when the client has gone.
    async fn stream(self: Arc<Self>, mut sender: Sender<Bytes, io::Error>) {
        let mut news = self.news.subscribe();
        let mut next = self.whole_event().await;
        let mut seen = 0;
        while let Ok((tick, text)) = next {
            // What was on its way is part of a whole view already.
            if tick > seen || seen == 0 {
                if sender.send_data(text).await.is_err() {
                    return;
                }
                seen = tick;
            }
            next = match news.recv().await {
                Ok(event) => Ok(event),
                Err(RecvError::Lagged(_)) => {
                    seen = 0;
                    self.whole_event().await
                }
                Err(RecvError::Closed) => return,
            };
        }
    }

    async fn whole_event(&self) -> Result<(u64, Bytes)> {
        let (tick, text) = self.whole().await?;
        Ok((tick, event(&text)))
    }
}

/// Held where texts are made, never by the thread that serves.
fn lock(history: &Mutex<History>) -> MutexGuard<'_, History> {
    history.lock().unwrap_or_else(PoisonError::into_inner)
}

fn json(history: &mut History, whole: bool) -> Result<Vec<u8>> {
    serde_json::to_vec(&history.view(whole)).context("cannot write a view")
}

fn event(json: &[u8]) -> Bytes {
    [b"data: ", json, b"\n\n"].concat().into()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant, SystemTime};

    use tokio::sync::mpsc;

    use crate::model::counters::KernelState;
    use crate::model::increment::Increment;
    use crate::model::reason::Missed;
    use crate::model::snapshot::{AgentState, ProcessSnapshot};

    use super::*;

    /// One process has received so many requests.
    fn snapshot(requests: u64) -> Arc<Snapshot> {
        let increment = Increment {
            requests,
            series: Vec::new(),
            ..Increment::default()
        };
        let process = ProcessSnapshot {
            increment,
            ..ProcessSnapshot::default()
        };
        Arc::new(Snapshot {
            date: SystemTime::now(),
            taken: Instant::now(),
            elapsed: Duration::from_secs(1),
            dates: Vec::new(),
            processes: [Arc::new(process)].into(),
            workloads: Vec::new(),
            missed: Missed::default(),
            kernel: KernelState::default(),
            agent: AgentState::default(),
        })
    }

    #[tokio::test]
    async fn no_second_is_lost_to_one_who_was_busy() {
        let (each, every) = mpsc::channel(3);
        let live = Live::follow("host".to_owned(), snapshot(0), every);
        for requests in [3, 5, 7] {
            each.send(snapshot(requests)).await.unwrap();
        }
        drop(each);
        while lock(&live.history).ticks() < 3 {
            tokio::task::yield_now().await;
        }
        let view = lock(&live.history).view(true);
        let points = view.processes[0].points.iter().map(|it| it.requests);
        assert_eq!(points.collect::<Vec<_>>(), [3.0, 5.0, 7.0]);
    }
}
