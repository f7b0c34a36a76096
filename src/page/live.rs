// SPDX-License-Identifier: Apache-2.0
//! The [`History`] for all who look at it, as server-sent events each second or as JSON when asked.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use http_body_util::BodyExt;
use http_body_util::channel::{Channel, Sender};
use hyper::body::Bytes;
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::spawn_blocking;

use crate::identity::command_line::CommandLine;
use crate::identity::life::Lives;
use crate::model::snapshot::Snapshot;
use crate::page::grouping::By;
use crate::page::history::History;
use crate::sampler::EverySnapshot;
use crate::serve::server::Body;

/// Events that a slow client may be behind before it gets a whole view instead.
const BEHIND: usize = 4;
/// Command lines that are read at the same time.
const READERS: usize = 4;

/// Those who look at rows of one kind.
struct Viewers {
    by: By,
    /// With the number of the tick that each is of.
    news: broadcast::Sender<(u64, Bytes)>,
    /// Made once a tick for all who see it for the first time.
    whole: Latest,
}

/// Of a tick.
type Latest = tokio::sync::Mutex<Option<(u64, Bytes)>>;

pub struct Live {
    history: Arc<Mutex<History>>,
    viewers: [Viewers; By::ALL.len()],
    view: Latest,
    /// Who may read command lines.
    reading: Arc<Semaphore>,
}

impl Live {
    /// Follows the snapshots in a task of its own. Texts are made in other threads than the one that serves.
    pub fn follow(host: String, first: Arc<Snapshot>, mut every: EverySnapshot) -> Arc<Self> {
        let live = Arc::new(Self {
            history: Arc::new(Mutex::new(History::new(host, first))),
            viewers: By::ALL.map(|by| Viewers {
                by,
                news: broadcast::channel(BEHIND).0,
                whole: Latest::default(),
            }),
            view: Latest::default(),
            reading: Arc::new(Semaphore::new(READERS)),
        });
        let follower = Arc::clone(&live);
        tokio::spawn(async move {
            while let Some(snapshot) = every.recv().await {
                let live = Arc::clone(&follower);
                match spawn_blocking(move || live.push(snapshot)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => log::warn!("{error:#}"),
                    Err(error) => log::error!("a second was left: {error}"),
                }
            }
        });
        live
    }

    fn push(&self, snapshot: Arc<Snapshot>) -> Result<()> {
        let mut history = lock(&self.history);
        history.push(snapshot);
        let tick = history.ticks();
        // Whoever comes after this sees this second in a whole event.
        for viewers in self
            .viewers
            .iter()
            .filter(|it| it.news.receiver_count() > 0)
        {
            let text = event(&json(&history.event(viewers.by, false))?);
            // All may just have gone.
            let _ = viewers.news.send((tick, text));
        }
        Ok(())
    }

    fn viewers(&self, by: By) -> &Viewers {
        &self.viewers[by as usize]
    }

    /// What `make` makes of the history as it is now, and the number of the tick that it is of.
    async fn made(
        &self,
        latest: &Latest,
        make: impl FnOnce(&mut History) -> Result<Bytes> + Send + 'static,
    ) -> Result<(u64, Bytes)> {
        let mut latest = latest.lock().await;
        let history = Arc::clone(&self.history);
        let known = latest.as_ref().map(|(tick, _)| *tick);
        let making = spawn_blocking(move || {
            let mut history = lock(&history);
            let tick = history.ticks();
            if known == Some(tick) {
                return Ok(None);
            }
            make(&mut history).map(|text| Some((tick, text)))
        });
        match making.await.context("a view was left")?? {
            Some(new) => Ok(latest.insert(new).clone()),
            None => latest.clone().context("there is no view"),
        }
    }

    /// Everything there is to see now in a terminal, as JSON.
    pub async fn json(&self) -> Result<Bytes> {
        let made = self.made(&self.view, |history| Ok(json(&history.view())?.into()));
        Ok(made.await?.1)
    }

    /// A row that is opened, as JSON, if there is such a row.
    pub async fn detail(&self, by: By, id: String) -> Result<Option<Bytes>> {
        let history = Arc::clone(&self.history);
        let making = spawn_blocking(move || {
            let detail = lock(&history).detail(by, &id);
            detail.map(|it| json(&it).map(Bytes::from)).transpose()
        });
        making.await.context("a row was left")?
    }

    /// How a process was started that is shown, as JSON, if the agent may know. Few are read at the same time: a process can make whoever
    /// reads it wait for as long as it likes, also when nobody waits for that any more.
    pub async fn command_line(&self, id: String) -> Result<Option<Bytes>> {
        let turn = Arc::clone(&self.reading).try_acquire_owned();
        let Ok(turn) = turn else {
            return Ok(None);
        };
        let history = Arc::clone(&self.history);
        let reading = spawn_blocking(move || {
            let _turn = turn;
            let process = lock(&history).living(&id);
            let read = process.and_then(|it| CommandLine::of(it, &Lives::seen_from_here()?));
            read.map(|it| json(&it).map(Bytes::from)).transpose()
        });
        reading.await.context("a command line was left")?
    }

    /// An endless body of events.
    pub fn events(self: &Arc<Self>, by: By) -> Body {
        let (sender, body) = Channel::new(1);
        tokio::spawn(Arc::clone(self).stream(by, sender));
        body.boxed_unsync()
    }

    /// Ends when the client has gone.
    async fn stream(self: Arc<Self>, by: By, mut sender: Sender<Bytes, io::Error>) {
        let viewers = self.viewers(by);
        let mut news = viewers.news.subscribe();
        let mut next = self.whole_event(viewers).await;
        let mut seen = 0;
        while let Ok((tick, text)) = next {
            // What was on its way is part of a whole event already.
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
                    self.whole_event(viewers).await
                }
                Err(RecvError::Closed) => return,
            };
        }
    }

    async fn whole_event(&self, viewers: &Viewers) -> Result<(u64, Bytes)> {
        let by = viewers.by;
        let make = move |history: &mut History| Ok(event(&json(&history.event(by, true))?));
        self.made(&viewers.whole, make).await
    }
}

/// Held where texts are made, never by the thread that serves.
fn lock(history: &Mutex<History>) -> MutexGuard<'_, History> {
    history.lock().unwrap_or_else(PoisonError::into_inner)
}

fn json(what: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(what).context("cannot write JSON")
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
        let view = lock(&live.history).view();
        let points = view.processes[0].points.iter().map(|it| it.requests);
        assert_eq!(points.collect::<Vec<_>>(), [3.0, 5.0, 7.0]);
    }
}
