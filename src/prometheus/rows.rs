// SPDX-License-Identifier: Apache-2.0
//! What is shown under one set of labels each.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use crate::model::increment::Totals;
use crate::model::snapshot::{ProcessSnapshot, WorkloadSnapshot};
use crate::model::workload::Workload;

pub type Labels<'a> = Vec<(&'static str, Cow<'a, str>)>;

pub struct Row<'a> {
    pub labels: Labels<'a>,
    pub totals: &'a Totals,
    /// When its first request was seen.
    pub since: Option<Instant>,
}

/// What OpenTelemetry calls what stands for all that there was no room for
/// (<https://opentelemetry.io/docs/specs/otel/metrics/sdk/#overflow-attribute>): no program can have that name.
pub const OVERFLOW: (&str, Cow<'static, str>) = ("otel_metric_overflow", Cow::Borrowed("true"));

impl<'a> Row<'a> {
    pub fn of_workload(snapshot: &'a WorkloadSnapshot) -> Self {
        Self {
            labels: of_workload(&snapshot.workload),
            totals: &snapshot.totals,
            since: Some(snapshot.since),
        }
    }

    pub fn of_process(snapshot: &'a ProcessSnapshot) -> Self {
        let pid = Cow::Owned(snapshot.id.pid.to_string());
        let mut labels = vec![("process_pid", pid)];
        labels.extend(of_workload(&snapshot.workload));
        Self {
            labels,
            totals: &snapshot.totals,
            since: None,
        }
    }

    /// Of all that are over a limit.
    pub fn of_others(totals: &'a Totals) -> Self {
        Self {
            labels: vec![OVERFLOW],
            totals,
            since: None,
        }
    }
}

/// Named by OpenTelemetry's conventions: see [`crate::identity::cgroup`].
pub fn of_workload(workload: &Workload) -> Labels<'_> {
    let name = match &workload.executable {
        Some(executable) => ("process_executable_name", Cow::Borrowed(&**executable)),
        None => OVERFLOW,
    };
    let cgroup = &workload.cgroup;
    let port = workload.port.map(|port| Cow::Owned(port.to_string()));
    let more = [
        ("container_id", borrowed(&cgroup.container_id)),
        ("k8s_pod_uid", borrowed(&cgroup.k8s_pod_uid)),
        ("systemd_unit_name", borrowed(&cgroup.systemd_unit)),
        ("server_port", port),
    ];
    let more = more.into_iter();
    [name]
        .into_iter()
        .chain(more.filter_map(|(label, text)| Some((label, text?))))
        .collect()
}

fn borrowed(text: &Option<Arc<str>>) -> Option<Cow<'_, str>> {
    text.as_deref().map(Cow::Borrowed)
}
