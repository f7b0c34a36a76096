// SPDX-License-Identifier: Apache-2.0
//! The processes as a table, for the terminal.

use std::cmp::Ordering;
use std::fmt::Write;

use crate::page::view::{Process, View};

/// What the rows are ordered by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    #[default]
    Rate,
    Errors,
    P99,
    Name,
    Pid,
}

impl Order {
    /// The first row is the one to look at.
    fn compare(self, a: &Process, b: &Process) -> Ordering {
        let down = |a: Option<f64>, b: Option<f64>| b.unwrap_or(-1.0).total_cmp(&a.unwrap_or(-1.0));
        let order = match self {
            Self::Rate => b.requests_per_second.total_cmp(&a.requests_per_second),
            Self::Errors => down(a.errors(), b.errors()),
            Self::P99 => down(a.p99_ms, b.p99_ms),
            Self::Name => a.name.cmp(&b.name),
            Self::Pid => Ordering::Equal,
        };
        order.then(a.pid.cmp(&b.pid))
    }

    pub fn sort(self, processes: &mut [Process]) {
        processes.sort_by(|a, b| self.compare(a, b));
    }
}

/// Heads of the columns, and whether they are of numbers.
pub const COLUMNS: [(&str, bool); 10] = [
    ("PID", true),
    ("PROCESS", false),
    ("CONTAINER", false),
    ("REQ/S", true),
    ("ERRORS", true),
    ("P50", true),
    ("P90", true),
    ("P99", true),
    ("MAX", true),
    ("UNSEEN TLS", true),
];

pub fn cells(process: &Process) -> [String; COLUMNS.len()] {
    let container = process.container.as_deref().unwrap_or("-");
    [
        process.pid.to_string(),
        printable(&process.name),
        container.chars().take(12).collect(),
        rate(process.requests_per_second),
        process.errors().map_or_else(nothing, share),
        process.p50_ms.map_or_else(nothing, duration),
        process.p90_ms.map_or_else(nothing, duration),
        process.p99_ms.map_or_else(nothing, duration),
        process.max_ms.map_or_else(nothing, duration),
        match process.tls_unseen {
            0 => nothing(),
            connections => connections.to_string(),
        },
    ]
}

/// Everything as text, the busiest process first.
pub fn text(mut view: View) -> String {
    Order::Rate.sort(&mut view.processes);
    let heads = COLUMNS.map(|(head, _)| head.to_owned());
    let rows: Vec<_> = [heads]
        .into_iter()
        .chain(view.processes.iter().map(cells))
        .collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let lengths = rows.iter().map(|row| row[column].chars().count());
            let width = lengths.max().unwrap_or(0);
            // Writing to a string cannot fail.
            let _ = if COLUMNS[column].1 {
                write!(line, "{cell:>width$}  ")
            } else {
                write!(line, "{cell:<width$}  ")
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A process may call itself what it likes, and a terminal obeys control characters.
fn printable(name: &str) -> String {
    name.chars()
        .map(|it| if it.is_control() { '\u{fffd}' } else { it })
        .collect()
}

fn nothing() -> String {
    "-".to_owned()
}

pub fn rate(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

pub fn share(value: f64) -> String {
    match value * 100.0 {
        0.0 => "0%".to_owned(),
        10.0.. => format!("{:.0}%", value * 100.0),
        percent if percent < 0.1 => "<0.1%".to_owned(),
        percent => format!("{percent:.1}%"),
    }
}

fn duration(ms: f64) -> String {
    match ms {
        1000.0.. => format!("{:.2}s", ms / 1000.0),
        100.0.. => format!("{ms:.0}ms"),
        10.0.. => format!("{ms:.1}ms"),
        1.0.. => format!("{ms:.2}ms"),
        _ => format!("{:.0}us", ms * 1000.0),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn process(pid: u32, name: &str, rate: f64, answers: &[(u16, u64)]) -> Process {
        Process {
            pid,
            start_time: 1,
            name: name.to_owned(),
            container: None,
            exited: false,
            requests: 1,
            requests_per_second: rate,
            tls_unseen: 0,
            answers: answers.iter().copied().collect(),
            p50_ms: Some(0.25),
            p90_ms: Some(99.0),
            p99_ms: Some(1234.5),
            max_ms: Some(2000.0),
            points: Vec::new(),
            series: None,
        }
    }

    fn view(processes: Vec<Process>) -> View {
        View {
            date: 0,
            host: "host".to_owned(),
            version: String::new(),
            backend: String::new(),
            missed: BTreeMap::new(),
            whole: true,
            hidden: 0,
            processes,
        }
    }

    #[test]
    fn columns_are_aligned_and_the_busiest_is_first() {
        let idle = Process {
            tls_unseen: 57,
            ..process(7, "idle", 0.0, &[])
        };
        let text = text(view(vec![
            idle,
            process(4_194_304, "server\x1b[2J", 1234.4, &[(200, 97), (500, 3)]),
        ]));
        let expected = "    PID  PROCESS     CONTAINER  REQ/S  ERRORS    P50     P90    P99    MAX  UNSEEN TLS\n\
                        4194304  server\u{fffd}[2J  -           1234    3.0%  250us  99.0ms  1.23s  2.00s           -\n      \
                        7  idle        -              0       -  250us  99.0ms  1.23s  2.00s          57\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn orders() {
        let order = |order: Order| {
            let mut processes = vec![
                process(1, "b", 5.0, &[(500, 1)]),
                process(2, "a", 7.0, &[(200, 1)]),
                process(3, "c", 7.0, &[]),
            ];
            order.sort(&mut processes);
            processes.iter().map(|it| it.pid).collect::<Vec<_>>()
        };
        assert_eq!(order(Order::Rate), [2, 3, 1]);
        assert_eq!(order(Order::Errors), [1, 2, 3]);
        assert_eq!(order(Order::Name), [2, 1, 3]);
        assert_eq!(order(Order::Pid), [1, 2, 3]);
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(
            [0.0, 4.98, 54.04, 6749.2].map(rate),
            ["0", "4.98", "54.0", "6749"]
        );
        assert_eq!(
            [0.0, 0.0001, 0.012, 0.5].map(share),
            ["0%", "<0.1%", "1.2%", "50%"]
        );
        assert_eq!(
            [0.059, 4.184, 37.04, 993.2, 1730.0].map(duration),
            ["59us", "4.18ms", "37.0ms", "993ms", "1.73s"]
        );
    }
}
