//! The screen of `nbo top`. Everything that matters fits 80 columns and 24 lines; a larger terminal shows longer lists.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style, Stylize as _};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph};

use super::figures::{Figures, Timed};

/// A shift of scores from which on somebody should look.
const SHIFT_MUCH: f64 = 0.25;

/// Draws one screen; `fault` says why the numbers are not new.
pub fn draw(frame: &mut Frame<'_>, figures: &Figures, fault: Option<&str>) {
    let rows = [Constraint::Length(2), Constraint::Min(8), Constraint::Length(13)];
    let [head, upper, lower] = Layout::vertical(rows).areas(frame.area());
    let halves = [Constraint::Min(48), Constraint::Length(32)];
    let [calls, decisions] = Layout::horizontal(halves).areas(upper);
    let thirds = [Constraint::Length(24), Constraint::Min(28), Constraint::Length(28)];
    let [stages, stops, right] = Layout::horizontal(thirds).areas(lower);
    frame.render_widget(Paragraph::new(title(figures, fault)), head);
    block(frame, calls, "calls a second", self::calls(figures, calls.height));
    block(frame, decisions, "decisions a second", self::decisions(figures));
    block(frame, stages, "stages", self::stages(&figures.stages));
    block(frame, stops, "stopped a second", self::stops(figures, stops));
    block(frame, right, "state", state(figures));
}

fn block(frame: &mut Frame<'_>, area: Rect, title: &'static str, lines: Vec<Line<'_>>) {
    let block = Block::bordered()
        .title(title)
        .border_style(Style::new().add_modifier(Modifier::DIM));
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn title<'a>(figures: &'a Figures, fault: Option<&'a str>) -> Vec<Line<'a>> {
    let server = &figures.server;
    let readiness = if server.ready {
        "ready".green()
    } else {
        "NOT READY".red().bold()
    };
    let first = Line::from(vec![
        Span::from(format!("nbo {}  ", server.version)).bold(),
        readiness,
        Span::from(format!(
            "  up {}  {} connections  {} watchers  q quits",
            span(server.uptime),
            server.connections,
            server.watchers
        )),
        if server.excess > 0.0 {
            format!("  OVERLOAD: {} refused a second", rate(server.excess))
                .red()
                .bold()
        } else {
            Span::default()
        },
    ]);
    let second = match fault {
        Some(fault) => Line::from(fault.red()),
        None => Line::from(vec![
            Span::from(format!(
                "{} {}, in force for {}",
                server.catalog,
                server.catalog_version,
                span(server.catalog_age)
            )),
            if server.reload_refused {
                "  RELOAD REFUSED: an older version serves".red().bold()
            } else {
                Span::default()
            },
        ]),
    };
    vec![first, second]
}

fn calls(figures: &Figures, height: u16) -> Vec<Line<'_>> {
    let head = Line::from(format!(
        "{:<21}{:>7}{:>6}{:>6}{:>6}",
        "method", "rate", "fault", "p50", "p99"
    ));
    let lines = figures.calls.iter().map(|calls| {
        let method = calls
            .method
            .split_once("Service/")
            .map_or(calls.method.as_str(), |(_, method)| method);
        let line = format!(
            "{:<21.21}{:>7}{:>6}{:>6}{:>6}",
            method,
            rate(calls.rate),
            rate(calls.faults),
            time(calls.p50),
            time(calls.p99)
        );
        if calls.faults > 0.0 {
            Line::from(line.yellow())
        } else {
            Line::from(line)
        }
    });
    let shown = usize::from(height.saturating_sub(3));
    std::iter::once(head.add_modifier(Modifier::DIM))
        .chain(lines.take(shown))
        .collect()
}

fn decisions(figures: &Figures) -> Vec<Line<'_>> {
    let made = &figures.decisions;
    let rung = |name: &str| made.rungs.get(name).copied().unwrap_or_default();
    let lower = rung("last_good");
    let first_stage = rung("first_stage");
    let first_stage = (first_stage > 0.0).then(|| pair("first stage", rate(first_stage)));
    let mut lines = vec![
        Line::from(format!("{:<12}{:>14}", "all", rate(made.rate)).bold()),
        pair("by model", rate(rung("model"))),
    ];
    lines.extend(first_stage);
    lines.extend([
        if lower > 0.0 {
            Line::from(format!("{:<12}{:>14}", "by last good", rate(lower)).red())
        } else {
            pair("by last good", rate(lower))
        },
        pair("by start", rate(rung("start"))),
        pair("cached list", format!("{:.0} %", made.cached * 100.0)),
        pair("fallbacks", rate(made.fallbacks)),
        pair("p50, p99", format!("{}, {}", time(made.p50), time(made.p99))),
    ]);
    lines
}

