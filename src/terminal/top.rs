// SPDX-License-Identifier: Apache-2.0
//! `scope-http-statistics top`: what an agent counts, live in the terminal.

use std::io::{self, stdout};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, DisableMouseCapture, EnableMouseCapture};
use ratatui::crossterm::execute;
use rustix::termios::isatty;
use tokio::runtime::Runtime;

use crate::terminal::asked::{Agent, Source};
use crate::terminal::draw::draw;
use crate::terminal::screen::Screen;

/// An agent answers much faster, and where there is none, that is known at once.
const FIRST: Duration = Duration::from_millis(500);
/// How long a key may have to wait while the agent is asked.
const STEP: Duration = Duration::from_millis(50);

pub fn needs_terminal() -> Result<()> {
    ensure!(
        isatty(stdout()),
        "top needs a terminal: for a pipe there is `scope-http-statistics report --table`"
    );
    Ok(())
}

/// Shows until a key ends it.
pub fn run(runtime: &Runtime, source: Source, interval: Duration) -> Result<()> {
    let mut agent = Agent::new(runtime, source);
    agent.ask(false);
    let mut screen = Screen::new(interval);
    // Where there is no agent, the terminal stays as it is.
    if let Some(first) = agent.answer_within(FIRST).transpose()? {
        screen.take(first);
    }
    needs_terminal()?;
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let _ = release_mouse();
        before(panic);
    }));
    ratatui::run(|terminal| {
        execute!(stdout(), EnableMouseCapture)?;
        let outcome = follow(&mut screen, terminal, &mut agent);
        release_mouse()?;
        outcome
    })
}

fn release_mouse() -> io::Result<()> {
    execute!(stdout(), DisableMouseCapture)
}

fn follow(
    screen: &mut Screen,
    terminal: &mut DefaultTerminal,
    agent: &mut Agent<'_>,
) -> Result<()> {
    let mut asked = Instant::now();
    loop {
        match agent.answer_within(STEP) {
            // What was asked before a pause is not seen in it.
            Some(Ok(_)) if screen.paused => {}
            Some(Ok(answer)) => screen.take(answer),
            Some(Err(error)) => screen.lost = Some(format!("{error:#}")),
            None => {}
        }
        terminal.draw(|frame| draw(screen, frame))?;
        let wait = if agent.is_asked() {
            Duration::ZERO
        } else {
            screen.interval().saturating_sub(asked.elapsed())
        };
        if event::poll(wait)? {
            // All that has come: a mouse may have more to say than there are screens to draw.
            while event::poll(Duration::ZERO)? {
                if !screen.obey(&event::read()?) {
                    return Ok(());
                }
            }
        } else if !agent.is_asked() {
            asked = Instant::now();
            if !screen.paused {
                // What is looked for may be none of the busiest.
                agent.ask(!screen.wish.filter.is_empty());
            }
        }
    }
}
