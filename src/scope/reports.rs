// SPDX-License-Identifier: Apache-2.0
//! The report as text, for all who ask.
//!
//! The probe gives all of its plugins together little time. So the text of a snapshot is made once, as soon as the
//! snapshot is there, in another thread than the one that serves; as long as somebody asks for it.

use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::body::Bytes;
use tokio::sync::{Notify, watch};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::model::snapshot::Snapshot;
use crate::report::{DETAILS, report};
use crate::sampler::Snapshots;

/// The text of the snapshot before will do as long as the next one is not made.
const FRESH: Duration = Duration::from_millis(2500);
/// Who waits longer asks again.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long after somebody has asked texts are made without being asked for.
const WANTED: Duration = Duration::from_secs(10);
/// The probe has no time to decode more, whatever the host runs.
const MOST_BYTES: usize = 1_200_000;
/// Texts from one that tries to tell more to the next.
const TRY_MORE: usize = 10;

/// How much of a report is left out to keep it short.
#[derive(Debug, Default)]
pub struct Reduction {
    level: AtomicUsize,
    /// Made so far.
    texts: AtomicUsize,
    /// Whether it was said that something is left out.
    said: AtomicBool,
}

impl Reduction {
    /// 0 is nothing.
    pub fn level(&self) -> usize {
        self.level.load(Ordering::Relaxed)
    }

    /// Where the next text begins: it was too long a moment ago, but not for ever.
    fn next(&self) -> usize {
        let texts = self.texts.fetch_add(1, Ordering::Relaxed);
        let more = usize::from(texts.is_multiple_of(TRY_MORE));
        self.level().saturating_sub(more)
    }

    fn set(&self, level: usize) {
        self.level.store(level, Ordering::Relaxed);
        if level > 0 && !self.said.swap(true, Ordering::Relaxed) {
            log::warn!(
                "there is so much to report that Weave Scope would have no time for it: something is left out \
                 (scope_http_report_reduction)"
            );
        }
    }
}

pub struct Reports {
    snapshots: Snapshots,
    made: watch::Sender<Option<Arc<Text>>>,
    ask: Notify,
    asked: Mutex<Asked>,
    pub reduction: Arc<Reduction>,
}

/// When somebody has asked last.
#[derive(Clone, Copy, Default)]
struct Asked {
    plain: Option<Instant>,
    gzip: Option<Instant>,
}

impl Asked {
    fn wants(at: Option<Instant>) -> bool {
        at.is_some_and(|at| at.elapsed() < WANTED)
    }
}

struct Text {
    taken: Instant,
    json: Bytes,
    gzip: Option<Bytes>,
}

impl Text {
    fn get(&self, gzip: bool) -> Option<Bytes> {
        let text = if gzip {
            self.gzip.as_ref()
        } else {
            Some(&self.json)
        };
        text.cloned()
    }
}

impl Reports {
    /// Follows the snapshots in a task of its own. `host` is what the probe calls this host.
    pub fn follow(host: String, snapshots: Snapshots) -> Arc<Self> {
        let reports = Arc::new(Self {
            snapshots: snapshots.clone(),
            made: watch::channel(None).0,
            ask: Notify::new(),
            asked: Mutex::default(),
            reduction: Arc::default(),
        });
        tokio::spawn(Arc::clone(&reports).make_each(host.into(), snapshots));
        reports
    }

    pub fn are_stale(&self) -> bool {
        self.snapshots.borrow().is_stale(Instant::now())
    }

    /// What the next report would be of.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshots.borrow())
    }

    async fn make_each(self: Arc<Self>, host: Arc<str>, mut snapshots: Snapshots) {
        loop {
            tokio::select! {
                changed = snapshots.changed() => if changed.is_err() {
                    return;
                },
                () = self.ask.notified() => {}
            }
            let asked = self.asked();
            if !Asked::wants(asked.plain) && !Asked::wants(asked.gzip) {
                continue;
            }
            let snapshot = Arc::clone(&snapshots.borrow_and_update());
            let (host, reduction) = (Arc::clone(&host), Arc::clone(&self.reduction));
            let gzip = Asked::wants(asked.gzip);
            let making = spawn_blocking(move || make(&snapshot, &host, gzip, &reduction));
            match making.await {
                Ok(Ok(text)) => _ = self.made.send_replace(Some(Arc::new(text))),
                Ok(Err(error)) => log::warn!("{error:#}"),
                Err(error) => log::error!("a report was left: {error}"),
            }
        }
    }

    fn asked(&self) -> Asked {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The latest one, or, where nobody has asked for long, the next.
    pub async fn text(&self, gzip: bool) -> Result<Bytes> {
        self.note(gzip);
        let mut made = self.made.subscribe();
        if let Some(text) = self.latest(gzip) {
            return Ok(text);
        }
        loop {
            self.ask.notify_one();
            timeout(PATIENCE, made.changed())
                .await
                .context("no report is made")??;
            // However old the snapshot is: there is no newer one, and when it is too old that is told before.
            if let Some(text) = made
                .borrow_and_update()
                .as_ref()
                .and_then(|it| it.get(gzip))
            {
                return Ok(text);
            }
        }
    }

    /// Somebody has asked.
    fn note(&self, gzip: bool) {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let form = if gzip {
            &mut asked.gzip
        } else {
            &mut asked.plain
        };
        *form = Some(Instant::now());
    }

    fn latest(&self, gzip: bool) -> Option<Bytes> {
        let made = self.made.borrow();
        let fresh = made.as_ref().filter(|text| text.taken.elapsed() < FRESH)?;
        fresh.get(gzip)
    }
}

