// SPDX-License-Identifier: Apache-2.0
//! `scope-http-statistics top`: the processes of a running agent, live in the terminal.

use std::mem::take;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Row, Sparkline, Table};
use ratatui::{DefaultTerminal, Frame};
use rustix::termios::isatty;
use tokio::runtime::Runtime;

use crate::page::view::{Process, View};
use crate::terminal::asked::Agent;
use crate::terminal::table::{COLUMNS, Order, cells, rate};

const INTERVAL: Duration = Duration::from_secs(1);
const KEYS: &str = " q quit   sort by: r requests/s  e errors  9 p99  n name  p pid   ↑↓ scroll";
const WIDTHS: [u16; COLUMNS.len()] = [8, 24, 13, 9, 8, 8, 8, 8, 8, 11];
/// Columns that make room where a terminal is narrow, the first one first. None is ever cut.
const EXPENDABLE: [&str; 7] = [
    "UNSEEN TLS",
    "CONTAINER",
    "P90",
    "MAX",
    "P50",
    "ERRORS",
    "P99",
];
/// What the last seconds need to be seen.
const SECONDS: u16 = 16;

/// An agent answers much faster, and where there is none, that is known at once.
const FIRST: Duration = Duration::from_millis(500);
/// How long a key may have to wait while the agent is asked.
const STEP: Duration = Duration::from_millis(50);

/// Shows until a key ends it.
pub fn run(runtime: &Runtime, socket: &Path) -> Result<()> {
    let mut agent = Agent::new(runtime, socket);
    agent.ask();
    // Where there is no agent, the terminal stays as it is.
    let first = agent.answer_within(FIRST).transpose()?;
    ensure!(
        isatty(std::io::stdout()),
        "top needs a terminal: for a pipe there is `scope-http-statistics report --table`"
    );
    let mut screen = first.map_or_else(Screen::waiting, Screen::new);
    ratatui::run(|terminal| screen.follow(terminal, &mut agent))
}

struct Screen {
    view: View,
    order: Order,
    scroll: usize,
    /// Why the view is not of now.
    lost: Option<String>,
}

impl Screen {
    fn new(view: View) -> Self {
        Self {
            view,
            order: Order::default(),
            scroll: 0,
            lost: None,
        }
    }

    /// There is no view yet.
    fn waiting() -> Self {
        Self {
            lost: Some("the agent has not answered yet".to_owned()),
            ..Self::new(View::default())
        }
    }

    fn follow(&mut self, terminal: &mut DefaultTerminal, agent: &mut Agent<'_>) -> Result<()> {
        let mut next = Instant::now() + INTERVAL;
        loop {
            match agent.answer_within(STEP) {
                Some(Ok(view)) => (self.view, self.lost) = (view, None),
                Some(Err(error)) => self.lost = Some(format!("{error:#}")),
                None => {}
            }
            terminal.draw(|frame| self.draw(frame))?;
            let wait = if agent.is_asked() {
                Duration::ZERO
            } else {
                next.saturating_duration_since(Instant::now())
            };
            if event::poll(wait)? {
                if let Event::Key(key) = event::read()?
                    && key.kind == KeyEventKind::Press
                    && !self.press(key)
                {
                    return Ok(());
                }
            } else if !agent.is_asked() {
                next = Instant::now() + INTERVAL;
                agent.ask();
            }
        }
    }

    /// Whether to go on.
    fn press(&mut self, key: KeyEvent) -> bool {
        match key.code {
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return false,
            KeyCode::Char('q') | KeyCode::Esc => return false,
            KeyCode::Char('r') => self.order = Order::Rate,
            KeyCode::Char('e') => self.order = Order::Errors,
            KeyCode::Char('9') => self.order = Order::P99,
            KeyCode::Char('n') => self.order = Order::Name,
            KeyCode::Char('p') => self.order = Order::Pid,
            KeyCode::Down => self.scroll += 1,
            KeyCode::Up => self.scroll = self.scroll.saturating_sub(1),
            _ => {}
        }
        true
    }

