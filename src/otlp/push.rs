// SPDX-License-Identifier: Apache-2.0
//! Pushes from time to time, and again where that fails: sooner at first, and then later and later.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until, timeout};

use crate::model::tick::Moment;
use crate::otlp::client::{self, Client};
use crate::otlp::messages::Maker;
use crate::otlp::outcome::Outcome;
use crate::otlp::progress::Progress;
use crate::otlp::settings::Settings;
use crate::prometheus::metrics::Scrape;
use crate::prometheus::series_lifetime::{ScrapeContent, ScrapeContents};
use crate::serve::web::Health;

/// Before the second try; each pause is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How long the end of the agent waits for what it has still to tell.
const LAST: Duration = Duration::from_secs(2);

/// What has come of the pushes.
#[derive(Debug, Default)]
pub struct Pushes {
    accepted: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
    rejected_points: AtomicU64,
    last: Notify,
    ended: Notify,
    /// Whether there is anybody who pushes.
    running: AtomicBool,
}

/// As of one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct PushCounts {
    pub accepted: u64,
    pub refused: u64,
    pub failed: u64,
    pub rejected_points: u64,
}

impl Pushes {
    /// `None`: nobody pushes.
    pub fn counts(&self) -> Option<PushCounts> {
        if !self.running.load(Ordering::Relaxed) {
            return None;
        }
        let count = |it: &AtomicU64| it.load(Ordering::Relaxed);
        Some(PushCounts {
            accepted: count(&self.accepted),
            refused: count(&self.refused),
            failed: count(&self.failed),
            rejected_points: count(&self.rejected_points),
        })
    }

    /// Has what is new pushed once more, before the agent ends.
    pub async fn finish(&self) {
        if self.running.load(Ordering::Relaxed) {
            self.last.notify_one();
            if timeout(LAST, self.ended.notified()).await.is_err() {
                log::warn!("the collector does not take the last of it in {LAST:?}");
            }
        }
    }
}

pub struct Pusher {
    settings: Arc<Settings>,
    client: Client,
    pushes: Arc<Pushes>,
    contents: ScrapeContents,
    health: Health,
    /// There but while it makes something.
    maker: Option<Maker>,
}

impl Pusher {
    /// `start`: when the agent began to count.
    pub fn new(
        client: Client,
        host: String,
        start: Moment,
        contents: ScrapeContents,
        health: Health,
    ) -> Self {
        let settings = Arc::clone(client.settings());
        let maker = Maker {
            host,
            buckets: settings.buckets,
            progress: Progress::new(settings.temporality, start),
        };
        Self {
            settings,
            client,
            pushes: Arc::clone(&health.pushes),
            contents,
            health,
            maker: Some(maker),
        }
    }

    /// Goes on in a task of its own, until the agent ends.
    pub fn start(mut self) {
        let url = &self.settings.url;
        log::info!(
            "metrics are pushed to {url} every {:?}",
            self.settings.interval
        );
        self.pushes.running.store(true, Ordering::Relaxed);
        tokio::spawn(async move { self.run().await });
    }

    async fn run(&mut self) {
        let pushes = Arc::clone(&self.pushes);
        // Not all hosts of a fleet at the same time.
        let mut next = Instant::now() + part_of(self.settings.interval);
        let mut failures = 0;
        loop {
            let is_last = tokio::select! {
                () = sleep_until(next) => false,
                () = pushes.last.notified() => true,
            };
            let outcome = self.push().await;
            if is_last {
                return pushes.ended.notify_one();
            }
            let pause = match outcome {
                Ok(()) => {
                    if failures > 0 {
                        log::info!("the collector takes metrics again");
                    }
                    failures = 0;
                    self.settings.interval
                }
                Err(Failure { words, pause }) => {
                    pushes.failed.fetch_add(1, Ordering::Relaxed);
                    match failures {
                        0 => log::warn!(
                            "{} takes no metrics, trying again: {words}",
                            self.settings.url
                        ),
                        _ => log::debug!("the collector still takes no metrics: {words}"),
                    }
                    failures += 1;
                    pause_after(failures, pause)
                }
            };
            next = Instant::now() + pause;
        }
    }