/// As short as it has to be.
fn make(snapshot: &Snapshot, host: &str, gzip: bool, reduction: &Reduction) -> Result<Text> {
    let mut level = reduction.next();
    let json = loop {
        let report = report(snapshot, host, DETAILS[level]);
        let json = serde_json::to_vec(&report).context("cannot write the report")?;
        if json.len() <= MOST_BYTES || level + 1 == DETAILS.len() {
            break json;
        }
        level += 1;
    };
    reduction.set(level);
    let gzip = if gzip { Some(compressed(&json)?) } else { None };
    Ok(Text {
        taken: snapshot.taken,
        json: json.into(),
        gzip,
    })
}

fn compressed(json: &[u8]) -> Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(json)?;
    Ok(encoder.finish()?.into())
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use crate::model::counters::{KernelState, ProcessId};
    use crate::model::reason::Missed;
    use crate::model::snapshot::{AgentState, Durations, Latency, ProcessSnapshot, STALE, Trend};

    use super::*;

    fn empty(taken: Instant) -> Arc<Snapshot> {
        Arc::new(Snapshot {
            date: SystemTime::now(),
            taken,
            elapsed: Duration::ZERO,
            dates: Vec::new(),
            processes: Arc::default(),
            workloads: Vec::new(),
            missed: Missed::default(),
            kernel: KernelState::default(),
            agent: AgentState::default(),
        })
    }

    /// Processes with three kinds of answers each.
    fn crowded(processes: u32) -> Snapshot {
        let trend = Trend::of([123_456.789_012; 5].into_iter());
        let durations = Durations::of([123_456.79; 5].into_iter());
        let process = |pid| ProcessSnapshot {
            id: ProcessId { pid, start_time: 1 },
            requests_per_second: trend.clone(),
            responses_per_second: [200, 404, 500].map(|code| (code, trend.clone())).into(),
            latency: Some(Box::new(Latency {
                p50_ms: durations.clone(),
                p90_ms: durations.clone(),
                p99_ms: durations.clone(),
                max_ms: durations.clone(),
            })),
            ..ProcessSnapshot::default()
        };
        let empty = empty(Instant::now());
        Snapshot {
            dates: vec![SystemTime::now(); 5],
            processes: (4_000_000..4_000_000 + processes)
                .map(|pid| Arc::new(process(pid)))
                .collect(),
            ..Snapshot::clone(&empty)
        }
    }

    #[test]
    fn whatever_a_host_runs_the_probe_has_time_for_it() {
        let reduction = Reduction::default();
        let mut before = 0;
        for processes in [100, 500, 2_000, 10_000, 50_000] {
            let text = make(&crowded(processes), "example.org", false, &reduction).unwrap();
            let size = text.json.len();
            assert!(size <= MOST_BYTES, "{processes}: {size}");
            let level = reduction.level();
            assert!(level >= before, "{processes}: {level}");
            assert_eq!(level == 0, processes <= 500);
            before = level;
        }
        // As soon as it is quiet again everything is told, step by step.
        for _ in 0..before * TRY_MORE {
            make(&crowded(100), "example.org", false, &reduction).unwrap();
        }
        assert_eq!(reduction.level(), 0);
    }

    #[tokio::test]
    async fn what_is_old_is_told_from_what_is_late() {
        let now = Instant::now();
        let (publisher, snapshots) = watch::channel(empty(now));
        let reports = Reports::follow("host".to_owned(), snapshots);
        assert!(!reports.are_stale());
        publisher.send_replace(empty(now.checked_sub(STALE / 2).unwrap()));
        assert!(!reports.are_stale());
        publisher.send_replace(empty(now.checked_sub(2 * STALE).unwrap()));
        assert!(reports.are_stale());
    }

    #[tokio::test]
    async fn a_snapshot_is_put_into_words_once() {
        let empty = || empty(Instant::now());
        let (publisher, snapshots) = watch::channel(empty());
        let reports = Reports::follow("host".to_owned(), snapshots);
        // The first to ask waits, and so does the first who wants it in another form.
        for gzip in [false, true] {
            assert!(reports.latest(gzip).is_none());
            assert!(!reports.text(gzip).await.unwrap().is_empty());
        }
        let places = || [false, true].map(|gzip| reports.latest(gzip).unwrap().as_ptr());
        let first = places();
        reports.text(false).await.unwrap();
        assert_eq!(first, places());
        let mut made = reports.made.subscribe();
        publisher.send_replace(empty());
        made.changed().await.unwrap();
        assert!(first.into_iter().zip(places()).all(|(old, new)| old != new));
    }
}