    fn draw(&mut self, frame: &mut Frame<'_>) {
        let [head, body, missed, keys] = Layout::vertical([
            Constraint::Length(1),
            Constraint::Min(2),
            Constraint::Length(1),
            Constraint::Length(1),
        ])
        .areas(frame.area());
        self.order.sort(&mut self.view.processes);
        self.scroll = self.scroll.min(self.view.processes.len().saturating_sub(1));
        frame.render_widget(self.head(), head);
        self.draw_processes(frame, body);
        frame.render_widget(self.missed(), missed);
        let style = Style::new().add_modifier(Modifier::REVERSED);
        frame.render_widget(Paragraph::new(KEYS).style(style), keys);
    }

    fn head(&self) -> Line<'_> {
        if let Some(lost) = &self.lost {
            return Line::styled(format!(" {lost}"), Color::Red);
        }
        let processes = &self.view.processes;
        let total: f64 = processes.iter().map(|it| it.requests_per_second).sum();
        Line::from(vec![
            Span::styled(
                " HTTP statistics ",
                Style::new().add_modifier(Modifier::BOLD),
            ),
            Span::raw(format!(
                "{}   {} requests/s   {} processes   backend {}",
                self.view.host,
                rate(total),
                processes.len(),
                self.view.backend
            )),
        ])
    }

    fn draw_processes(&self, frame: &mut Frame<'_>, area: Rect) {
        let columns = columns(area.width);
        let widths = columns.iter().map(|column| WIDTHS[*column]);
        let table = wide(&columns);
        let [left, right] =
            Layout::horizontal([Constraint::Length(table), Constraint::Min(0)]).areas(area);
        if self.view.processes.is_empty() {
            let text = " Waiting for the first request, as of: curl http://127.0.0.1:8000/";
            return frame.render_widget(Paragraph::new(text), area);
        }
        let heads = columns.iter();
        let heads = heads.map(|column| aligned(*column, COLUMNS[*column].0.to_owned()));
        let seen = &self.view.processes[self.scroll..];
        let rows = seen.iter().map(|process| {
            let mut row = cells(process);
            let cells = columns
                .iter()
                .map(|column| (*column, take(&mut row[*column])));
            let row = Row::new(
                cells
                    .map(|(column, cell)| aligned(column, cell))
                    .collect::<Vec<_>>(),
            );
            row.style(style(process))
        });
        let bold = Style::new().add_modifier(Modifier::BOLD);
        frame.render_widget(
            Table::new(rows, widths).header(Row::new(heads).style(bold)),
            left,
        );
        for (process, line) in seen.iter().zip(right.rows().skip(1)) {
            draw_minute(frame, process, line);
        }
    }

    fn missed(&self) -> Line<'_> {
        let some = self.view.missed.iter().filter(|(_, count)| **count > 0);
        let some: Vec<_> = some.map(|(why, count)| format!("{why} {count}")).collect();
        if some.is_empty() {
            Line::from(" nothing missed")
        } else {
            Line::styled(format!(" missed: {}", some.join(", ")), Color::Yellow)
        }
    }
}

/// What columns take together, with what is between them.
fn wide(columns: &[usize]) -> u16 {
    let widths = columns.iter().map(|column| WIDTHS[*column] + 1);
    widths.sum()
}

/// The columns that there is room for.
fn columns(width: u16) -> Vec<usize> {
    let mut columns: Vec<_> = (0..COLUMNS.len()).collect();
    for head in EXPENDABLE {
        if wide(&columns) + SECONDS <= width {
            break;
        }
        columns.retain(|column| COLUMNS[*column].0 != head);
    }
    columns
}

fn aligned(column: usize, text: String) -> Line<'static> {
    if COLUMNS[column].1 {
        Line::from(text).right_aligned()
    } else {
        Line::from(text)
    }
}

fn style(process: &Process) -> Style {
    if process.exited {
        Style::new().add_modifier(Modifier::DIM)
    } else if process.errors().is_some_and(|share| share > 0.0) {
        Style::new().fg(Color::Red)
    } else {
        Style::new()
    }
}

