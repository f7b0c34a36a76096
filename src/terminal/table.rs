// SPDX-License-Identifier: Apache-2.0
//! Rows as a table: which columns there is room for, and what stands in them. Numbers are never cut: where a terminal is narrow, columns
//! go as a whole.

use std::fmt::Write;

use crate::api::document::{Document, Quantiles};
use crate::terminal::rows::{By, Order, Row, Wish};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    Pid,
    Name,
    Place,
    Port,
    Processes,
    Rate,
    Errors,
    P50,
    P90,
    P99,
    Max,
    UnseenTls,
}

/// Columns that make room, the first one first.
const EXPENDABLE: [Column; 9] = [
    Column::UnseenTls,
    Column::Port,
    Column::Place,
    Column::P90,
    Column::Max,
    Column::Processes,
    Column::P50,
    Column::Errors,
    Column::P99,
];
/// Of these an empty one says nothing, and is left out at once.
const OPTIONAL: [Column; 3] = [Column::UnseenTls, Column::Port, Column::Place];
/// What the last seconds need to be seen.
const SECONDS: u16 = 16;
/// Of a name at most, and at least where there is no room. Names may be cut.
const LONGEST_NAME: usize = 24;
const SHORTEST_NAME: u16 = 8;

impl Column {
    pub fn all(by: By) -> Vec<Self> {
        let (first, more) = match by {
            By::Process => (vec![Self::Pid, Self::Name, Self::Place, Self::Port], None),
            By::Workload => (
                vec![Self::Name, Self::Place, Self::Port],
                Some(Self::Processes),
            ),
            By::Place => (vec![Self::Name], Some(Self::Processes)),
        };
        let rest = [
            Self::Rate,
            Self::Errors,
            Self::P50,
            Self::P90,
            Self::P99,
            Self::Max,
            Self::UnseenTls,
        ];
        first.into_iter().chain(more).chain(rest).collect()
    }

    pub fn head(self, by: By) -> &'static str {
        match self {
            Self::Pid => "PID",
            Self::Name => match by {
                By::Process => "PROCESS",
                By::Workload => "WORKLOAD",
                By::Place => "CONTAINER OR UNIT",
            },
            Self::Place => "WHERE",
            Self::Port => "PORT",
            Self::Processes => "PROCS",
            Self::Rate => "REQ/S",
            Self::Errors => "ERRORS",
            Self::P50 => "P50",
            Self::P90 => "P90",
            Self::P99 => "P99",
            Self::Max => "MAX",
            Self::UnseenTls => "UNSEEN TLS",
        }
    }

    pub fn is_number(self) -> bool {
        !matches!(self, Self::Name | Self::Place)
    }

    /// What a click on its head orders by.
    pub fn order(self) -> Option<Order> {
        Some(match self {
            Self::Pid => Order::Pid,
            Self::Name => Order::Name,
            Self::Rate => Order::Rate,
            Self::Errors => Order::Errors,
            Self::P50 => Order::P50,
            Self::P90 => Order::P90,
            Self::P99 => Order::P99,
            Self::Max => Order::Max,
            Self::Place | Self::Port | Self::Processes | Self::UnseenTls => return None,
        })
    }

    pub fn cell(self, row: &Row) -> String {
        let quantile = |of: fn(&Quantiles) -> f64| {
            let bound = if row.is_mixed { "≤" } else { "" };
            let ms = row.traffic.latency_ms.as_ref().map(of);
            ms.map_or_else(nothing, |ms| format!("{bound}{}", duration(ms)))
        };
        match self {
            Self::Pid => row.pid.map_or_else(nothing, |pid| pid.to_string()),
            Self::Name => printable(row.name(), LONGEST_NAME),
            Self::Place => row
                .place()
                .map_or_else(nothing, |it| printable(it, LONGEST_NAME)),
            Self::Port => row
                .identity
                .port
                .map_or_else(nothing, |port| port.to_string()),
            Self::Processes => row.processes.to_string(),
            Self::Rate => rate(row.traffic.requests_per_second),
            Self::Errors => row.errors().map_or_else(nothing, share),
            Self::P50 => quantile(|it| it.p50),
            Self::P90 => quantile(|it| it.p90),
            Self::P99 => quantile(|it| it.p99),
            Self::Max => quantile(|it| it.max),
            Self::UnseenTls => match row.traffic.tls_unseen {
                0 => nothing(),
                connections => connections.to_string(),
            },
        }
    }
}

/// A column, and how wide it is.
pub type Columns = Vec<(Column, u16)>;

/// What columns take together, with what is between them.
pub fn width(columns: &Columns) -> u16 {
    columns.iter().map(|(_, width)| width + 1).sum()
}

/// Those that there is room for, with what is in them.
pub fn fit(rows: &[Row], wish: &Wish, room: u16) -> Columns {
    let mut columns: Columns = Column::all(wish.by)
        .into_iter()
        .filter_map(|column| {
            let lengths = rows.iter().map(|row| column.cell(row));
            let is_empty = OPTIONAL.contains(&column) && lengths.clone().all(|it| it == "-");
            let longest = lengths.map(|it| it.chars().count()).max().unwrap_or(0);
            // With the mark of the order.
            let head = column.head(wish.by).len() + usize::from(column.order().is_some());
            (!is_empty).then_some((column, longest.max(head) as u16))
        })
        .collect();
    for column in EXPENDABLE {
        if width(&columns) + SECONDS <= room {
            return columns;
        }
        // One that the rows are ordered by says why they are so.
        if column.order() != Some(wish.order) {
            columns.retain(|(it, _)| *it != column);
        }
    }
    let over = width(&columns).saturating_sub(room);
    for (column, width) in &mut columns {
        if *column == Column::Name {
            *width = width.saturating_sub(over).max(SHORTEST_NAME.min(*width));
        }
    }
    // What is still too much goes from the left: the pid, and at last the name.
    while width(&columns) > room && columns.len() > 1 {
        columns.remove(0);
    }
    columns
}

