//! The page.

use std::cmp::Reverse;
use std::fmt::Write as _;

use super::super::super::numbers::{counted, grouped};
use super::super::{percent, share, signed, table};
use super::plots::{self, Bar};
use crate::whatif::report::{History, HourRow, Pair, Report, Status};

/// How many bars a plot has at most; the tables have all.
const BARS_MAX: usize = 15;
/// How many points the line has at most: what is more is put together by the day.
const POINTS_MAX: usize = 96;

const STYLE: &str = "
:root { color-scheme: light dark; --paper: #fff; --ink: #1a1c20; --quiet: #5b616b; --line: #d8dbe0; --before: #8a919c; --after: #1f6fc4;
  --more: #1f6fc4; --less: #c2570c; }
@media (prefers-color-scheme: dark) { :root { --paper: #16181c; --ink: #e8eaed; --quiet: #a2a9b4; --line: #363b43; --before: #7b828d;
  --after: #6cb0f5; --more: #6cb0f5; --less: #f0954d; } }
body { background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 2.5rem; } p, li, summary, caption { max-width: 45rem; } .quiet { color: var(--quiet); }
.tiles { display: flex; flex-wrap: wrap; gap: 1rem; list-style: none; padding: 0; }
.tiles li { border: 1px solid var(--line); border-radius: .5rem; padding: .75rem 1rem; min-width: 11rem; } .tiles b { display: block; font-size: 1.5rem; }
svg { width: 100%; height: auto; } svg text { fill: var(--ink); font: 12px system-ui, sans-serif; } svg .name { text-anchor: end; }
svg .number { fill: var(--quiet); font-variant-numeric: tabular-nums; }
.before { fill: var(--before); background: var(--before); } .after { fill: var(--after); background: var(--after); } .more { fill: var(--more); } .less { fill: var(--less); }
.axis, .grid { stroke: var(--line); } .line { fill: none; stroke: var(--after); stroke-width: 2; } .dot { fill: var(--after); }
.key span { display: inline-block; width: .8rem; height: .8rem; margin: 0 .3rem 0 1rem; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid var(--line); padding: .25rem .6rem; text-align: right; } th:first-child, td.text { text-align: left; }
";

/// Writes text so that it means itself in HTML.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

pub(in super::super) fn page(report: &Report) -> String {
    let title = format!("What if: {} {}", report.catalog.name, report.catalog.version);
    let title = escaped(&title);
    let mut text = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n\
         <body>\n<main>\n<h1>{title}</h1>\n"
    );
    summary(&mut text, report);
    over_time(&mut text, &report.hours);
    offers(&mut text, report);
    groups(&mut text, report);
    limits(&mut text, report);
    rules(&mut text, report);
    limits_of_the_simulation(&mut text, report);
    text.push_str("</main>\n</body>\n</html>\n");
    text
}

fn summary(text: &mut String, report: &Report) {
    let decisions = &report.decisions;
    let versions: Vec<&str> = report.before.iter().map(|before| &*before.version).collect();
    let period = report
        .made
        .as_ref()
        .map_or_else(String::new, |made| format!(", {} to {}", made.first, made.last));
    let _ = writeln!(
        text,
        "<p>{} for {}{period}. They were made by {}; {}.</p>",
        counted(decisions.made, "recorded decision"),
        counted(report.customers, "customer"),
        escaped(&table::distinct(&versions)),
        table::reproduced(report),
    );
    text.push_str("<ul class=\"tiles\">\n");
    for (what, number) in [
        ("show another first offer", decisions.first_changed),
        ("show anything else", decisions.list_changed),
        ("show nothing any more", decisions.became_empty),
    ] {
        let share = share(number, decisions.made);
        let _ = writeln!(text, "<li><b>{}</b>{share} {what}</li>", grouped(number));
    }
    let shown = report.shown;
    let _ = writeln!(
        text,
        "<li><b>{}</b>offers shown, {} before</li>\n</ul>",
        grouped(shown.after),
        grouped(shown.before)
    );
    for (what, reasons) in [
        ("would be refused", &decisions.refused),
        ("were left out", &decisions.left_out),
    ] {
        for reason in reasons {
            let (count, why) = (counted(reason.decisions, "decision"), escaped(&reason.why));
            let _ = writeln!(text, "<p>{count} {what}: {why}.</p>");
        }
    }
}

/// Gathers hours into days when there are many.
fn points(hours: &[HourRow]) -> (&'static str, Vec<(String, f64)>) {
    let (grain, length) = if hours.len() > POINTS_MAX {
        ("day", 10)
    } else {
        ("hour", 16)
    };
    let mut points: Vec<(&str, u64, u64)> = Vec::new();
    for hour in hours {
        let name = hour.hour.get(..length).unwrap_or(&hour.hour);
        match points.last_mut() {
            Some((last, changed, all)) if *last == name => {
                *changed += hour.first_changed;
                *all += hour.decisions;
            }
            _ => points.push((name, hour.first_changed, hour.decisions)),
        }
    }
    let share = |(name, changed, all): (&str, u64, u64)| (name.replace('T', " "), changed as f64 / all.max(1) as f64);
    (grain, points.into_iter().map(share).collect())
}

fn over_time(text: &mut String, hours: &[HourRow]) {
    let (grain, points) = points(hours);
    if points.len() < 2 {
        return;
    }
    let title = format!("Share of decisions with another first offer, by the {grain} (UTC)");
    let _ = writeln!(text, "<h2>Over time</h2>\n<p class=\"quiet\">{title}</p>");
    text.push_str(&plots::shares(&title, &points));
}

const KEY: &str = "<p class=\"key quiet\"><span class=\"before\"></span>before <span class=\"after\"></span>with the changed catalog</p>\n";

/// Returns what changes most, of what is there at all.
fn top<'a>(bars: impl Iterator<Item = Bar<'a>>, weigh: impl Fn(Pair) -> u64) -> Vec<Bar<'a>> {
    let mut bars: Vec<Bar<'_>> = bars.filter(|(_, pair)| weigh(*pair) > 0).collect();
    bars.sort_by_key(|(_, pair)| Reverse(weigh(*pair)));
    bars.truncate(BARS_MAX);
    bars
}