/// The latest seconds, as many as there is room for.
fn draw_minute(frame: &mut Frame<'_>, process: &Process, area: Rect) {
    let width = usize::from(area.width.saturating_sub(1));
    let skipped = process.points.len().saturating_sub(width);
    let points = process.points.iter().skip(skipped);
    // Rates below one are to be seen as well.
    let data: Vec<_> = points.map(|it| (it.requests * 1000.0) as u64).collect();
    let style = Style::new().fg(Color::Blue);
    frame.render_widget(Sparkline::default().data(data).style(style), area);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use crate::page::view::Point;

    use super::*;

    fn process(pid: u32, name: &str, rates: &[f64]) -> Process {
        let point = |requests: &f64| Point {
            requests: *requests,
            ..Point::default()
        };
        Process {
            pid,
            start_time: 1,
            name: name.to_owned(),
            container: None,
            exited: false,
            requests: 1,
            requests_per_second: *rates.last().unwrap(),
            tls_unseen: 0,
            answers: BTreeMap::from([(200, 3)]),
            p50_ms: Some(1.5),
            p90_ms: None,
            p99_ms: None,
            max_ms: None,
            points: rates.iter().map(point).collect(),
            series: None,
        }
    }

    fn screen(processes: Vec<Process>) -> Screen {
        Screen::new(View {
            date: 0,
            host: "node-7".to_owned(),
            version: "0".to_owned(),
            backend: "sock".to_owned(),
            missed: BTreeMap::from([("io_uring".to_owned(), 7), ("compat".to_owned(), 0)]),
            whole: true,
            hidden: 0,
            processes,
        })
    }

    fn lines(screen: &mut Screen) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(100, 7)).unwrap();
        terminal.draw(|frame| screen.draw(frame)).unwrap();
        let text = terminal.backend().to_string();
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn shows_the_busiest_first_with_its_last_seconds() {
        let mut screen = screen(vec![
            process(8, "quiet", &[1.0]),
            process(7, "server", &[0.0, 2.0, 4.0]),
        ]);
        let shown = lines(&mut screen);
        assert!(shown[0].contains("node-7   5.00 requests/s   2 processes   backend sock"));
        assert!(shown[2].contains("7 server"), "{shown:?}");
        assert!(
            shown[2].contains("4.00") && shown[2].contains("1.50ms"),
            "{shown:?}"
        );
        assert!(shown[2].contains(" ▄█"), "{shown:?}");
        assert!(shown[3].contains("8 quiet"), "{shown:?}");
        assert!(shown[5].contains("missed: io_uring 7"), "{shown:?}");
    }

    #[test]
    fn a_narrow_terminal_has_fewer_columns_and_all_of_their_digits() {
        let heads = |width| {
            columns(width)
                .into_iter()
                .map(|it| COLUMNS[it].0)
                .collect::<Vec<_>>()
        };
        assert_eq!(heads(140).len(), COLUMNS.len());
        assert_eq!(heads(80), ["PID", "PROCESS", "REQ/S", "ERRORS", "P99"]);
        assert_eq!(heads(40), ["PID", "PROCESS", "REQ/S"]);
    }

    #[test]
    fn keys_sort_scroll_and_quit() {
        let mut screen = screen(vec![process(8, "b", &[9.0]), process(9, "a", &[1.0])]);
        assert!(lines(&mut screen)[2].contains("8 b"));
        assert!(screen.press(KeyCode::Char('n').into()));
        assert!(lines(&mut screen)[2].contains("9 a"));
        assert!(screen.press(KeyCode::Down.into()));
        assert!(lines(&mut screen)[2].contains("8 b"));
        assert!(!screen.press(KeyCode::Char('q').into()));
    }

    #[test]
    fn a_quiet_host_and_a_lost_agent_are_said() {
        let mut screen = screen(Vec::new());
        assert!(lines(&mut screen)[1].contains("Waiting for the first request"));
        screen.lost = Some("no agent is running".to_owned());
        assert!(lines(&mut screen)[0].contains("no agent is running"));
    }
}