/// Everything as text, the busiest process first.
pub fn text(document: &Document) -> String {
    let wish = Wish::default();
    let rows = wish.shown(document);
    let columns = fit(&rows, &wish, u16::MAX);
    let line = |cells: &mut dyn Iterator<Item = (Column, u16, String)>| {
        let mut line = String::new();
        for (column, width, cell) in cells {
            let width = usize::from(width);
            // Writing to a string cannot fail.
            let _ = if column.is_number() {
                write!(line, "{cell:>width$}  ")
            } else {
                write!(line, "{cell:<width$}  ")
            };
        }
        line.trim_end().to_owned() + "\n"
    };
    let heads = columns
        .iter()
        .map(|(column, width)| (*column, *width, column.head(wish.by).to_owned()));
    let mut text = line(&mut { heads });
    for row in &rows {
        let cells = columns
            .iter()
            .map(|(column, width)| (*column, *width, column.cell(row)));
        text.push_str(&line(&mut { cells }));
    }
    text
}

/// A process may call itself what it likes, and a terminal obeys control characters.
pub fn printable(name: &str, longest: usize) -> String {
    let shown = |it: char| if it.is_control() { '\u{fffd}' } else { it };
    if name.chars().count() <= longest {
        return name.chars().map(shown).collect();
    }
    let kept = name.chars().take(longest - 1).map(shown);
    kept.chain(['…']).collect()
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

pub fn duration(ms: f64) -> String {
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
    use crate::api::document::{Identity, Process, Traffic};

    use super::*;

    fn process(pid: u32, name: &str, rate: f64, errors: f64) -> Process {
        Process {
            pid,
            id: format!("{pid}.1"),
            exited: false,
            identity: Identity {
                name: Some(name.to_owned()),
                port: Some(8080),
                ..Identity::default()
            },
            traffic: Traffic {
                requests_per_second: rate,
                answers_15s: 100.0,
                server_errors_15s: errors,
                latency_ms: Some(Quantiles {
                    p50: 0.388,
                    p90: 99.0,
                    p99: 1234.5,
                    max: 2000.0,
                }),
                ..Traffic::default()
            },
        }
    }

    fn document() -> Document {
        let mut idle = process(7, "idle", 0.0, 0.0);
        idle.traffic.tls_unseen = 57;
        idle.traffic.answers_15s = 0.0;
        Document {
            processes: vec![idle, process(4_194_304, "server\x1b[2J", 123_456.4, 3.0)],
            ..Document::default()
        }
    }

    #[test]
    fn columns_are_aligned_and_the_busiest_is_first() {
        let expected =
            "    PID  PROCESS      PORT  REQ/S   ERRORS    P50     P90    P99    MAX  UNSEEN TLS\n";
        let text = text(&document());
        let lines: Vec<_> = text.lines().collect();
        let words = |line: &str| {
            line.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(words(lines[0]), words(expected));
        assert_eq!(
            words(lines[1]),
            [
                "4194304",
                "server\u{fffd}[2J",
                "8080",
                "123456",
                "3.0%",
                "388us",
                "99.0ms",
                "1.23s",
                "2.00s",
                "-"
            ]
        );
        assert_eq!(words(lines[2])[9], "57");
        // Numbers end where their heads do.
        for head in ["REQ/S", "P50", "MAX", "UNSEEN TLS"] {
            let end = lines[0].find(head).unwrap() + head.len();
            let before = lines[1].chars().nth(end - 1);
            assert!(before.is_some_and(|it| it != ' '), "{head}\n{text}");
        }
    }

    /// At any width whatever is shown is whole, and the last seconds go before nothing but what is expendable.
    #[test]
    fn a_narrow_terminal_has_fewer_columns_and_all_of_their_digits() {
        let wish = Wish::default();
        let rows = wish.shown(&document());
        for room in 5..200 {
            let columns = fit(&rows, &wish, room);
            assert!(
                width(&columns) <= room || columns.len() == 1,
                "{room}: {columns:?}"
            );
            for (column, width) in &columns {
                for row in rows.iter().filter(|_| column.is_number()) {
                    let length = column.cell(row).chars().count();
                    assert!(length <= usize::from(*width), "{room}: {column:?}");
                }
            }
        }
        let heads = |room| -> Vec<_> {
            let columns = fit(&rows, &wish, room);
            columns.iter().map(|(it, _)| it.head(By::Process)).collect()
        };
        // Nothing is in a container: no room for that.
        assert!(!heads(200).contains(&"WHERE"));
        assert_eq!(
            heads(80),
            [
                "PID", "PROCESS", "PORT", "REQ/S", "ERRORS", "P50", "P90", "P99", "MAX"
            ]
        );
        assert_eq!(
            heads(66),
            ["PID", "PROCESS", "REQ/S", "ERRORS", "P50", "P99"]
        );
        assert_eq!(heads(40), ["PID", "PROCESS", "REQ/S"]);
        assert_eq!(heads(9), ["REQ/S"]);
    }

    #[test]
    fn what_the_rows_are_ordered_by_stays() {
        let wish = Wish {
            order: Order::P90,
            ..Wish::default()
        };
        let columns = fit(&wish.shown(&document()), &wish, 50);
        assert!(columns.iter().any(|(it, _)| *it == Column::P90));
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
        assert_eq!(printable("a-very-long-name", 6), "a-ver…");
    }
}
