// SPDX-License-Identifier: Apache-2.0
//! What there is in a table: a row for each process, each workload, or each container and unit. Pure.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::api::document::{Document, Identity, Process, Quantiles, Traffic, Workload};

/// What a row is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum By {
    #[default]
    Process,
    Workload,
    /// A container or a unit of systemd, with everything in it.
    Place,
}

impl By {
    pub fn next(self) -> Self {
        match self {
            Self::Process => Self::Workload,
            Self::Workload => Self::Place,
            Self::Place => Self::Process,
        }
    }

    /// What there are many of.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Process => "processes",
            Self::Workload => "workloads",
            Self::Place => "containers and units",
        }
    }
}

/// What the rows are ordered by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    #[default]
    Rate,
    Errors,
    P50,
    P90,
    P99,
    Max,
    Name,
    Pid,
}

#[derive(Clone, Debug, Default)]
pub struct Row {
    /// It is the same row as long as this is the same.
    pub key: String,
    pub pid: Option<u32>,
    /// That have not exited.
    pub processes: usize,
    pub exited: bool,
    pub identity: Identity,
    pub traffic: Traffic,
    /// Several workloads are in it, of whose quantiles it has the highest: theirs together are no higher.
    pub is_mixed: bool,
}

impl Row {
    pub fn name(&self) -> &str {
        self.identity.name.as_deref().unwrap_or("_OTHER")
    }

    /// The container or the unit, if there is one.
    pub fn place(&self) -> Option<&str> {
        place(&self.identity)
    }

    /// The share of the answers of the last 15 seconds that say the server failed.
    pub fn errors(&self) -> Option<f64> {
        let traffic = &self.traffic;
        (traffic.answers_15s > 0.0).then(|| traffic.server_errors_15s / traffic.answers_15s)
    }

    fn quantile(&self, of: fn(&Quantiles) -> f64) -> Option<f64> {
        self.traffic.latency_ms.as_ref().map(of)
    }

    /// Whether a person who looks for this text means this row.
    fn matches(&self, text: &str) -> bool {
        let identity = &self.identity;
        let names = [
            Some(self.name()),
            identity.container_id.as_deref(),
            identity.k8s_pod_uid.as_deref(),
            identity.systemd_unit.as_deref(),
        ];
        let numbers = [self.pid, identity.port.map(u32::from)];
        let is_named = names
            .into_iter()
            .flatten()
            .any(|it| it.to_lowercase().contains(text));
        is_named
            || numbers
                .into_iter()
                .flatten()
                .any(|it| it.to_string() == text)
    }
}

fn place(identity: &Identity) -> Option<&str> {
    let container = identity.container_id.as_deref().map(short);
    container.or(identity.systemd_unit.as_deref())
}

/// As much of a container's id as its runtime shows.
fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

/// All rows, in no order.
pub fn rows(document: &Document, by: By) -> Vec<Row> {
    match by {
        By::Process => document.processes.iter().map(of_process).collect(),
        By::Workload => document.workloads.iter().map(of_workload).collect(),
        By::Place => by_place(&document.workloads),
    }
}

fn of_process(process: &Process) -> Row {
    Row {
        key: process.id.clone(),
        pid: Some(process.pid),
        processes: usize::from(!process.exited),
        exited: process.exited,
        identity: process.identity.clone(),
        traffic: process.traffic.clone(),
        is_mixed: false,
    }
}

fn of_workload(workload: &Workload) -> Row {
    Row {
        key: format!("{:?}", workload.identity),
        pid: None,
        processes: workload.processes,
        exited: workload.processes == 0,
        identity: workload.identity.clone(),
        traffic: workload.traffic.clone(),
        is_mixed: false,
    }
}

