//! The report as tables for a terminal: what changes most, or everything.

use std::cmp::Reverse;
use std::fmt::Write as _;

use super::super::numbers::{counted, grouped};
use super::{percent, share, signed};
use crate::whatif::report::{History, LimitRow, Pair, Report, RuleRow, Status};

/// How many rows of a list are shown when not all are.
const ROWS_MAX: usize = 10;

pub(super) fn text(report: &Report, all: bool) -> String {
    let mut text = heading(report);
    let offers = report.offers.iter().map(|row| {
        let name = named(&row.offer, row.status);
        Row::of_shown(name, row.shown, row.first)
    });
    list(&mut text, "offers", &SHOWN, offers.collect(), all);
    let groups = report.groups.iter().map(|row| {
        let name = named(&row.group, row.status);
        Row::of_shown(name, row.shown, row.first)
    });
    list(&mut text, "groups", &SHOWN, groups.collect(), all);
    let limits = report.limits.iter().map(limit).collect();
    list(&mut text, "limits, offers withheld", &WITHHELD, limits, all);
    let rules = report.rules.iter().map(rule).collect();
    list(&mut text, "rules, offers blocked", &BLOCKED, rules, all);
    for remark in &report.remarks {
        let _ = writeln!(text, "\nremark: {remark}");
    }
    text
}

fn heading(report: &Report) -> String {
    let decisions = &report.decisions;
    let mut text = format!(
        "{} {} on {} for {}",
        report.catalog.name,
        report.catalog.version,
        counted(decisions.made, "decision"),
        counted(report.customers, "customer"),
    );
    if let Some(made) = &report.made {
        let _ = write!(text, ", {} to {}", made.first, made.last);
    }
    let versions: Vec<&str> = report.before.iter().map(|before| &*before.version).collect();
    let _ = writeln!(text, "\nmade then by {}: {}", distinct(&versions), reproduced(report));
    match report.history {
        History::Carried => {
            let customers = counted(report.customers_carried, "customer");
            let _ = writeln!(
                text,
                "the changed catalog sees what it showed itself; {customers} got another history"
            );
        }
        History::Recorded => {
            text.push_str("the changed catalog sees the contacts as recorded, so each difference is of one step\n");
        }
    }
    for left_out in &decisions.left_out {
        let _ = writeln!(
            text,
            "left out: {}: {}",
            counted(left_out.decisions, "decision"),
            left_out.why
        );
    }
    if decisions.unreadable_records > 0 {
        let records = counted(decisions.unreadable_records, "record");
        let _ = writeln!(text, "left out: {records} of people who were erased or forgotten since");
    }
    text.push('\n');
    for (what, number) in [
        ("another first offer", decisions.first_changed),
        ("anything else shown", decisions.list_changed),
        ("nothing shown any more", decisions.became_empty),
    ] {
        let (number, share) = (grouped(number), share(number, decisions.made));
        let _ = writeln!(text, "{what:<24} {number:>12} {share:>9}");
    }
    for refused in &decisions.refused {
        let number = grouped(refused.decisions);
        let _ = writeln!(text, "{:<24} {number:>12}  {}", "of them refused", refused.why);
    }
    text
}

/// Lists versions once each, in their order.
pub(super) fn distinct(versions: &[&str]) -> String {
    let mut found: Vec<&str> = Vec::new();
    for version in versions {
        if !found.contains(version) {
            found.push(version);
        }
    }
    if found.is_empty() {
        "no catalog that is kept".to_owned()
    } else {
        found.join(", ")
    }
}

pub(super) fn reproduced(report: &Report) -> String {
    match report.decisions.not_reproduced {
        0 => "all come out the same again, bit for bit".to_owned(),
        other => format!(
            "{} of them come out otherwise than recorded (a model had failed, or this release decides otherwise)",
            grouped(other)
        ),
    }
}

fn named(id: &str, status: Status) -> String {
    match status {
        Status::Kept => id.to_owned(),
        Status::New => format!("{id} (new)"),
        Status::Gone => format!("{id} (gone)"),
    }
}

fn limit(row: &LimitRow) -> Row {
    let LimitRow {
        withheld, customers, ..
    } = row;
    Row {
        name: named(&row.limit, row.status),
        weight: weight(*withheld).max(weight(*customers)),
        cells: [
            cells(*withheld).to_vec(),
            vec![grouped(customers.before), grouped(customers.after)],
        ]
        .concat(),
    }
}

fn rule(row: &RuleRow) -> Row {
    let stage = row.stage.replace('_', " ");
    Row {
        name: format!("{} ({stage})", named(&row.rule, row.status)),
        weight: weight(row.blocked),
        cells: cells(row.blocked).to_vec(),
    }
}

fn cells(pair: Pair) -> [String; 4] {
    [
        grouped(pair.before),
        grouped(pair.after),
        signed(pair.shift()),
        percent(pair.percent()),
    ]
}

const fn weight(pair: Pair) -> u64 {
    pair.before.abs_diff(pair.after)
}

const SHOWN: [&str; 7] = ["before", "after", "shift", "", "first before", "after", "shift"];
const WITHHELD: [&str; 6] = ["before", "after", "shift", "", "customers before", "after"];
const BLOCKED: [&str; 4] = ["before", "after", "shift", ""];

/// One row of a list.
struct Row {
    name: String,
    /// By how much it changes.
    weight: u64,
    cells: Vec<String>,
}

impl Row {
    fn of_shown(name: String, shown: Pair, first: Pair) -> Self {
        Self {
            name,
            weight: weight(shown).max(weight(first)),
            cells: [
                cells(shown).to_vec(),
                vec![grouped(first.before), grouped(first.after), signed(first.shift())],
            ]
            .concat(),
        }
    }
}

/// Adds a list: what changes most first, and as many rows as are wanted.
fn list(text: &mut String, title: &str, columns: &[&str], mut rows: Vec<Row>, all: bool) {
    rows.sort_by_key(|row| Reverse(row.weight));
    let changed = rows.iter().filter(|row| row.weight > 0).count();
    let shown = if all { rows.len() } else { changed.min(ROWS_MAX) };
    let hidden = changed.saturating_sub(shown);
    if shown == 0 {
        let _ = writeln!(text, "\n{title}: none changes");
        return;
    }
    rows.truncate(shown);
    let widest = |lengths: &mut dyn Iterator<Item = usize>| lengths.max().unwrap_or(0);
    let name = widest(&mut rows.iter().map(|row| row.name.chars().count())).max(title.len());
    let mut widths: Vec<usize> = columns.iter().map(|column| column.len()).collect();
    for (at, width) in widths.iter_mut().enumerate() {
        let own = widest(&mut rows.iter().map(|row| row.cells[at].len()));
        *width = own.max(*width);
    }
    text.push('\n');
    let mut line = |name_cell: &str, cells: &mut dyn Iterator<Item = &str>| {
        let mut line = format!("{name_cell:<name$}");
        for (cell, &width) in cells.zip(&widths) {
            let _ = write!(line, "  {cell:>width$}");
        }
        let _ = writeln!(text, "{}", line.trim_end());
    };
    line(title, &mut columns.iter().copied());
    for row in &rows {
        line(&row.name, &mut row.cells.iter().map(String::as_str));
    }
    if hidden > 0 {
        let _ = writeln!(
            text,
            "and {} more that change less; --all shows them",
            grouped(hidden as u64)
        );
    }
}
