// SPDX-License-Identifier: Apache-2.0
//! What those ask who look after the agent: whether it works (`/healthz`), and whether it counts (`/readyz`).

use std::time::Instant;

use anyhow::{Context, Result};
use hyper::body::Bytes;
use hyper::header::CONTENT_TYPE;
use hyper::{Method, Response, StatusCode};

use crate::model::snapshot::Snapshot;
use crate::serve::server::{Body, whole};

/// How the agent is, by its latest snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    Counting,
    /// The agent's own last request was not counted.
    Unproven,
    /// The counters have been out of reach for a while.
    Stale,
}

impl Condition {
    pub fn of(snapshot: &Snapshot, now: Instant) -> Self {
        if snapshot.is_stale(now) {
            Self::Stale
        } else if snapshot.kernel.counts {
            Self::Counting
        } else {
            Self::Unproven
        }
    }

    /// In words, without an end of line.
    pub fn words(self, snapshot: &Snapshot) -> String {
        let backend = snapshot.kernel.backend;
        match self {
            Self::Counting => format!("counting by {backend}"),
            Self::Unproven => {
                format!("not counting: {backend} did not see the agent's own last request")
            }
            Self::Stale => "the kernel's counters are out of reach: the log says why".to_owned(),
        }
    }
}

/// The answer, if the path is one of these.
pub fn answer(method: &Method, path: &str, snapshot: &Snapshot) -> Option<Result<Response<Body>>> {
    let now = Instant::now();
    let condition = Condition::of(snapshot, now);
    // To start an agent anew that only sees too little would not help it.
    let is_well = match path {
        "/healthz" => condition != Condition::Stale,
        "/readyz" => condition == Condition::Counting,
        _ => return None,
    };
    let age = snapshot.age(now).as_secs_f64();
    let words = condition.words(snapshot);
    let text = format!("{words}\nsnapshot_age_seconds {age:.3}\n");
    let text = match method {
        &Method::HEAD => Bytes::new(),
        _ => text.into(),
    };
    let status = match is_well {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    let response = Response::builder()
        .status(status)
        .header(CONTENT_TYPE, "text/plain; charset=utf-8")
        .body(whole(text));
    Some(response.context("cannot build a response"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, SystemTime};

    use http_body_util::BodyExt;

    use crate::model::counters::KernelState;
    use crate::model::reason::Missed;
    use crate::model::snapshot::{AgentState, STALE};

    use super::*;

    fn snapshot(age: Duration, counts: bool) -> Snapshot {
        Snapshot {
            date: SystemTime::now(),
            taken: Instant::now().checked_sub(age).unwrap(),
            elapsed: Duration::ZERO,
            dates: Vec::new(),
            processes: Arc::default(),
            workloads: Vec::new(),
            missed: Missed::default(),
            kernel: KernelState {
                backend: "sock",
                counts,
                ..KernelState::default()
            },
            agent: AgentState::default(),
        }
    }

    async fn asked(path: &str, snapshot: &Snapshot) -> (u16, String) {
        let response = answer(&Method::GET, path, snapshot).unwrap().unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.into()).unwrap())
    }

    #[tokio::test]
    async fn healthy_is_who_reads_counters_and_ready_who_sees_requests() {
        let (fresh, old) = (Duration::from_millis(300), STALE + Duration::from_secs(1));
        for (age, counts, healthz, readyz, word) in [
            (fresh, true, 200, 200, "counting by sock\n"),
            (fresh, false, 200, 503, "not counting"),
            (old, true, 503, 503, "out of reach"),
            (old, false, 503, 503, "out of reach"),
        ] {
            let snapshot = snapshot(age, counts);
            for (path, expected) in [("/healthz", healthz), ("/readyz", readyz)] {
                let (status, text) = asked(path, &snapshot).await;
                assert_eq!(status, expected, "{path}: {text}");
                assert!(text.starts_with(word) || text.contains(word), "{text}");
                let said = text.rsplit_once("snapshot_age_seconds ").unwrap().1;
                let said: f64 = said.trim().parse().unwrap();
                assert!(said >= age.as_secs_f64(), "{text}");
            }
        }
        assert!(answer(&Method::GET, "/healthy", &snapshot(fresh, true)).is_none());
    }
}
