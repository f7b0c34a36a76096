// SPDX-License-Identifier: Apache-2.0
//! The document for all who ask, on the plugin's socket and over TCP alike.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use hyper::body::Bytes;
use hyper::{Method, Request, Response, StatusCode};

use crate::api::document::Document;
use crate::api::query::Query;
use crate::api::text::Text;
use crate::model::snapshot::Snapshot;
use crate::sampler::Snapshots;
use crate::serve::server::{Body, json, out_of_reach, plain, whole};
use crate::serve::streamed_body::StreamedBodies;

/// Documents that are written at the same time; others wait for their turn.
const TEXTS: usize = 2;

pub struct Api {
    host: Arc<str>,
    snapshots: Snapshots,
    texts: StreamedBodies,
}

impl Api {
    pub fn new(host: String, snapshots: Snapshots) -> Self {
        Self {
            host: host.into(),
            snapshots,
            texts: StreamedBodies::new(TEXTS),
        }
    }

    /// `None` where the path is none of its own.
    pub fn answer<B>(&self, request: &Request<B>) -> Option<Result<Response<Body>>> {
        let uri = request.uri();
        let query = match Query::of(uri.path(), uri.query())? {
            Ok(query) => query,
            Err(why) => return Some(plain(StatusCode::BAD_REQUEST, why)),
        };
        let snapshot = Arc::clone(&self.snapshots.borrow());
        if snapshot.is_stale(Instant::now()) {
            return Some(out_of_reach());
        }
        let body = if request.method() == Method::HEAD {
            whole(Bytes::new())
        } else {
            let host = Arc::clone(&self.host);
            self.texts.body(move |out| {
                let text = Text {
                    snapshot: &snapshot,
                    host: &host,
                    query,
                };
                serde_json::to_writer(&mut *out, &text)?;
                io::Write::write_all(out, b"\n")
            })
        };
        Some(json().body(body).context("cannot build a response"))
    }
}