fn stages(stages: &[Timed]) -> Vec<Line<'_>> {
    if stages.is_empty() {
        return vec![Line::from("none was watched")];
    }
    let line = |timed: &Timed| Line::from(format!("{:<8}{:>7}{:>7}", timed.name, time(timed.p50), time(timed.p99)));
    stages.iter().map(line).collect()
}

fn stops(figures: &Figures, area: Rect) -> Vec<Line<'_>> {
    if figures.stops.is_empty() {
        return vec![Line::from("nothing")];
    }
    let wide = usize::from(area.width).saturating_sub(9);
    let lines = figures
        .stops
        .iter()
        .map(|stops| Line::from(format!("{:<wide$.wide$}{:>7}", stops.reason, rate(stops.rate))));
    lines.take(usize::from(area.height.saturating_sub(2))).collect()
}

fn state(figures: &Figures) -> Vec<Line<'_>> {
    let journal = &figures.journal;
    let memory = |key| figures.memory.get(key).copied().unwrap_or_default();
    let contacts = |key| figures.contacts.get(key).copied().unwrap_or_default();
    let level = if journal.stopped {
        Line::from(format!("{:<12}{:>14}", "journal", "STOPPED").red().bold())
    } else {
        pair("journal", &journal.level)
    };
    let mut lines = vec![
        pair("customers", rate(memory("customers"))),
        pair("memory", bytes(memory("resident_bytes"))),
        level,
        pair(
            "records/sync",
            format!("{}, {}", rate(journal.records), rate(journal.syncs)),
        ),
        pair("written a s", bytes(journal.bytes)),
        if journal.refused > 0.0 {
            Line::from(format!("{:<12}{:>14}", "refused", rate(journal.refused)).red())
        } else {
            pair("checkpoint", format!("{} ago", span(journal.checkpoint_age)))
        },
        pair("behind it", rate(journal.behind)),
        pair("reserved a s", rate(contacts("reserved"))),
        pair("open", rate(contacts("open"))),
    ];
    for model in &figures.models {
        let line = format!(
            "{:<10.10}{:>7.4}{:>9}",
            model.name,
            model.mean,
            format!("PSI {:.2}", model.shift)
        );
        lines.push(if model.shift > SHIFT_MUCH {
            Line::from(line.red())
        } else {
            Line::from(line)
        });
    }
    lines
}

fn pair<'a>(what: &str, value: impl AsRef<str>) -> Line<'a> {
    let value = value.as_ref();
    Line::from(format!("{what:<12}{value:>14}"))
}

/// Writes a number in at most six signs.
fn rate(number: f64) -> String {
    match number {
        0.0 => "0".to_owned(),
        small if small < 10.0 && small.fract() > 0.0 => format!("{small:.1}"),
        small if small < 100_000.0 => format!("{small:.0}"),
        large if large < 1e7 => format!("{:.0} k", large / 1e3),
        huge => format!("{:.1} M", huge / 1e6),
    }
}

/// Writes a time in at most five signs.
fn time(seconds: Option<f64>) -> String {
    match seconds {
        None => "-".to_owned(),
        Some(short) if short < 0.001 => format!("{:.0}µs", short * 1e6),
        Some(middle) if middle < 1.0 => format!("{:.0}ms", middle * 1e3),
        Some(_) => ">1s".to_owned(),
    }
}

fn bytes(bytes: f64) -> String {
    match bytes {
        few if few < 1e3 => format!("{few:.0} B"),
        kilo if kilo < 1e6 => format!("{:.0} kB", kilo / 1e3),
        mega if mega < 1e9 => format!("{:.0} MB", mega / 1e6),
        giga => format!("{:.1} GB", giga / 1e9),
    }
}

fn span(seconds: f64) -> String {
    match seconds {
        short if short < 120.0 => format!("{short:.0} s"),
        minutes if minutes < 7_200.0 => format!("{:.0} min", minutes / 60.0),
        hours if hours < 172_800.0 => format!("{:.0} h", hours / 3_600.0),
        days => format!("{:.0} days", days / 86_400.0),
    }
}
