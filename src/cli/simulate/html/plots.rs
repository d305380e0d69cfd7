//! Bars and a line, as SVG.

use std::fmt::Write as _;

use super::super::super::numbers::grouped;
use super::super::signed;
use super::page::escaped;
use crate::whatif::report::Pair;

/// The width of a plot, in its own units; it is as wide as the page.
const WIDTH: f64 = 760.0;
/// Where bars begin, behind their names.
const NAMES: f64 = 250.0;
/// What is left for numbers behind the bars.
const NUMBERS: f64 = 90.0;
/// The longest name that is written out, in characters.
const NAME_MAX: usize = 36;
/// The height of the line's plot without its axes.
const LINE_HEIGHT: f64 = 160.0;

/// A name with its numbers.
pub(super) type Bar<'a> = (&'a str, Pair);

fn open(height: f64, title: &str, told: &str) -> String {
    let (title, told) = (escaped(title), escaped(told));
    format!(
        "<svg role=\"img\" viewBox=\"0 0 {WIDTH} {height}\" xmlns=\"http://www.w3.org/2000/svg\" aria-label=\"{title}. {told}\">\n\
         <title>{title}</title>\n<desc>{told}</desc>\n"
    )
}

fn name(text: &mut String, name: &str, y: f64) {
    let short: String = if name.chars().count() > NAME_MAX {
        name.chars().take(NAME_MAX - 1).chain(['…']).collect()
    } else {
        name.to_owned()
    };
    let (x, short) = (NAMES - 8.0, escaped(&short));
    let _ = writeln!(text, "<text class=\"name\" x=\"{x}\" y=\"{y}\">{short}</text>");
}

fn rectangle(text: &mut String, class: &str, (x, y): (f64, f64), (width, height): (f64, f64)) {
    let _ = writeln!(
        text,
        "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/>"
    );
}

fn number(text: &mut String, (x, y): (f64, f64), number: &str, anchor: &str) {
    let _ = writeln!(
        text,
        "<text class=\"number\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{number}</text>"
    );
}

/// Draws two bars for each name, one above the other: before and after.
pub(super) fn pairs(title: &str, bars: &[Bar<'_>]) -> String {
    let told: Vec<String> = bars
        .iter()
        .map(|(name, pair)| format!("{name}: before {}, after {}", grouped(pair.before), grouped(pair.after)))
        .collect();
    let height = 34.0 * bars.len() as f64 + 4.0;
    let mut text = open(height, title, &told.join("; "));
    let most = bars
        .iter()
        .map(|(_, pair)| pair.before.max(pair.after))
        .max()
        .unwrap_or(0);
    let length = |count: u64| count as f64 / most.max(1) as f64 * (WIDTH - NAMES - NUMBERS);
    for (at, (label, pair)) in bars.iter().enumerate() {
        let y = 34.0 * at as f64 + 4.0;
        name(&mut text, label, y + 18.0);
        for (class, count, y) in [("before", pair.before, y), ("after", pair.after, y + 14.0)] {
            let length = length(count);
            rectangle(&mut text, class, (NAMES, y), (length, 12.0));
            number(&mut text, (NAMES + length + 6.0, y + 10.0), &grouped(count), "start");
        }
    }
    text.push_str("</svg>\n");
    text
}

/// Draws one bar for each name from the middle: to the right what became more, to the left what became less.
pub(super) fn shifts(title: &str, bars: &[Bar<'_>]) -> String {
    let told: Vec<String> = bars
        .iter()
        .map(|(name, pair)| format!("{name}: {}", signed(pair.shift())))
        .collect();
    let height = 22.0 * bars.len() as f64 + 4.0;
    let mut text = open(height, title, &told.join("; "));
    let most = bars
        .iter()
        .map(|(_, pair)| pair.shift().unsigned_abs())
        .max()
        .unwrap_or(0);
    let half = (WIDTH - NAMES - 2.0 * NUMBERS) / 2.0;
    let middle = NAMES + NUMBERS + half;
    for (at, (label, pair)) in bars.iter().enumerate() {
        let y = 22.0 * at as f64 + 4.0;
        name(&mut text, label, y + 12.0);
        let shift = pair.shift();
        let length = shift.unsigned_abs() as f64 / most.max(1) as f64 * half;
        let (class, start, end, anchor) = if shift < 0 {
            ("less", middle - length, middle - length - 6.0, "end")
        } else {
            ("more", middle, middle + length + 6.0, "start")
        };
        rectangle(&mut text, class, (start, y), (length, 16.0));
        number(&mut text, (end, y + 12.0), &signed(shift), anchor);
    }
    let _ = writeln!(
        text,
        "<line class=\"axis\" x1=\"{middle}\" y1=\"0\" x2=\"{middle}\" y2=\"{height}\"/>"
    );
    text.push_str("</svg>\n");
    text
}

/// Draws shares from 0 to 1 over time; each point with its name.
pub(super) fn shares(title: &str, points: &[(String, f64)]) -> String {
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    let told: Vec<String> = points
        .iter()
        .map(|(name, share)| format!("{name}: {}", percent(*share)))
        .collect();
    let (left, bottom) = (56.0, LINE_HEIGHT + 10.0);
    let mut text = open(LINE_HEIGHT + 36.0, title, &told.join("; "));
    let most = points.iter().map(|(_, share)| *share).fold(0.0, f64::max).max(0.01);
    let step = (WIDTH - left - 20.0) / points.len().max(2).saturating_sub(1) as f64;
    let place = |at: usize, share: f64| (left + step * at as f64, bottom - share / most * LINE_HEIGHT);
    for share in [0.0, most / 2.0, most] {
        let (_, y) = place(0, share);
        let _ = writeln!(
            text,
            "<line class=\"grid\" x1=\"{left}\" y1=\"{y:.1}\" x2=\"{WIDTH}\" y2=\"{y:.1}\"/>"
        );
        number(&mut text, (left - 6.0, y + 4.0), &percent(share), "end");
    }
    let mut line = String::new();
    for (at, (_, share)) in points.iter().enumerate() {
        let (x, y) = place(at, *share);
        let _ = write!(line, "{x:.1},{y:.1} ");
    }
    let _ = writeln!(text, "<polyline class=\"line\" points=\"{}\"/>", line.trim_end());
    for (at, (name, share)) in points.iter().enumerate() {
        let (x, y) = place(at, *share);
        let (name, share) = (escaped(name), percent(*share));
        let _ = writeln!(
            text,
            "<circle class=\"dot\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"><title>{name}: {share}</title></circle>"
        );
    }
    for at in [0, points.len().saturating_sub(1)] {
        if let Some((name, share)) = points.get(at) {
            let (x, _) = place(at, *share);
            let anchor = if at == 0 { "start" } else { "end" };
            number(&mut text, (x, bottom + 20.0), &escaped(name), anchor);
        }
        if points.len() == 1 {
            break;
        }
    }
    text.push_str("</svg>\n");
    text
}
