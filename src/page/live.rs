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

use crate::model::snapshot::Snapshot;
use crate::page::history::History;
use crate::sampler::EverySnapshot;
use crate::serve::server::Body;

/// Events that a slow client may be behind before it gets a whole view instead.
const BEHIND: usize = 4;

pub struct Live {
    history: Mutex<History>,
    news: broadcast::Sender<Bytes>,
}

impl Live {
    /// Follows the snapshots in a task of its own.
    pub fn follow(host: String, first: Arc<Snapshot>, mut every: EverySnapshot) -> Arc<Self> {
        let live = Arc::new(Self {
            history: Mutex::new(History::new(host, first)),
            news: broadcast::channel(BEHIND).0,
        });
        let follower = Arc::clone(&live);
        tokio::spawn(async move {
            while let Some(snapshot) = every.recv().await {
                let mut history = follower.history();
                history.push(snapshot);
                follower.tell(&history);
            }
        });
        live
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, history: &History) {
        if self.news.receiver_count() == 0 {
            return;
        }
        match event(history, false) {
            Ok(text) => {
                // Whoever has left meanwhile does not matter.
                let _ = self.news.send(text);
            }
            Err(error) => log::warn!("{error:#}"),
        }
    }

    /// Everything there is to see now, as JSON.
    pub fn json(&self) -> Result<Bytes> {
        let view = self.history().view(true);
        Ok(serde_json::to_vec(&view)
            .context("cannot write the view")?
            .into())
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
        let mut next = self.whole_event(&mut news);
        while let Ok(text) = next
            && sender.send_data(text).await.is_ok()
        {
            next = match news.recv().await {
                Ok(text) => Ok(text),
                Err(RecvError::Lagged(_)) => self.whole_event(&mut news),
                Err(RecvError::Closed) => return,
            };
        }
    }

    /// A whole view; what is still on its way is part of it already.
    fn whole_event(&self, news: &mut broadcast::Receiver<Bytes>) -> Result<Bytes> {
        let history = self.history();
        *news = self.news.subscribe();
        event(&history, true)
    }
}

fn event(history: &History, whole: bool) -> Result<Bytes> {
    let view = serde_json::to_string(&history.view(whole)).context("cannot write an event")?;
    Ok(format!("data: {view}\n\n").into())
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, VecDeque};
    use std::time::{Duration, Instant, SystemTime};

    use tokio::sync::mpsc;

    use crate::identity::cgroup::Cgroup;
    use crate::model::counters::{KernelState, ProcessId};
    use crate::model::reason::Missed;
    use crate::model::snapshot::{AgentState, Increment, ProcessSnapshot};

    use super::*;

    /// One process has received so many requests.
    fn snapshot(requests: u64) -> Arc<Snapshot> {
        let process = ProcessSnapshot {
            id: ProcessId {
                pid: 7,
                start_time: 1,
            },
            name: "server".into(),
            cgroup: Cgroup::default(),
            exited: false,
            increment: Increment {
                requests,
                series: Vec::new(),
            },
            requests_total: requests,
            series: BTreeMap::new(),
            requests_per_second: VecDeque::new(),
            requests_per_second_peak: 0.0,
            responses_per_second: BTreeMap::new(),
            duration_p50_ms: None,
            duration_p99_ms: None,
        };
        Arc::new(Snapshot {
            date: SystemTime::now(),
            taken: Instant::now(),
            elapsed: Duration::from_secs(1),
            processes: vec![process],
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
        tokio::task::yield_now().await;
        let view = live.history().view(true);
        let points = view.processes[0].points.iter().map(|it| it.requests);
        assert_eq!(points.collect::<Vec<_>>(), [3.0, 5.0, 7.0]);
    }
}