fn by_place(workloads: &[Workload]) -> Vec<Row> {
    let mut places: BTreeMap<Identity, Row> = BTreeMap::new();
    for workload in workloads {
        let it = &workload.identity;
        let identity = Identity {
            name: Some(place(it).unwrap_or("elsewhere").to_owned()),
            port: None,
            ..it.clone()
        };
        match places.get_mut(&identity) {
            None => {
                let row = Row {
                    key: format!("{identity:?}"),
                    identity: identity.clone(),
                    ..of_workload(workload)
                };
                places.insert(identity, row);
            }
            Some(row) => {
                row.processes = row.processes.saturating_add(workload.processes);
                row.exited &= workload.processes == 0;
                row.is_mixed = true;
                add(&mut row.traffic, &workload.traffic);
            }
        }
    }
    places.into_values().collect()
}

fn add(sum: &mut Traffic, traffic: &Traffic) {
    // Whoever answers may be no agent.
    sum.requests = sum.requests.saturating_add(traffic.requests);
    sum.requests_per_second += traffic.requests_per_second;
    sum.grpc_errors_per_second += traffic.grpc_errors_per_second;
    sum.answers_15s += traffic.answers_15s;
    sum.server_errors_15s += traffic.server_errors_15s;
    sum.tls_unseen = sum.tls_unseen.saturating_add(traffic.tls_unseen);
    let (mut ours, mut theirs) = (
        sum.recent_requests_per_second.clone(),
        traffic.recent_requests_per_second.clone(),
    );
    if ours.len() < theirs.len() {
        std::mem::swap(&mut ours, &mut theirs);
    }
    // Both end now.
    let first = ours.len() - theirs.len();
    for (ours, theirs) in ours[first..].iter_mut().zip(theirs) {
        *ours += theirs;
    }
    sum.recent_requests_per_second = ours;
    for (status, rate) in &traffic.responses_per_second {
        *sum.responses_per_second.entry(status.clone()).or_default() += rate;
    }
    sum.latency_ms = match (sum.latency_ms, traffic.latency_ms) {
        (Some(a), Some(b)) => Some(Quantiles {
            p50: a.p50.max(b.p50),
            p90: a.p90.max(b.p90),
            p99: a.p99.max(b.p99),
            max: a.max.max(b.max),
        }),
        (a, b) => a.or(b),
    };
    sum.answers.extend(traffic.answers.iter().cloned());
    sum.grpc_calls.extend(traffic.grpc_calls.iter().cloned());
}

/// What somebody wants to see of all rows.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    pub by: By,
    pub order: Order,
    pub reversed: bool,
    /// A text that is in them, if not empty.
    pub filter: String,
}

impl Wish {
    pub fn shown(&self, document: &Document) -> Vec<Row> {
        let mut rows = rows(document, self.by);
        let filter = self.filter.trim().to_lowercase();
        if !filter.is_empty() {
            rows.retain(|row| row.matches(&filter));
        }
        rows.sort_by(|a, b| {
            let order = self.order.compare(a, b);
            if self.reversed {
                order.reverse()
            } else {
                order
            }
        });
        rows
    }

    /// By that, or, where it is so already, the other way round.
    pub fn order_by(&mut self, order: Order) {
        self.reversed = self.order == order && !self.reversed;
        self.order = order;
    }
}

