//! `nbo top`: what a server is doing, in a terminal. It reads the server's `/metrics` every second and shows what happened since.

mod figures;
mod numbers;
mod screen;

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};

use numbers::Source;

use super::connect::Server;

pub use figures::Figures;
pub use numbers::Numbers;
pub use screen::draw;

/// The columns and lines of the screen that `--once` prints: those of a terminal that nobody made larger.
const SCREEN: (u16, u16) = (80, 24);

/// Shows what a server is doing: calls, decisions, what stops offers, journal, memory.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  nbo top                                   the server on this machine; q quits
  nbo top --to https://10.0.0.7:50052 --ca cert.pem   another one, with a token that may operate in NBO_TOKEN
  nbo top --once                            one screen as text, for a script or a ticket
  nbo top --json | jq .decisions            the same as numbers")]
pub struct Args {
    #[command(flatten)]
    server: Server,
    /// How often to look, in seconds; rates are those of the time between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0, value_parser = every)]
    every: f64,
    /// Print one screen as text and end
    #[arg(long)]
    once: bool,
    /// Print the numbers of one screen as JSON and end
    #[arg(long)]
    json: bool,
}

fn every(text: &str) -> Result<f64, String> {
    let seconds = text.parse::<f64>().ok();
    let seconds = seconds.filter(|seconds| (0.1..=3_600.0).contains(seconds));
    seconds.ok_or_else(|| "write a number of seconds from 0.1 to 3600".to_owned())
}

impl Args {
    /// Runs the command until `q` is pressed.
    ///
    /// # Errors
    /// When the server cannot be reached at the start, or the terminal cannot be drawn on.
    pub fn run(&self, out: &mut impl Write) -> Result<ExitCode> {
        let source = Source::of(&self.server)?;
        let first = source.look()?;
        if self.once || self.json {
            self.wait();
            let figures = Figures::between(&first, &source.look()?);
            if self.json {
                writeln!(out, "{}", serde_json::to_string_pretty(&figures)?)?;
            } else {
                write!(out, "{}", text(&figures, SCREEN)?)?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        let mut terminal = ratatui::try_init()?;
        let shown = self.show(&mut terminal, &source, first);
        ratatui::restore();
        shown.map(|()| ExitCode::SUCCESS)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "it waits for time to pass, not for anything to happen"
    )]
    fn wait(&self) {
        std::thread::sleep(Duration::from_secs_f64(self.every));
    }

    fn show(&self, terminal: &mut ratatui::DefaultTerminal, source: &Source, mut before: Numbers) -> Result<()> {
        let mut figures = Figures::between(&before, &before);
        let mut fault = None;
        loop {
            terminal.draw(|frame| draw(frame, &figures, fault.as_deref()))?;
            if is_left(Duration::from_secs_f64(self.every))? {
                return Ok(());
            }
            match source.look() {
                Ok(now) => {
                    figures = Figures::between(&before, &now);
                    before = now;
                    fault = None;
                }
                // It may come back: a restart takes seconds.
                Err(error) => fault = Some(format!("{error:#}")),
            }
        }
    }
}

/// Waits, and tells whether somebody wants to leave; a change of the window's size ends the waiting.
fn is_left(wait: Duration) -> Result<bool> {
    if !event::poll(wait)? {
        return Ok(false);
    }
    Ok(match event::read()? {
        Event::Key(key) if key.kind == KeyEventKind::Press => {
            let is_interrupt = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
            is_interrupt || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc)
        }
        _ => false,
    })
}

/// Returns a screen as text, without the spaces at the ends of its lines.
///
/// # Errors
/// Never so far.
pub fn text(figures: &Figures, (columns, lines): (u16, u16)) -> Result<String> {
    let mut terminal = Terminal::new(TestBackend::new(columns, lines))?;
    terminal.draw(|frame| draw(frame, figures, None))?;
    let buffer = terminal.backend().buffer();
    let mut text = String::new();
    for line in 0..lines {
        let symbols = (0..columns).filter_map(|column| buffer.cell((column, line)));
        let symbols: String = symbols.map(ratatui::buffer::Cell::symbol).collect();
        text.push_str(symbols.trim_end());
        text.push('\n');
    }
    Ok(text)
}