const fn shift(pair: Pair) -> u64 {
    pair.before.abs_diff(pair.after)
}

fn most(pair: Pair) -> u64 {
    pair.before.max(pair.after)
}

fn offers(text: &mut String, report: &Report) {
    text.push_str("<h2>Offers</h2>\n");
    let bars = top(report.offers.iter().map(|row| (&*row.offer, row.shown)), shift);
    if bars.is_empty() {
        text.push_str("<p>Every offer is shown as often as before.</p>\n");
    } else {
        text.push_str("<p class=\"quiet\">How much more or less often an offer is shown; what changes most.</p>\n");
        text.push_str(&plots::shifts("Shift in volume by offer", &bars));
    }
    let rows = report.offers.iter().map(|row| {
        let mut cells = vec![named(&row.offer, row.status), escaped(&row.group)];
        cells.extend(cells_of(row.shown));
        cells.extend(cells_of(row.first));
        cells
    });
    let columns = [
        "offer",
        "group",
        "shown before",
        "after",
        "shift",
        "",
        "first before",
        "after",
        "shift",
        "",
    ];
    add_table(text, "All offers", &columns, 2, rows);
}

fn groups(text: &mut String, report: &Report) {
    text.push_str("<h2>Groups</h2>\n");
    let bars = top(report.groups.iter().map(|row| (&*row.group, row.shown)), most);
    text.push_str(KEY);
    text.push_str(&plots::pairs("Offers shown by group", &bars));
    let rows = report.groups.iter().map(|row| {
        let mut cells = vec![named(&row.group, row.status)];
        cells.extend(cells_of(row.shown));
        cells.extend(cells_of(row.first));
        cells
    });
    let columns = [
        "group",
        "shown before",
        "after",
        "shift",
        "",
        "first before",
        "after",
        "shift",
        "",
    ];
    add_table(text, "All groups", &columns, 1, rows);
}

fn limits(text: &mut String, report: &Report) {
    text.push_str("<h2>Limits</h2>\n");
    let bars = top(report.limits.iter().map(|row| (&*row.limit, row.withheld)), most);
    if bars.is_empty() {
        text.push_str("<p>No limit withheld anything.</p>\n");
    } else {
        text.push_str("<p class=\"quiet\">How often a limit withheld an offer whose turn it was.</p>\n");
        text.push_str(KEY);
        text.push_str(&plots::pairs("Offers withheld by limit", &bars));
    }
    let rows = report.limits.iter().map(|row| {
        let mut cells = vec![
            named(&row.limit, row.status),
            row.kind.replace('_', " "),
            escaped(&row.because),
        ];
        cells.extend(cells_of(row.withheld));
        cells.extend([grouped(row.customers.before), grouped(row.customers.after)]);
        cells
    });
    let columns = [
        "limit",
        "kind",
        "because",
        "withheld before",
        "after",
        "shift",
        "",
        "customers before",
        "after",
    ];
    add_table(text, "All limits", &columns, 3, rows);
}