impl Order {
    /// The first row is the one to look at.
    fn compare(self, a: &Row, b: &Row) -> Ordering {
        let down = |a: Option<f64>, b: Option<f64>| b.unwrap_or(-1.0).total_cmp(&a.unwrap_or(-1.0));
        let by = |of: fn(&Quantiles) -> f64| down(a.quantile(of), b.quantile(of));
        let rate = |row: &Row| Some(row.traffic.requests_per_second);
        let order = match self {
            Self::Rate => down(rate(a), rate(b)),
            Self::Errors => down(a.errors(), b.errors()),
            Self::P50 => by(|it| it.p50),
            Self::P90 => by(|it| it.p90),
            Self::P99 => by(|it| it.p99),
            Self::Max => by(|it| it.max),
            Self::Name => a.name().cmp(b.name()),
            Self::Pid => Ordering::Equal,
        };
        order.then(a.pid.cmp(&b.pid)).then(a.key.cmp(&b.key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traffic(rate: f64, errors: f64, p99: f64) -> Traffic {
        Traffic {
            requests_per_second: rate,
            recent_requests_per_second: vec![rate],
            answers_15s: 100.0,
            server_errors_15s: errors,
            latency_ms: Some(Quantiles {
                p99,
                ..Quantiles::default()
            }),
            ..Traffic::default()
        }
    }

    fn workload(name: &str, unit: &str, traffic: Traffic) -> Workload {
        Workload {
            processes: 2,
            identity: Identity {
                name: Some(name.to_owned()),
                port: Some(80),
                systemd_unit: Some(unit.to_owned()),
                ..Identity::default()
            },
            traffic,
        }
    }

    fn document() -> Document {
        let process = |pid: u32, name: &str, traffic| Process {
            pid,
            id: format!("{pid}.1"),
            identity: workload(name, "a.service", Traffic::default()).identity,
            traffic,
            ..Process::default()
        };
        Document {
            processes: vec![
                process(1, "b", traffic(5.0, 100.0, 3.0)),
                process(2, "a", traffic(7.0, 0.0, 9.0)),
                process(3, "c", traffic(7.0, 1.0, 1.0)),
            ],
            workloads: vec![
                workload("a", "one.service", traffic(7.0, 0.0, 9.0)),
                workload("b", "one.service", traffic(5.0, 50.0, 3.0)),
                workload("c", "two.service", traffic(1.0, 1.0, 1.0)),
            ],
            ..Document::default()
        }
    }

    fn pids(wish: &Wish) -> Vec<u32> {
        let rows = wish.shown(&document());
        rows.iter().map(|it| it.pid.unwrap()).collect()
    }

    #[test]
    fn orders_and_their_reverse() {
        let mut wish = Wish::default();
        assert_eq!(pids(&wish), [2, 3, 1]);
        for (order, expected) in [
            (Order::Errors, [1, 3, 2]),
            (Order::P99, [2, 1, 3]),
            (Order::Name, [2, 1, 3]),
            (Order::Pid, [1, 2, 3]),
        ] {
            wish.order_by(order);
            assert_eq!(pids(&wish), expected, "{order:?}");
            wish.order_by(order);
            let reversed: Vec<_> = expected.into_iter().rev().collect();
            assert_eq!(pids(&wish), reversed, "{order:?}");
            wish.order_by(order);
            assert_eq!(pids(&wish), expected, "{order:?}");
        }
    }

    #[test]
    fn a_filter_is_by_names_and_whole_numbers() {
        let of = |filter: &str| {
            let filter = filter.to_owned();
            pids(&Wish {
                filter,
                ..Wish::default()
            })
        };
        assert_eq!(of("B"), [1]);
        assert_eq!(of(" a.serv "), [2, 3, 1]);
        assert_eq!(of("3"), [3]);
        assert_eq!(of("80"), [2, 3, 1]);
        assert_eq!(of("8"), [0; 0]);
    }

    #[test]
    fn what_is_in_one_unit_is_one_row() {
        let wish = Wish {
            by: By::Place,
            ..Wish::default()
        };
        let rows = wish.shown(&document());
        let seen: Vec<_> = rows
            .iter()
            .map(|row| {
                (
                    row.name(),
                    row.processes,
                    row.traffic.requests_per_second,
                    row.errors(),
                )
            })
            .collect();
        let expected = [
            ("one.service", 4, 12.0, Some(0.25)),
            ("two.service", 2, 1.0, Some(0.01)),
        ];
        assert_eq!(seen, expected);
        assert!(rows[0].is_mixed && !rows[1].is_mixed);
        assert_eq!(rows[0].traffic.recent_requests_per_second, [12.0]);
        assert_eq!(rows[0].quantile(|it| it.p99), Some(9.0));
    }
}
