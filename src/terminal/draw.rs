// SPDX-License-Identifier: Apache-2.0
//! Draws a screen. A colour says that something is wrong: nothing else has one.

use std::cmp::Reverse;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Paragraph, Row as Cells, Sparkline, Table};

use crate::terminal::detail;
use crate::terminal::rows::Row;
use crate::terminal::screen::{Drawn, Mode, Screen};
use crate::terminal::table::{Column, fit, printable, rate, width};

/// By what somebody needs first: as many as there is room for.
const KEYS: [&str; 13] = [
    "q quit",
    "g group",
    "/ filter",
    "↑↓ select",
    "⏎ detail",
    "space pause",
    "r req/s",
    "e errors",
    "9 p99",
    "n name",
    "i invert",
    "+- interval",
    "p pid  5 p50  0 p90  m max",
];
const KEYS_OF_DETAIL: [&str; 4] = ["q quit", "esc back", "↑↓ scroll", "space pause"];
const KEYS_OF_FILTER: [&str; 2] = ["⏎ done", "esc clear"];

pub fn draw(screen: &mut Screen, frame: &mut Frame<'_>) {
    let [head, body, missed, keys] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Min(2),
        Constraint::Length(1),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(head_of(screen, head.width), head);
    match (screen.mode, screen.selected()) {
        (Mode::Detail, Some(index)) => detail::draw(screen, index, frame, body),
        _ => draw_table(screen, frame, body),
    }
    frame.render_widget(missed_in(screen, missed.width), missed);
    let style = Style::new().add_modifier(Modifier::REVERSED);
    let keys_line = Paragraph::new(keys_of(screen.mode, keys.width)).style(style);
    frame.render_widget(keys_line, keys);
}

fn keys_of(mode: Mode, room: u16) -> String {
    let keys = match mode {
        Mode::Table => &KEYS[..],
        Mode::Detail => &KEYS_OF_DETAIL,
        Mode::Filter => &KEYS_OF_FILTER,
    };
    let mut line = String::new();
    for key in keys {
        if line.chars().count() + key.chars().count() + 1 > usize::from(room) {
            break;
        }
        line = format!("{line} {key}  ");
    }
    line
}

fn head_of(screen: &Screen, room: u16) -> Line<'static> {
    if let Some(lost) = &screen.lost {
        return Line::styled(format!(" {lost}"), Color::Red);
    }
    let document = &screen.document;
    let total = document.processes.iter();
    let total: f64 = total.map(|it| it.traffic.requests_per_second).sum();
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let mut parts = vec![
        format!("{} requests/s", rate(total)),
        format!("{} {}", screen.rows.len(), screen.wish.by.plural()),
    ];
    if document.processes_omitted > 0 {
        parts.push(format!("{} idle ones omitted", document.processes_omitted));
    }
    if screen.mode == Mode::Filter || !screen.wish.filter.is_empty() {
        let cursor = if screen.mode == Mode::Filter {
            "▏"
        } else {
            ""
        };
        parts.push(format!(
            "filter: {}{cursor}",
            printable(&screen.wish.filter, 40)
        ));
    }
    parts.push(if screen.paused {
        "paused".to_owned()
    } else {
        format!("every {} s", screen.interval().as_secs())
    });
    parts.push(format!("backend {}", printable(&document.backend, 40)));
    let host = printable(&document.host, 40);
    let mut used = host.chars().count() + 2;
    let mut line = vec![Span::styled(format!(" {host} "), bold)];
    for part in parts {
        used += part.chars().count() + 2;
        if used <= usize::from(room) {
            line.push(Span::raw(format!("  {part}")));
        }
    }
    Line::from(line)
}

