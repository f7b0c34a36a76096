// SPDX-License-Identifier: Apache-2.0
//! One row, with all that is known of it.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::Paragraph;

use crate::api::document::{Quantiles, Traffic};
use crate::terminal::draw::draw_trail;
use crate::terminal::rows::Row;
use crate::terminal::screen::Screen;
use crate::terminal::table::{duration, printable, rate, share};

/// Lines of the graph.
const GRAPH: u16 = 3;
/// Of a name or an id; longer ones are cut.
const LONGEST: usize = 100;
/// Of a word in a table.
const LONGEST_WORD: usize = 20;

const HEADS: [&str; 9] = [
    "METHOD", "STATUS", "HTTP", "COUNT", "MEAN", "P50", "P90", "P99", "MAX",
];

pub fn draw(screen: &mut Screen, index: usize, frame: &mut Frame<'_>, area: Rect) {
    let row = &screen.rows[index];
    let mut lines = facts(row);
    // The graph has room where the facts leave some.
    let graph = if area.height > lines.len() as u16 + GRAPH + 2 {
        GRAPH
    } else {
        0
    };
    let [top, rest] = Layout::vertical([Constraint::Length(graph), Constraint::Min(1)]).areas(area);
    draw_trail(screen, row, usize::from(top.width), frame, top);
    lines.extend(answers(&row.traffic));
    let last = lines.len().saturating_sub(usize::from(rest.height));
    screen.scroll = screen.scroll.min(last);
    let seen: Vec<_> = lines.into_iter().skip(screen.scroll).collect();
    frame.render_widget(Paragraph::new(seen), rest);
}

fn facts(row: &Row) -> Vec<Line<'static>> {
    let identity = &row.identity;
    let traffic = &row.traffic;
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let mut name = printable(row.name(), LONGEST);
    if row.exited {
        name.push_str(" (exited)");
    }
    let what = match row.pid {
        Some(pid) => format!("pid {pid}"),
        None => format!("{} processes", row.processes),
    };
    let port = identity.port.map(|port| format!("port {port}"));
    let places = [
        ("container", &identity.container_id),
        ("pod", &identity.k8s_pod_uid),
        ("unit", &identity.systemd_unit),
    ];
    let places = places.into_iter().filter_map(|(kind, name)| {
        let name = printable(name.as_deref()?, LONGEST);
        Some(Line::from(format!(" {kind} {name}")))
    });
    let told = [Some(what), port].into_iter().flatten();
    let mut lines = vec![
        Line::styled(format!(" {name}"), bold),
        Line::from(format!(" {}", told.collect::<Vec<_>>().join("   "))),
    ];
    lines.extend(places);
    let errors = row.errors().map_or_else(|| "-".to_owned(), share);
    lines.push(Line::from(format!(
        " {} requests/s   {} in all   {errors} of the answers are errors",
        rate(traffic.requests_per_second),
        traffic.requests
    )));
    if let Some(latency) = traffic.latency_ms {
        let bound = if row.is_mixed { " at most" } else { "" };
        let [p50, p90, p99, max] = of(latency);
        lines.push(Line::from(format!(
            " p50 {p50}   p90 {p90}   p99 {p99}   max {max}{bound}, of the last 15 s"
        )));
    }
    if traffic.tls_unseen > 0 {
        let text = format!(
            " {} TLS connections cannot be seen into",
            traffic.tls_unseen
        );
        lines.push(Line::from(text));
    }
    lines
}

fn of(latency: Quantiles) -> [String; 4] {
    [latency.p50, latency.p90, latency.p99, latency.max].map(duration)
}

/// A line for each kind of answers, under their heads.
fn answers(traffic: &Traffic) -> Vec<Line<'static>> {
    // Whoever answers may be no agent.
    let word = |text: &str| printable(text, LONGEST_WORD);
    let numbers = |count: u64, mean: f64, latency| {
        let [p50, p90, p99, max] = of(latency);
        [count.to_string(), duration(mean), p50, p90, p99, max]
    };
    let mut rows = vec![HEADS.map(str::to_owned)];
    for it in &traffic.answers {
        let version = match it.scheme.as_str() {
            "https" => format!("{} TLS", word(&it.version)),
            _ => word(&it.version),
        };
        let [count, mean, p50, p90, p99, max] = numbers(it.count, it.mean_ms, it.latency_ms);
        let (method, status) = (word(&it.method), word(&it.status));
        rows.push([method, status, version, count, mean, p50, p90, p99, max]);
    }
    for it in &traffic.grpc_calls {
        let [count, mean, p50, p90, p99, max] = numbers(it.count, it.mean_ms, it.latency_ms);
        let (method, status) = ("gRPC".to_owned(), word(&it.status));
        rows.push([
            method,
            status,
            "2".to_owned(),
            count,
            mean,
            p50,
            p90,
            p99,
            max,
        ]);
    }
    let width = |column: usize| {
        let lengths = rows.iter().map(|row| row[column].chars().count());
        lengths.max().unwrap_or(0)
    };
    let widths: [usize; HEADS.len()] = std::array::from_fn(width);
    let line = |row: &[String; HEADS.len()]| {
        let cells = row.iter().zip(widths).enumerate();
        let cells = cells.map(|(column, (cell, width))| {
            if column < 3 {
                format!(" {cell:<width$} ")
            } else {
                format!(" {cell:>width$} ")
            }
        });
        cells.collect::<String>()
    };
    let mut lines: Vec<_> = rows.iter().map(|row| Line::from(line(row))).collect();
    lines[0] = lines[0]
        .clone()
        .style(Style::new().add_modifier(Modifier::BOLD));
    lines
}
