//! Lists in a body that are too long, found before anything is made of them.
//!
//! An item that says nothing is two bytes of JSON and some hundred of memory, so the limit on a body's bytes does not bound what is
//! made of it. This counts the items of each list and no more: what else is wrong is told by whoever reads the body.

use std::ops::Range;

/// How deep lists and objects may lie in each other; the reader takes no more either.
const DEPTH_MAX: usize = 128;

/// A list with more items than it may have.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LongList {
    /// The field that holds it; empty when none does.
    pub(super) field: String,
    /// Where the first item too many begins, from 1.
    pub(super) line: usize,
    pub(super) column: usize,
}

/// What is open at a place.
enum Open {
    Object,
    List { items: usize, field: Range<usize> },
}

/// Finds a list with more than `items_max` items.
pub(super) fn too_long(json: &[u8], items_max: usize) -> Option<LongList> {
    // An item and what parts it from the next take two bytes.
    if json.len() <= 2 * items_max {
        return None;
    }
    let mut open: Vec<Open> = Vec::new();
    let (mut text, mut is_named) = (0..0, false);
    let mut at = 0;
    while let Some(&byte) = json.get(at) {
        match byte {
            b'"' => {
                text = at + 1..end_of_text(json, at + 1);
                at = text.end;
            }
            b'{' => open.push(Open::Object),
            b'[' => {
                let field = if is_named { text.clone() } else { 0..0 };
                open.push(Open::List { items: 1, field });
            }
            b'}' | b']' => drop(open.pop()),
            b',' => {
                if let Some(Open::List { items, field }) = open.last_mut() {
                    *items += 1;
                    if *items > items_max {
                        return Some(found(json, at + 1, field.clone()));
                    }
                }
            }
            _ => {}
        }
        if open.len() > DEPTH_MAX {
            return None;
        }
        if !byte.is_ascii_whitespace() {
            is_named = byte == b':';
        }
        at += 1;
    }
    None
}

/// Returns where a text ends that begins at a place: at its closing quote, or with the body.
fn end_of_text(json: &[u8], from: usize) -> usize {
    let mut at = from;
    loop {
        match json.get(at) {
            Some(b'\\') => at += 2,
            Some(b'"') => return at,
            Some(_) => at += 1,
            None => return json.len(),
        }
    }
}

fn found(json: &[u8], at: usize, field: Range<usize>) -> LongList {
    let before = &json[..at];
    let lines = before.split(|&byte| byte == b'\n');
    let (line, last) = lines.enumerate().last().unwrap_or((0, before));
    LongList {
        field: String::from_utf8_lossy(json.get(field).unwrap_or_default()).into_owned(),
        line: line + 1,
        column: last.len() + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(items: usize) -> String {
        vec!["{}"; items].join(",")
    }

    #[test]
    fn the_first_list_that_is_too_long_is_named_with_the_place_of_the_first_item_too_many() {
        let body = format!(r#"{{"a": [1, 2], "events" : [{}]}}"#, listed(5));
        assert_eq!(too_long(body.as_bytes(), 5), None);
        let expected = |field: &str, line, column| {
            let field = field.to_owned();
            Some(LongList { field, line, column })
        };
        assert_eq!(too_long(body.as_bytes(), 4), expected("events", 1, 39));
        let nested = format!("{{\"offers\":\n{{\"events\": [[1],\n[{}]]}}}}", listed(9));
        assert_eq!(too_long(nested.as_bytes(), 4), expected("", 3, 14));
        assert_eq!(too_long(listed(9).as_bytes(), 2), None, "no list");
        assert_eq!(too_long(format!("[{}]", listed(9)).as_bytes(), 8), expected("", 1, 26));
    }

    #[test]
    fn what_stands_in_a_text_is_no_list_and_objects_have_no_items() {
        for body in [
            r#"{"a": "[,,,,,,,,,,,,,,", "b": "\"[,,,,,,,,,,,,,,\\"}"#,
            r#"{"a": 1, "b": 2, "c": 3, "d": 4, "e": {"f": 1, "g": 2, "h": 3}}"#,
            r#"{"a": [{"b": 1, "c": 2, "d": 3}, {"e": 1, "f": 2, "g": 3}]}"#,
            "[[1, 2], [1, 2]], [1, ",
            "\"[,,,,,,,,,,,\\",
        ] {
            assert_eq!(too_long(body.as_bytes(), 2), None, "{body}");
        }
        assert_eq!(too_long(&b"[".repeat(100_000), 2), None);
    }
}