fn draw_table(screen: &mut Screen, frame: &mut Frame<'_>, area: Rect) {
    let [heads, body] = Layout::vertical([Constraint::Length(1), Constraint::Min(1)]).areas(area);
    if screen.rows.is_empty() {
        let text = if screen.wish.filter.is_empty() {
            " Waiting for the first request, as of: curl http://127.0.0.1:8000/"
        } else {
            " Nothing matches the filter."
        };
        screen.drawn = Drawn::default();
        return frame.render_widget(Paragraph::new(text), area);
    }
    let selected = screen.selected();
    let height = usize::from(body.height);
    screen.scroll = first_row(screen.scroll, selected, screen.rows.len(), height);
    let seen = &screen.rows[screen.scroll..(screen.scroll + height).min(screen.rows.len())];
    let columns = fit(&screen.rows, &screen.wish, area.width);
    let table = width(&columns).min(area.width);
    let split = [Constraint::Length(table), Constraint::Min(0)];
    let [_, right_head] = Layout::horizontal(split).areas(heads);
    let [left, right] = Layout::horizontal(split).areas(area);
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let head_cells = columns.iter().map(|(column, _)| head_cell(screen, *column));
    let rows = seen.iter().enumerate().map(|(at, row)| {
        let cells = columns.iter().map(|(column, _)| cell(*column, row));
        let is_selected = selected == Some(screen.scroll + at);
        Cells::new(cells).style(style_of(row, is_selected))
    });
    let widths = columns.iter().map(|(_, width)| *width);
    let widget = Table::new(rows, widths).header(Cells::new(head_cells).style(bold));
    frame.render_widget(widget, left);
    let lines = right.rows().skip(1);
    for (row, line) in seen.iter().zip(lines) {
        let count = usize::from(line.width.saturating_sub(1));
        draw_trail(screen, row, count, frame, line);
    }
    let told = format!(
        " last {} s, each to its own scale",
        right.width.saturating_sub(1)
    );
    if usize::from(right.width) >= told.len() {
        frame.render_widget(Paragraph::new(told).style(bold), right_head);
    }
    screen.drawn = Drawn {
        heads,
        columns,
        body,
    };
}

/// With the row that is selected in sight.
fn first_row(scroll: usize, selected: Option<usize>, rows: usize, height: usize) -> usize {
    let last = rows.saturating_sub(height.max(1));
    let scroll = scroll.min(last);
    match selected {
        Some(index) if index < scroll => index,
        Some(index) if index >= scroll + height => index + 1 - height,
        _ => scroll,
    }
}

fn head_cell(screen: &Screen, column: Column) -> Cell<'static> {
    let head = column.head(screen.wish.by);
    let is_order = column.order() == Some(screen.wish.order);
    let mark = match (is_order, screen.wish.reversed) {
        (false, _) => "",
        (true, false) => "▼",
        (true, true) => "▲",
    };
    aligned(column, Span::raw(format!("{head}{mark}")))
}

fn cell(column: Column, row: &Row) -> Cell<'static> {
    let text = column.cell(row);
    let is_wrong = column == Column::Errors && row.errors().is_some_and(|share| share > 0.0);
    let style = if is_wrong {
        Style::new().fg(Color::Red)
    } else {
        Style::new()
    };
    aligned(column, Span::styled(text, style))
}

