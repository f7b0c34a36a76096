// SPDX-License-Identifier: Apache-2.0
//! The metrics of the agent itself.

use std::borrow::Cow;

use crate::model::snapshot::Snapshot;
use crate::otlp::push::PushCounts;
use crate::prometheus::family::{Family, label};
use crate::prometheus::metrics::{Scrape, TLS_UNSEEN};
use crate::prometheus::rows::of_workload;

impl Scrape {
    /// All of them.
    pub(crate) fn status(&self) -> Vec<Family<'_>> {
        let snapshot = &*self.content.snapshot;
        let mut families = agent(snapshot);
        families.push(Family::one(
            "scope_http_other_processes",
            "Processes over --max-processes, which --per-process shows together",
            self.content.others() as f64,
        ));
        families.push(self.unseen());
        families.extend(self.sampling());
        families.extend(self.vitals.pushes.into_iter().flat_map(pushes));
        families.extend(kernel(snapshot));
        families
    }

    /// Whose requests cannot be seen.
    fn unseen(&self) -> Family<'_> {
        let rows = self.content.rows().into_iter();
        let unseen = rows.filter_map(|row| {
            let connections = self.tls_unseen(&row)?;
            Some((row.labels, connections))
        });
        Family::counter(TLS_UNSEEN.0, TLS_UNSEEN.1, unseen)
    }

    /// How old what is shown is.
    fn sampling(&self) -> [Family<'_>; 3] {
        let vitals = &self.vitals;
        [
            Family::one(
                "scope_http_snapshot_age_seconds",
                "Time since the kernel's counters were last read",
                vitals.snapshot_age.as_secs_f64(),
            ),
            Family::counter(
                "scope_http_harvest_failures_total",
                "Times that the kernel's counters could not be read",
                [(Vec::new(), vitals.harvest_failures)],
            ),
            Family::one(
                "scope_http_report_reduction",
                "How much is left out of the report to Weave Scope to keep it short: 0 is nothing",
                vitals.report_reduction as f64,
            ),
        ]
    }
}

/// What has come of what is pushed to a collector.
fn pushes<'a>(counts: PushCounts) -> [Family<'a>; 2] {
    let by_outcome = [
        ("accepted", counts.accepted),
        ("refused", counts.refused),
        ("failed", counts.failed),
    ];
    [
        Family::counter(
            "scope_http_otlp_pushes_total",
            "Requests to the collector of OTLP: failed ones are made up for by the next",
            by_outcome.map(|(outcome, count)| (label("outcome", outcome), count)),
        ),
        Family::counter(
            "scope_http_otlp_rejected_points_total",
            "Data points that the collector has not taken and will not take",
            [(Vec::new(), counts.rejected_points)],
        ),
    ]
}

fn agent(snapshot: &Snapshot) -> Vec<Family<'_>> {
    let missed = snapshot.missed.iter();
    let kernel = &snapshot.kernel;
    let backend = vec![
        ("backend", Cow::Borrowed(kernel.backend)),
        ("reason", Cow::Borrowed(&*kernel.reason)),
    ];
    let unlisted = snapshot.workloads.iter().filter(|it| it.unlisted > 0);
    vec![
        Family::counter(
            "scope_http_missed_total",
            "What was not seen or not counted, by reason",
            missed.map(|(reason, count)| (label("reason", reason.label()), count)),
        ),
        Family::gauge(
            "scope_http_build_info",
            "The agent's version",
            [(label("version", env!("CARGO_PKG_VERSION")), 1.0)],
        ),
        Family::gauge(
            "scope_http_backend_info",
            "How the agent sees the bytes of sockets, and why in that way",
            [(backend, 1.0)],
        ),
        Family::one(
            "scope_http_proof",
            "1 if the agent's own last request, which it sends once a minute, was counted, else 0",
            f64::from(u8::from(kernel.counts)),
        ),
        Family::one(
            "scope_http_processes",
            "Processes that have served HTTP or TLS and have not exited",
            snapshot.processes.iter().filter(|it| !it.exited).count() as f64,
        ),
        Family::one(
            "scope_http_workloads",
            "Workloads that have served HTTP or TLS",
            snapshot.workloads.len() as f64,
        ),
        Family::counter(
            "scope_http_unlisted_requests_total",
            "Requests of processes for which there was no room, which count for their workload alone",
            unlisted.map(|it| (of_workload(&it.workload), it.unlisted)),
        ),
        Family::counter(
            "scope_http_excluded_requests_total",
            "Requests that are not shown, because of --include and --exclude",
            [(Vec::new(), snapshot.agent.left_out)],
        ),
        Family::one(
            "scope_http_connections",
            "Connections whose state is kept, as of some seconds ago at most",
            kernel.connections.map(|count| count.all as f64),
        ),
        Family::one(
            "scope_http_h2_connections",
            "Those of them that speak HTTP/2",
            kernel.connections.map(|count| count.http2 as f64),
        ),
        Family::one(
            "scope_http_resident_memory_bytes",
            "Resident memory of the agent",
            snapshot.agent.resident_bytes.map(|bytes| bytes as f64),
        ),
    ]
}

