// SPDX-License-Identifier: Apache-2.0
//! What is on the screen, and what keys and the mouse do to it. Nothing here draws.

use std::time::Duration;

use ratatui::crossterm::event::{
    Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseButton, MouseEvent, MouseEventKind,
};
use ratatui::layout::{Position, Rect};

use crate::api::document::Document;
use crate::terminal::asked::Answer;
use crate::terminal::rows::{Order, Row, Wish};
use crate::terminal::table::{Column, Columns};
use crate::terminal::trails::Trails;

/// Seconds from one question to the next.
const INTERVALS: [u64; 6] = [1, 2, 5, 10, 30, 60];
/// Of a filter: more than any name.
const LONGEST_FILTER: usize = 64;

/// What somebody is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    #[default]
    Table,
    /// The filter is being written.
    Filter,
    /// Of the row that is selected.
    Detail,
}

/// Where the table was drawn, to tell what a click meant.
#[derive(Clone, Debug, Default)]
pub struct Drawn {
    pub heads: Rect,
    pub columns: Columns,
    pub body: Rect,
}

#[derive(Default)]
pub struct Screen {
    pub document: Document,
    pub wish: Wish,
    pub mode: Mode,
    /// As they are wished for.
    pub rows: Vec<Row>,
    pub trails: Trails,
    /// The key of the row that is selected: it stays so wherever it goes.
    selected: Option<String>,
    /// The first row, or the first line of the detail.
    pub scroll: usize,
    pub paused: bool,
    interval: usize,
    /// Why the document is not of now.
    pub lost: Option<String>,
    pub drawn: Drawn,
}

impl Screen {
    pub fn new(interval: Duration) -> Self {
        let interval = INTERVALS.iter().position(|it| *it >= interval.as_secs());
        Self {
            interval: interval.unwrap_or(INTERVALS.len() - 1),
            lost: Some("the agent has not answered yet".to_owned()),
            ..Self::default()
        }
    }

    pub fn interval(&self) -> Duration {
        Duration::from_secs(INTERVALS[self.interval])
    }

    pub fn take(&mut self, answer: Answer) {
        self.trails.begin(answer.last_minute);
        self.trails.push(&answer.document);
        self.document = answer.document;
        self.lost = None;
        self.arrange();
    }

    fn arrange(&mut self) {
        self.rows = self.wish.shown(&self.document);
    }

    /// Which row is selected, if it is still there.
    pub fn selected(&self) -> Option<usize> {
        let key = self.selected.as_ref()?;
        self.rows.iter().position(|row| row.key == *key)
    }

    fn select(&mut self, index: usize) {
        let last = self.rows.len().saturating_sub(1);
        self.selected = self.rows.get(index.min(last)).map(|row| row.key.clone());
    }

    fn step(&mut self, by: isize) {
        if self.mode == Mode::Detail {
            self.scroll = self.scroll.saturating_add_signed(by);
            return;
        }
        match self.selected() {
            Some(index) => self.select(index.saturating_add_signed(by)),
            None => self.select(self.scroll),
        }
    }

    fn open(&mut self) {
        if self.selected().is_none() {
            self.select(self.scroll);
        }
        if self.selected().is_some() {
            (self.mode, self.scroll) = (Mode::Detail, 0);
        }
    }

    /// Whether to go on.
    pub fn obey(&mut self, event: &Event) -> bool {
        match event {
            Event::Key(key) if key.kind == KeyEventKind::Press => return self.press(*key),
            Event::Mouse(mouse) => self.point(*mouse),
            _ => {}
        }
        true
    }