/// What an agent would answer that has this snapshot.
pub fn document(snapshot: &Snapshot, host: &str, target: &str) -> Result<Document> {
    let (path, parameters) = match target.split_once('?') {
        Some((path, parameters)) => (path, Some(parameters)),
        None => (target, None),
    };
    let query = Query::of(path, parameters).context("no such path")?;
    let query = query.map_err(anyhow::Error::msg)?;
    let text = Text {
        snapshot,
        host,
        query,
    };
    Ok(serde_json::from_slice(&serde_json::to_vec(&text)?)?)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use crate::identity::cgroup::Cgroup;
    use crate::model::counters::{KernelState, ProcessId};
    use crate::model::histogram::Histogram;
    use crate::model::increment::{Increment, Series, Totals};
    use crate::model::reason::{Missed, Reason};
    use crate::model::series_key::{Method, Scheme, SeriesKey, Version};
    use crate::model::snapshot::{AgentState, Lately, ProcessSnapshot, Trend, WorkloadSnapshot};
    use crate::model::workload::Workload;

    use super::*;

    fn series(status: u16, count: u64) -> Series {
        let key = SeriesKey {
            method: Method::Get,
            status,
            version: Version::V2,
            scheme: Scheme::Https,
        };
        Series {
            key,
            durations: Histogram::of(count, 30_000_000),
            since: Instant::now(),
        }
    }

    fn trend(rate: f64) -> Trend {
        Trend::of([0.0, rate].into_iter())
    }

    fn snapshot(processes: u32) -> Snapshot {
        let workload = Arc::new(Workload {
            executable: Some("ser\"ver".into()),
            cgroup: Cgroup {
                systemd_unit: Some("web.service".into()),
                ..Cgroup::default()
            },
            port: Some(8080),
        });
        let totals = Totals {
            requests: 101,
            series: vec![series(0, 2), series(200, 95), series(503, 3)],
            ..Totals::default()
        };
        let responses = vec![(200, trend(29.0)), (503, trend(1.0))];
        let process = |pid| ProcessSnapshot {
            id: ProcessId {
                pid,
                start_time: 1 << 60,
            },
            workload: Arc::clone(&workload),
            totals: Arc::new(totals.clone()),
            requests_per_second: trend(f64::from(pid)),
            responses_per_second: responses.clone(),
            ..ProcessSnapshot::default()
        };
        let of_all = WorkloadSnapshot {
            workload: Arc::clone(&workload),
            totals: totals.clone(),
            lately: Lately {
                requests_per_second: trend(30.0),
                responses_per_second: responses.clone(),
                ..Lately::default()
            },
            rest: Totals::default(),
            increment: Increment::default(),
            unlisted: 0,
            processes: processes as usize,
            since: Instant::now(),
        };
        let mut missed = Missed::default();
        missed[Reason::IoUring] = 7;
        Snapshot {
            date: SystemTime::UNIX_EPOCH,
            taken: Instant::now(),
            elapsed: Duration::from_secs(1),
            dates: Vec::new(),
            processes: (1..=processes).map(|pid| Arc::new(process(pid))).collect(),
            workloads: vec![Arc::new(of_all)],
            missed,
            kernel: KernelState {
                backend: "sock",
                ..KernelState::default()
            },
            agent: AgentState::default(),
        }
    }

    #[test]
    fn has_processes_and_workloads_with_names_and_what_they_did() {
        let document = document(&snapshot(3), "node-7", "/api/v1").unwrap();
        assert_eq!((document.api_version, &*document.host), (1, "node-7"));
        assert_eq!(document.missed["io_uring"], 7);
        let pids: Vec<_> = document.processes.iter().map(|it| it.pid).collect();
        assert_eq!(pids, [1, 2, 3]);
        // No number that JavaScript or jq would round.
        assert_eq!(document.processes[1].id, "2.1152921504606846976");
        let workload = &document.workloads[0];
        assert_eq!(workload.processes, 3);
        assert_eq!(workload.identity, document.processes[0].identity);
        let identity = &workload.identity;
        assert_eq!(identity.name.as_deref(), Some("ser\"ver"));
        assert_eq!(identity.systemd_unit.as_deref(), Some("web.service"));
        assert_eq!((identity.port, &identity.container_id), (Some(8080), &None));
        let traffic = &workload.traffic;
        assert_eq!((traffic.requests, traffic.requests_per_second), (101, 30.0));
        assert_eq!(traffic.responses_per_second["503"], 1.0);
        assert_eq!(
            (traffic.answers_15s, traffic.server_errors_15s),
            (30.0, 1.0)
        );
        let answers: Vec<_> = traffic
            .answers
            .iter()
            .map(|it| (&*it.status, &*it.version, &*it.scheme, it.count))
            .collect();
        let kinds = [("_OTHER", 2), ("200", 95), ("503", 3)];
        let expected = kinds.map(|(status, count)| (status, "2", "https", count));
        assert_eq!(answers, expected);
        let p99 = traffic.answers[1].latency_ms.p99;
        assert!((p99 / 30.0 - 1.0).abs() < 0.05, "{p99}");
    }

    #[test]
    fn a_part_has_the_busiest_and_says_how_many_it_leaves_out() {
        let snapshot = snapshot(1007);
        let part = document(&snapshot, "h", "/api/v1/processes?limit=2").unwrap();
        let pids: Vec<_> = part.processes.iter().map(|it| it.pid).collect();
        assert_eq!(pids, [1006, 1007]);
        assert_eq!((part.processes_omitted, part.workloads.len()), (1005, 0));
        let all = document(&snapshot, "h", "/api/v1").unwrap();
        assert_eq!((all.processes.len(), all.processes_omitted), (1000, 7));
        assert!(document(&snapshot, "h", "/api/v1?limit=0").is_err());
    }
}