fn kernel(snapshot: &Snapshot) -> [Family<'_>; 5] {
    let kernel = &snapshot.kernel;
    let maps = kernel.maps.iter();
    // The kernel does not measure unless it is told to.
    let measured = kernel.program_stats.iter().filter(|(_, it)| it.runs > 0);
    [
        Family::one(
            "scope_http_harvest_seconds",
            "Time that reading the kernel's counters took",
            kernel.harvest.as_secs_f64(),
        ),
        Family::gauge(
            "scope_http_map_entries",
            "Entries in a map of the kernel",
            maps.clone()
                .map(|map| (label("map", map.name), map.entries as f64)),
        ),
        Family::gauge(
            "scope_http_map_capacity",
            "Entries that a map of the kernel has room for",
            maps.map(|map| (label("map", map.name), f64::from(map.capacity))),
        ),
        Family::counter(
            "scope_http_bpf_run_time_seconds_total",
            "Time spent in a BPF program while kernel.bpf_stats_enabled is set",
            (measured.clone())
                .map(|(program, it)| (label("program", program), it.run_time.as_secs_f64())),
        ),
        Family::counter(
            "scope_http_bpf_runs_total",
            "Runs of a BPF program while kernel.bpf_stats_enabled is set",
            measured.map(|(program, it)| (label("program", program), it.runs)),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant, SystemTime};

    use crate::model::counters::{ConnectionCount, KernelState, MapFill, ProcessId, ProgramStats};
    use crate::model::increment::{Increment, Totals};
    use crate::model::reason::{Missed, Reason};
    use crate::model::snapshot::{AgentState, Lately, ProcessSnapshot, Snapshot, WorkloadSnapshot};
    use crate::otlp::push::PushCounts;
    use crate::prometheus::metrics::{Scrape, Vitals};
    use crate::prometheus::series_lifetime::SeriesLifetimes;
    use crate::prometheus::text::{Format, write};

    fn process(pid: u32, exited: bool) -> ProcessSnapshot {
        ProcessSnapshot {
            id: ProcessId { pid, start_time: 1 },
            exited,
            ..ProcessSnapshot::default()
        }
    }

    fn text(processes: Vec<ProcessSnapshot>, connections: Option<ConnectionCount>) -> String {
        let kernel = KernelState {
            connections,
            ..KernelState::default()
        };
        text_of(processes, kernel)
    }

    fn text_of(processes: Vec<ProcessSnapshot>, kernel: KernelState) -> String {
        let mut missed = Missed::default();
        missed[Reason::Unmatched] = 11;
        let workload = WorkloadSnapshot {
            workload: Arc::default(),
            totals: Totals::default(),
            lately: Lately::default(),
            rest: Totals::default(),
            increment: Increment::default(),
            unlisted: 13,
            processes: 0,
            since: Instant::now(),
        };
        let snapshot = Snapshot {
            date: SystemTime::now(),
            taken: Instant::now(),
            elapsed: Duration::from_secs(1),
            dates: Vec::new(),
            processes: processes.into_iter().map(Arc::new).collect(),
            workloads: vec![Arc::new(workload)],
            missed,
            kernel,
            agent: AgentState {
                left_out: 17,
                resident_bytes: Some(4096),
            },
        };
        let vitals = Vitals {
            snapshot_age: Duration::from_millis(12_500),
            harvest_failures: 7,
            report_reduction: 3,
            pushes: Some(PushCounts {
                accepted: 19,
                refused: 5,
                failed: 23,
                rejected_points: 29,
            }),
        };
        let content = SeriesLifetimes::by_process(10).tick(Arc::new(snapshot), Instant::now());
        let mut text = String::new();
        let scrape = Scrape {
            content: Arc::new(content),
            vitals,
            seen: None,
        };
        write(&mut text, scrape, Format::Text).unwrap();
        text
    }

    #[test]
    fn connections_that_cannot_be_seen_into_are_told_of_those_that_have_any() {
        let mut unseen = process(7, false);
        Arc::make_mut(&mut unseen.totals).tls_unseen = 57;
        let text = text(vec![process(6, false), unseen], None);
        let lines = text.lines();
        let told: Vec<_> = lines
            .filter(|it| it.starts_with("scope_http_tls_unseen_connections_total"))
            .collect();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains("process_pid=\"7\"") && told[0].ends_with("} 57"));
    }

    #[test]
    fn those_that_have_exited_are_no_processes_any_more() {
        for exited in 0..=3 {
            let processes = (1..=3).map(|pid| process(pid, pid <= exited));
            let text = text(processes.collect(), None);
            let line = format!("\nscope_http_processes{{}} {}.0\n", 3 - exited);
            assert!(text.contains(&line), "{text}");
            // They keep what they have counted.
            let counters = text.matches("\nhttp_server_requests_total{").count();
            assert_eq!(counters, 3);
        }
    }

    #[test]
    fn what_is_not_known_is_not_told() {
        let has = |text: &str, line: &str| text.lines().any(|it| it == line);
        let unknown = text(Vec::new(), None);
        assert!(!unknown.contains("\nscope_http_connections{"), "{unknown}");
        assert!(
            !unknown.contains("\nscope_http_h2_connections{"),
            "{unknown}"
        );
        let known = text(Vec::new(), Some(ConnectionCount::default()));
        assert!(has(&known, "scope_http_connections{} 0.0"), "{known}");
        let both = text(Vec::new(), Some(ConnectionCount { all: 5, http2: 3 }));
        assert!(has(&both, "scope_http_connections{} 5.0"), "{both}");
        assert!(has(&both, "scope_http_h2_connections{} 3.0"), "{both}");
    }

    #[test]
    fn what_the_kernel_has_is_told_by_map_and_by_program() {
        let map = MapFill {
            name: "http_processes",
            entries: 3,
            capacity: 4096,
        };
        let ran = |runs| ProgramStats {
            run_time: Duration::from_millis(250),
            runs,
            recursion_misses: 0,
        };
        let programs = [("recv".to_owned(), ran(1)), ("idle".to_owned(), ran(0))];
        let kernel = KernelState {
            backend: "sock",
            reason: "it works".into(),
            maps: vec![map],
            counts: true,
            program_stats: programs.into(),
            harvest: Duration::from_millis(1),
            ..KernelState::default()
        };
        let text = text_of(Vec::new(), kernel);
        for line in [
            r#"scope_http_backend_info{backend="sock",reason="it works"} 1.0"#,
            "scope_http_proof{} 1.0",
            "scope_http_other_processes{} 0.0",
            "scope_http_workloads{} 1.0",
            r#"scope_http_unlisted_requests_total{otel_metric_overflow="true"} 13"#,
            "scope_http_resident_memory_bytes{} 4096.0",
            "scope_http_harvest_seconds{} 0.001",
            r#"scope_http_map_entries{map="http_processes"} 3.0"#,
            r#"scope_http_map_capacity{map="http_processes"} 4096.0"#,
            r#"scope_http_bpf_run_time_seconds_total{program="recv"} 0.25"#,
            r#"scope_http_bpf_runs_total{program="recv"} 1"#,
            r#"scope_http_missed_total{reason="unmatched"} 11"#,
        ] {
            assert!(text.lines().any(|it| it == line), "{line}\n{text}");
        }
        // The kernel had not measured this one.
        assert!(!text.contains("idle"), "{text}");
        let silent = text_of(Vec::new(), KernelState::default());
        assert!(silent.contains("\nscope_http_proof{} 0.0\n"), "{silent}");
    }

    #[test]
    fn the_age_is_that_at_the_scrape() {
        let text = text(Vec::new(), None);
        for line in [
            "scope_http_snapshot_age_seconds{} 12.5",
            "scope_http_excluded_requests_total{} 17",
            r#"scope_http_otlp_pushes_total{outcome="accepted"} 19"#,
            r#"scope_http_otlp_pushes_total{outcome="refused"} 5"#,
            r#"scope_http_otlp_pushes_total{outcome="failed"} 23"#,
            "scope_http_otlp_rejected_points_total{} 29",
            "scope_http_harvest_failures_total{} 7",
            "scope_http_report_reduction{} 3.0",
        ] {
            assert!(text.lines().any(|it| it == line), "{text}");
        }
    }
}