fn aligned(column: Column, text: Span<'static>) -> Cell<'static> {
    let line = Line::from(text);
    Cell::from(if column.is_number() {
        line.right_aligned()
    } else {
        line
    })
}

fn style_of(row: &Row, is_selected: bool) -> Style {
    let style = if row.exited {
        Style::new().add_modifier(Modifier::DIM)
    } else {
        Style::new()
    };
    if is_selected {
        style.add_modifier(Modifier::REVERSED)
    } else {
        style
    }
}

/// The latest seconds.
pub fn draw_trail(screen: &Screen, row: &Row, count: usize, frame: &mut Frame<'_>, area: Rect) {
    // Rates below one are to be seen as well.
    let trail = screen.trails.of(row, count);
    let data: Vec<_> = trail.map(|it| (it * 1000.0) as u64).collect();
    frame.render_widget(Sparkline::default().data(data), area);
}

fn missed_in(screen: &Screen, room: u16) -> Line<'static> {
    let mut some: Vec<_> = screen.document.missed.iter().collect();
    some.retain(|(_, count)| **count > 0);
    if some.is_empty() {
        return Line::from(" nothing missed");
    }
    some.sort_by_key(|(_, count)| Reverse(**count));
    let words = some
        .iter()
        .map(|(why, count)| format!("{} {count}", printable(why, 40)));
    let mut line = " missed:".to_owned();
    for (told, word) in words.enumerate() {
        let left = format!(" and {} more", some.len() - told);
        let is_last = told + 1 == some.len();
        let needed = line.len() + word.len() + 2 + if is_last { 0 } else { left.len() };
        if needed > usize::from(room) {
            line.push_str(&left);
            break;
        }
        line = format!("{line} {word}{}", if is_last { "" } else { "," });
    }
    Line::styled(line, Color::Yellow)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use ratatui::crossterm::event::{
        Event, KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind,
    };

    use crate::api::document::{Answers, Document, Identity, Process, Quantiles, Traffic};
    use crate::terminal::asked::Answer;

    use super::*;

    fn process(pid: u32, name: &str, rates: &[f64]) -> Process {
        Process {
            pid,
            id: format!("{pid}.1"),
            identity: Identity {
                name: Some(name.to_owned()),
                ..Identity::default()
            },
            traffic: Traffic {
                requests_per_second: *rates.last().unwrap(),
                recent_requests_per_second: rates.to_vec(),
                latency_ms: Some(Quantiles {
                    p50: 1.5,
                    p90: 2.5,
                    p99: 3.5,
                    max: 4.5,
                }),
                answers: vec![Answers {
                    method: "GET".to_owned(),
                    status: "200".to_owned(),
                    version: "1.1".to_owned(),
                    count: 97,
                    ..Answers::default()
                }],
                ..Traffic::default()
            },
            ..Process::default()
        }
    }

    fn screen(processes: Vec<Process>) -> Screen {
        let mut screen = Screen::new(Duration::from_secs(1));
        let missed = [("io_uring".to_owned(), 7), ("compat".to_owned(), 0)];
        screen.take(Answer {
            document: Document {
                host: "node-7".to_owned(),
                backend: "sock".to_owned(),
                missed: BTreeMap::from(missed),
                processes,
                ..Document::default()
            },
            last_minute: Vec::new(),
        });
        screen
    }

    fn lines(screen: &mut Screen, width: u16) -> Vec<String> {
        lines_of(screen, width, 7)
    }

    fn lines_of(screen: &mut Screen, width: u16, height: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(screen, frame)).unwrap();
        let text = terminal.backend().to_string();
        text.lines().map(str::to_owned).collect()
    }

    fn press(screen: &mut Screen, code: KeyCode) -> bool {
        screen.obey(&Event::Key(KeyEvent::new(code, KeyModifiers::NONE)))
    }

    fn write(screen: &mut Screen, text: &str) {
        for letter in text.chars() {
            assert!(press(screen, KeyCode::Char(letter)));
        }
    }

    fn click(screen: &mut Screen, column: u16, row: u16) {
        let mouse = MouseEvent {
            kind: MouseEventKind::Down(MouseButton::Left),
            column,
            row,
            modifiers: KeyModifiers::NONE,
        };
        assert!(screen.obey(&Event::Mouse(mouse)));
    }

    fn two() -> Screen {
        screen(vec![
            process(8, "quiet", &[1.0]),
            process(7, "server", &[0.0, 2.0, 4.0]),
        ])
    }

    #[test]
    fn shows_the_busiest_first_with_its_last_seconds() {
        let mut screen = two();
        let shown = lines(&mut screen, 100);
        assert!(
            shown[0].contains("node-7   5.00 requests/s  2 processes"),
            "{shown:?}"
        );
        assert!(shown[0].contains("backend sock"), "{shown:?}");
        assert!(shown[1].contains("REQ/S▼"), "{shown:?}");
        assert!(shown[2].contains("7 server"), "{shown:?}");
        for number in ["4.00", "1.50ms", "2.50ms", "3.50ms", "4.50ms", " ▄█"] {
            assert!(shown[2].contains(number), "{number}: {shown:?}");
        }
        assert!(shown[3].contains("8 quiet"), "{shown:?}");
        assert!(shown[5].contains("missed: io_uring 7"), "{shown:?}");
        assert!(shown[6].contains("q quit"), "{shown:?}");
    }

    #[test]
    fn keys_and_clicks_order_and_a_mark_says_how() {
        let mut screen = two();
        let first = |screen: &mut Screen| lines(screen, 100)[2].clone();
        write(&mut screen, "n");
        assert!(first(&mut screen).contains("8 quiet"));
        write(&mut screen, "n");
        assert!(first(&mut screen).contains("7 server"));
        assert!(lines(&mut screen, 100)[1].contains("PROCESS▲"));
        // The head of the first column.
        click(&mut screen, 1, 1);
        assert!(first(&mut screen).contains("7 server"));
        assert!(lines(&mut screen, 100)[1].contains("PID▼"));
        write(&mut screen, "i");
        assert!(first(&mut screen).contains("8 quiet"));
    }

    #[test]
    fn a_filter_is_written_and_cleared() {
        let mut screen = two();
        write(&mut screen, "/qui");
        let shown = lines(&mut screen, 100);
        assert!(shown[0].contains("filter: qui▏"), "{shown:?}");
        assert!(shown[2].contains("8 quiet") && !shown[3].contains("server"));
        // Letters that are keys elsewhere are part of it.
        write(&mut screen, "q");
        assert!(lines(&mut screen, 100)[1].contains("Nothing matches"));
        press(&mut screen, KeyCode::Backspace);
        press(&mut screen, KeyCode::Enter);
        assert!(lines(&mut screen, 100)[0].contains("filter: qui "));
        assert!(press(&mut screen, KeyCode::Esc));
        assert!(lines(&mut screen, 100)[3].contains("quiet"));
        assert!(!press(&mut screen, KeyCode::Esc));
    }

    #[test]
    fn a_row_is_selected_wherever_it_goes_and_opened() {
        let mut screen = two();
        lines(&mut screen, 100);
        // The second row.
        click(&mut screen, 3, 3);
        assert_eq!(screen.selected(), Some(1));
        write(&mut screen, "n");
        assert_eq!(screen.selected(), Some(0));
        press(&mut screen, KeyCode::Enter);
        let shown = lines_of(&mut screen, 100, 16).join("\n");
        for part in ["quiet", "pid 8", "GET", "200", "97"] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        assert!(press(&mut screen, KeyCode::Esc));
        assert!(lines(&mut screen, 100)[1].contains("PROCESS"));
        lines(&mut screen, 100);
        press(&mut screen, KeyCode::Down);
        press(&mut screen, KeyCode::Down);
        assert_eq!(screen.selected(), Some(1));
        // A second click opens, another one closes.
        click(&mut screen, 3, 3);
        assert_eq!(screen.mode, Mode::Detail);
        click(&mut screen, 3, 3);
        assert_eq!(screen.mode, Mode::Table);
        assert!(!press(&mut screen, KeyCode::Char('q')));
    }

    #[test]
    fn groups_pauses_and_changes_its_interval() {
        let mut screen = two();
        write(&mut screen, " ++");
        let head = lines(&mut screen, 100)[0].clone();
        assert!(screen.paused && head.contains("paused"), "{head}");
        write(&mut screen, " -");
        assert!(lines(&mut screen, 100)[0].contains("every 2 s"));
        write(&mut screen, "g");
        assert!(lines(&mut screen, 100)[0].contains("0 workloads"));
    }

    #[test]
    fn what_is_missed_never_loses_digits() {
        let mut screen = two();
        for (why, count) in [("requests_lost", 123_456), ("unmatched", 98_765)] {
            screen.document.missed.insert(why.to_owned(), count);
        }
        let missed = |screen: &mut Screen, width| lines(screen, width)[5].clone();
        let all = "missed: requests_lost 123456, unmatched 98765, io_uring 7";
        assert!(missed(&mut screen, 80).contains(all));
        assert!(missed(&mut screen, 50).contains("requests_lost 123456, and 2 more"));
        for width in 10..80 {
            let line = missed(&mut screen, width);
            let words = line.split(|it: char| !it.is_ascii_digit());
            for number in words.filter(|it| !it.is_empty()) {
                assert!(
                    ["123456", "98765", "7", "1", "2", "3"].contains(&number),
                    "{line}"
                );
            }
        }
    }

    #[test]
    fn a_quiet_host_and_a_lost_agent_are_said() {
        let mut screen = screen(Vec::new());
        assert!(lines(&mut screen, 100)[1].contains("Waiting for the first request"));
        screen.lost = Some("no agent is running".to_owned());
        assert!(lines(&mut screen, 100)[0].contains("no agent is running"));
    }
}
