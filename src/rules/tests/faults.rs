//! What is refused, and in which words.

use super::Shop;

/// Every source at the margin, followed by its faults, indented: the marked bytes between `|`, the message, the hint.
const ROWS: &str = include_str!("faults.txt");

/// Writes the faults of a source the way the rows do.
fn report(source: &str) -> String {
    let Err(faults) = Shop::new().compile(source) else {
        return "    none\n".to_owned();
    };
    let line = |fault: super::Fault| {
        let hint = fault.hint.map(|hint| format!(" [{hint}]")).unwrap_or_default();
        format!(
            "    {:?} |{}| {}{hint}\n",
            fault.range,
            &source[fault.range.clone()],
            fault.message
        )
    };
    faults.into_iter().map(line).collect()
}

#[test]
fn every_fault_says_where_it_is_what_is_wrong_and_what_to_write_instead() {
    let mut rows: Vec<(&str, String)> = Vec::new();
    for line in ROWS.lines().filter(|line| !line.is_empty()) {
        match (line.starts_with("    "), rows.last_mut()) {
            (true, Some((_, faults))) => faults.extend([line, "\n"]),
            _ => rows.push((line, String::new())),
        }
    }
    assert!(rows.len() > 100, "the rows were not read");
    for (source, expected) in rows {
        assert_eq!(report(source), expected, "{source}");
    }
}