fn rules(text: &mut String, report: &Report) {
    text.push_str("<h2>Rules</h2>\n");
    let bars = top(report.rules.iter().map(|row| (&*row.rule, row.blocked)), most);
    if bars.is_empty() {
        text.push_str("<p>No rule blocked anything.</p>\n");
    } else {
        text.push_str("<p class=\"quiet\">How often a rule was the first thing that stopped an offer.</p>\n");
        text.push_str(KEY);
        text.push_str(&plots::pairs("Offers blocked by rule", &bars));
    }
    let rows = report.rules.iter().map(|row| {
        let mut cells = vec![
            named(&row.rule, row.status),
            row.stage.replace('_', " "),
            escaped(&row.because),
        ];
        cells.extend(cells_of(row.blocked));
        cells
    });
    let columns = ["rule", "stage", "because", "blocked before", "after", "shift", ""];
    add_table(text, "All rules", &columns, 3, rows);
}

fn limits_of_the_simulation(text: &mut String, report: &Report) {
    text.push_str("<h2>How to read this</h2>\n<ul>\n");
    let history = match report.history {
        History::Carried => format!(
            "The changed catalog sees the contacts that it would have made itself: {} got another history. What was reported of an \
             offer that both catalogs showed is kept, what was reported of others is dropped.",
            counted(report.customers_carried, "customer")
        ),
        History::Recorded => {
            "The changed catalog sees the contacts as they were recorded, so each difference is of one step and \
                              limits count what was shown then."
                .to_owned()
        }
    };
    let standing = [
        "Customers do here what they did then, whatever they are shown.",
        "Decisions that showed nothing, and previews, are not recorded: what the changed catalog would have shown there is not known.",
        "Volumes over all customers have what they had left at each decision, against their new limits.",
        "A rule counts where it is the first thing that stops an offer. Limits, consent, hold-outs and the rules of placements count \
         only where an offer passed everything before and its turn had come.",
    ];
    let _ = writeln!(text, "<li>{history}</li>");
    for line in standing {
        let _ = writeln!(text, "<li>{line}</li>");
    }
    for remark in &report.remarks {
        let _ = writeln!(text, "<li>Note that {}.</li>", escaped(remark));
    }
    text.push_str("</ul>\n");
}

fn named(id: &str, status: Status) -> String {
    let id = escaped(id);
    match status {
        Status::Kept => id,
        Status::New => format!("{id} (new)"),
        Status::Gone => format!("{id} (gone)"),
    }
}

fn cells_of(pair: Pair) -> [String; 4] {
    [
        grouped(pair.before),
        grouped(pair.after),
        signed(pair.shift()),
        percent(pair.percent()),
    ]
}

/// Adds a table behind a line to open it; the first `texts` columns are text.
fn add_table(
    text: &mut String,
    title: &str,
    columns: &[&str],
    texts: usize,
    rows: impl ExactSizeIterator<Item = Vec<String>>,
) {
    let count = grouped(rows.len() as u64);
    let _ = writeln!(
        text,
        "<details>\n<summary>{title} ({count})</summary>\n<div class=\"scroll\"><table>\n<thead><tr>"
    );
    for (at, column) in columns.iter().enumerate() {
        // A change in percent stands next to the change itself.
        let column = if column.is_empty() { "shift in %" } else { column };
        let class = if at < texts { " class=\"text\"" } else { "" };
        let _ = write!(text, "<th scope=\"col\"{class}>{column}</th>");
    }
    text.push_str("</tr></thead>\n<tbody>\n");
    for cells in rows {
        text.push_str("<tr>");
        for (at, cell) in cells.iter().enumerate() {
            let _ = match at {
                0 => write!(text, "<th scope=\"row\">{cell}</th>"),
                at if at < texts => write!(text, "<td class=\"text\">{cell}</td>"),
                _ => write!(text, "<td>{cell}</td>"),
            };
        }
        text.push_str("</tr>\n");
    }
    text.push_str("</tbody>\n</table></div>\n</details>\n");
}