    fn scrape(&self, content: &Arc<ScrapeContent>) -> Scrape {
        Scrape {
            vitals: self.health.vitals(content),
            content: Arc::clone(content),
            seen: None,
        }
    }

    /// Everything there is now.
    async fn push(&mut self) -> Result<(), Failure> {
        let content = Arc::clone(&self.contents.borrow());
        let mut connection = self.client.connect().await?;
        let mut from = Some(0);
        while let Some(row) = from {
            let scrape = self.scrape(&content);
            let settings = Arc::clone(&self.settings);
            let mut maker = self.maker.take().context("what was told is lost")?;
            let making = spawn_blocking(move || {
                if row == 0 {
                    maker.progress.begin();
                }
                let mut batch = maker.batch(&scrape, row);
                let body = client::body(&settings, std::mem::take(&mut batch.message));
                (maker, batch, body)
            });
            let (maker, batch, body) = making.await.context("a push was left")?;
            let maker = self.maker.insert(maker);
            from = batch.next;
            if batch.points == 0 {
                continue;
            }
            match connection
                .push(body.context("it cannot be compressed")?)
                .await
            {
                Outcome::Accepted { rejected, words } => {
                    let pushes = &self.pushes;
                    pushes.accepted.fetch_add(1, Ordering::Relaxed);
                    pushes
                        .rejected_points
                        .fetch_add(rejected.min(batch.points), Ordering::Relaxed);
                    if !words.is_empty() {
                        log::debug!("the collector has not taken {rejected} points: {words}");
                    }
                }
                Outcome::Refused(words) => {
                    let pushes = &self.pushes;
                    pushes.refused.fetch_add(1, Ordering::Relaxed);
                    pushes
                        .rejected_points
                        .fetch_add(batch.points, Ordering::Relaxed);
                    log::warn!("the collector refuses {} points: {words}", batch.points);
                }
                Outcome::Failed { words, pause } => {
                    // It may fail so again and again, while others come and go.
                    let rest = batch.next.map(|from| (self.scrape(&content), from));
                    self.end(rest).await?;
                    return Err(Failure { words, pause });
                }
            }
            maker.progress.acknowledged(batch.told);
        }
        self.end(None).await
    }

    /// What is not there any more is forgotten; the rest of a push that has failed, from a row on, is still there.
    async fn end(&mut self, rest: Option<(Scrape, usize)>) -> Result<(), Failure> {
        let mut maker = self.maker.take().context("what was told is lost")?;
        let ending = spawn_blocking(move || {
            if let Some((scrape, from)) = rest {
                maker.pass(&scrape, from);
            }
            maker.progress.end();
            maker
        });
        self.maker = Some(ending.await.context("a push was left")?);
        Ok(())
    }
}

struct Failure {
    words: String,
    pause: Option<Duration>,
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self {
            words: format!("{error:#}"),
            pause: None,
        }
    }
}

/// As long as the collector asks for: one that asks for no pause at all gets one all the same.
fn pause_after(failures: u32, asked: Option<Duration>) -> Duration {
    backoff(failures).max(asked.unwrap_or_default())
}

/// After so many failures in a row.
fn backoff(failures: u32) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(10));
    let pause = doubled.min(LONGEST_PAUSE);
    pause / 2 + part_of(pause / 2)
}

fn part_of(time: Duration) -> Duration {
    time.mul_f64(fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_have_a_bound() {
        for (failures, most) in [(1, 1), (2, 2), (6, 32), (7, 60), (u32::MAX, 60)] {
            let most = Duration::from_secs(most);
            let pause = backoff(failures);
            assert!(pause >= most / 2 && pause <= most, "{failures}: {pause:?}");
        }
    }

    #[test]
    fn a_collector_may_ask_for_a_longer_pause_and_for_none_that_is_shorter() {
        let asked = Duration::from_secs(300);
        assert_eq!(pause_after(1, Some(asked)), asked);
        assert!(pause_after(1, Some(Duration::ZERO)) >= FIRST_PAUSE / 2);
    }
}