    fn press(&mut self, key: KeyEvent) -> bool {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match (self.mode, key.code) {
            (_, KeyCode::Char('c')) if control => return false,
            (Mode::Filter, code) => self.write(code),
            (_, KeyCode::Char('q')) => return false,
            (Mode::Detail, KeyCode::Esc | KeyCode::Enter | KeyCode::Backspace) => self.close(),
            // The last thing that was asked for goes first.
            (_, KeyCode::Esc) if !self.wish.filter.is_empty() => self.wish.filter.clear(),
            (_, KeyCode::Esc) if self.selected.is_some() => self.selected = None,
            (_, KeyCode::Esc) => return false,
            (_, KeyCode::Enter) => self.open(),
            (_, KeyCode::Char('/')) => (self.mode, self.scroll) = (Mode::Filter, 0),
            (_, KeyCode::Char('g')) => self.group(),
            (_, KeyCode::Char(' ')) => self.paused = !self.paused,
            (_, KeyCode::Char('+' | '=')) => {
                self.interval = (self.interval + 1).min(INTERVALS.len() - 1);
            }
            (_, KeyCode::Char('-')) => self.interval = self.interval.saturating_sub(1),
            (_, KeyCode::Down | KeyCode::Char('j')) => self.step(1),
            (_, KeyCode::Up | KeyCode::Char('k')) => self.step(-1),
            (_, KeyCode::PageDown) => self.step(self.drawn.body.height as isize),
            (_, KeyCode::PageUp) => self.step(-(self.drawn.body.height as isize)),
            (_, KeyCode::Home) => self.step(isize::MIN),
            (_, KeyCode::End) => self.step(isize::MAX),
            (_, KeyCode::Char('i')) => self.wish.reversed = !self.wish.reversed,
            (_, KeyCode::Char(letter)) => {
                if let Some(order) = order_of(letter) {
                    self.wish.order_by(order);
                }
            }
            _ => {}
        }
        self.arrange();
        true
    }

    fn close(&mut self) {
        (self.mode, self.scroll) = (Mode::Table, 0);
    }

    fn group(&mut self) {
        self.wish.by = self.wish.by.next();
        self.selected = None;
        self.close();
    }

    fn write(&mut self, code: KeyCode) {
        match code {
            KeyCode::Enter => self.mode = Mode::Table,
            KeyCode::Esc => {
                self.wish.filter.clear();
                self.mode = Mode::Table;
            }
            KeyCode::Backspace => _ = self.wish.filter.pop(),
            KeyCode::Char(it) if self.wish.filter.chars().count() < LONGEST_FILTER => {
                self.wish.filter.push(it);
            }
            _ => {}
        }
    }

    fn point(&mut self, mouse: MouseEvent) {
        let at = Position::new(mouse.column, mouse.row);
        match mouse.kind {
            MouseEventKind::ScrollDown => self.step(1),
            MouseEventKind::ScrollUp => self.step(-1),
            MouseEventKind::Down(MouseButton::Left) if self.mode == Mode::Detail => self.close(),
            MouseEventKind::Down(MouseButton::Left) => {
                if self.drawn.heads.contains(at) {
                    if let Some(order) = self.column_at(at.x).and_then(Column::order) {
                        self.wish.order_by(order);
                    }
                } else if self.drawn.body.contains(at) {
                    let index = self.scroll + usize::from(at.y - self.drawn.body.y);
                    let is_second = self.selected() == Some(index);
                    if index < self.rows.len() {
                        self.select(index);
                    }
                    if is_second {
                        self.open();
                    }
                }
            }
            _ => {}
        }
        self.arrange();
    }

    fn column_at(&self, x: u16) -> Option<Column> {
        let mut end = self.drawn.heads.x;
        let columns = self.drawn.columns.iter();
        columns
            .map(|(column, width)| {
                end += width + 1;
                (*column, end)
            })
            .find_map(|(column, end)| (x < end).then_some(column))
    }
}

fn order_of(letter: char) -> Option<Order> {
    Some(match letter {
        'r' => Order::Rate,
        'e' => Order::Errors,
        '5' => Order::P50,
        '0' => Order::P90,
        '9' => Order::P99,
        'm' => Order::Max,
        'n' => Order::Name,
        'p' => Order::Pid,
        _ => return None,
    })
}
