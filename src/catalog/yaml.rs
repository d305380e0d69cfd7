//! A catalog file's text as a tree of nodes that know where they stand.
//!
//! The tree is simpler than YAML can be: one document, text keys, no anchors, aliases, tags or merge keys. What a
//! catalog cannot mean is refused here in plain words, with all faults of a file at once, except that broken syntax
//! ends the reading. Plain scalars mean what YAML 1.2's core schema says: `true` and `false` are booleans, `yes`, `no`,
//! `on` and dates are texts, and `1_000` is a text. JSON is YAML, so manifests are read by the same code.

mod explain;

use explain::explain;
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span as Marks, StrInput};
use serde_json::{Map, Number, Value};

/// How deep lists and maps may be nested. A catalog needs 6; far deeper ones only try the stack.
pub(super) const DEPTH_MAX: usize = 32;

/// How many keys a map may have. A catalog's largest has a key for each of its channels or intents.
pub(super) const KEYS_MAX: usize = 4_096;

/// A place in a file: one line, or the first line of something longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// The line, from 1.
    pub(super) line: usize,
    /// The column in characters, from 1.
    pub(super) column: usize,
    /// How many characters, at least 1.
    pub(super) width: usize,
}

/// Something wrong with the text itself.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) span: Span,
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

/// A value in the file.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) span: Span,
    pub(super) data: Data,
}

/// What a node holds.
#[derive(Debug)]
pub(super) enum Data {
    /// Nothing, a boolean, a number or a text.
    Scalar { value: Value, style: Style },
    /// A list.
    List(Vec<Node>),
    /// A map, in the order of the file.
    Map(Vec<Entry>),
}

/// How a scalar is written, as far as positions inside it can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// Without quotes, on one line.
    Plain,
    /// In single quotes, on one line.
    Single,
    /// In double quotes, on one line.
    Double,
    /// On several lines.
    Several,
}

/// One key of a map with its value.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_span: Span,
    pub(super) node: Node,
}

impl Node {
    /// Returns the entry of a map's key.
    pub(super) fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.data {
            Data::Map(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }

    /// Returns a list's element.
    pub(super) fn element(&self, at: usize) -> Option<&Self> {
        match &self.data {
            Data::List(nodes) => nodes.get(at),
            _ => None,
        }
    }

    /// Returns the text that a scalar holds.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.data {
            Data::Scalar {
                value: Value::String(text),
                ..
            } => Some(text),
            _ => None,
        }
    }

    /// Returns the same as JSON.
    pub(super) fn to_json(&self) -> Value {
        match &self.data {
            Data::Scalar { value, .. } => value.clone(),
            Data::List(nodes) => Value::Array(nodes.iter().map(Self::to_json).collect()),
            Data::Map(entries) => Value::Object(
                entries
                    .iter()
                    .map(|entry| (entry.key.clone(), entry.node.to_json()))
                    .collect::<Map<_, _>>(),
            ),
        }
    }
}

/// Reads a text. The tree is absent when there is nothing in it or when its syntax is broken; faults come either way.
pub(super) fn parse(text: &str) -> (Option<Node>, Vec<Fault>) {
    let mut builder = Builder {
        text,
        open: Vec::new(),
        root: None,
        documents: 0,
        faults: Vec::new(),
    };
    if let Err(fault) = builder.read(Parser::new_from_str(text)) {
        builder.faults.push(fault);
        builder.root = None;
    }
    (builder.root, builder.faults)
}

/// A list or map whose end has not come yet.
struct Open {
    span: Span,
    contents: Contents,
}

enum Contents {
    List(Vec<Node>),
    Map {
        entries: Vec<Entry>,
        key: Option<(String, Span)>,
    },
}

struct Builder<'a> {
    text: &'a str,
    open: Vec<Open>,
    root: Option<Node>,
    documents: usize,
    faults: Vec<Fault>,
}

impl Builder<'_> {
    fn read(&mut self, parser: Parser<'_, StrInput<'_>>) -> Result<(), Fault> {
        for event in parser {
            let (event, marks) = event.map_err(|error| explain(&error, self.text))?;
            let span = span_of(marks);
            match event {
                Event::DocumentStart(_) => self.document(span)?,
                Event::Alias(_) => return Err(no_alias(span)),
                Event::Scalar(text, style, anchor, tag) => {
                    refuse_decoration(anchor, tag.is_some(), span)?;
                    let several = marks.start.line() != marks.end.line();
                    self.finish(scalar(&text, style, several, span))?;
                }
                Event::SequenceStart(anchor, tag) => {
                    refuse_decoration(anchor, tag.is_some(), span)?;
                    self.begin(span, Contents::List(Vec::new()))?;
                }
                Event::MappingStart(anchor, tag) => {
                    refuse_decoration(anchor, tag.is_some(), span)?;
                    self.begin(
                        span,
                        Contents::Map {
                            entries: Vec::new(),
                            key: None,
                        },
                    )?;
                }
                Event::SequenceEnd | Event::MappingEnd => self.end()?,
                Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
            }
        }
        Ok(())
    }

    fn document(&mut self, span: Span) -> Result<(), Fault> {
        self.documents += 1;
        if self.documents == 1 {
            return Ok(());
        }
        Err(Fault {
            span,
            message: "a second document begins here; a catalog file holds one".to_owned(),
            hint: Some("remove the `---`, or move what follows into a file of its own".to_owned()),
        })
    }

    fn begin(&mut self, span: Span, contents: Contents) -> Result<(), Fault> {
        if let Some(Open {
            contents: Contents::Map { key: None, .. },
            ..
        }) = self.open.last()
        {
            return Err(Fault {
                span,
                message: "a key must be one word, not a list or map".to_owned(),
                hint: None,
            });
        }
        if self.open.len() == DEPTH_MAX {
            let message = format!("lists and maps are nested more than {DEPTH_MAX} deep");
            return Err(Fault {
                span,
                message,
                hint: None,
            });
        }
        self.open.push(Open { span, contents });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Fault> {
        let Some(Open { span, contents }) = self.open.pop() else {
            return Ok(());
        };
        let data = match contents {
            Contents::List(nodes) => Data::List(nodes),
            Contents::Map { entries, .. } => Data::Map(entries),
        };
        let span = match &data {
            Data::Map(entries) => entries.first().map_or(span, |entry| merge(span, entry.key_span)),
            _ => span,
        };
        self.finish(Finished {
            node: Node { span, data },
            written: String::new(),
        })
    }

    /// Puts a finished node where it belongs: a list's element, a map's key or value, or the root.
    fn finish(&mut self, finished: Finished) -> Result<(), Fault> {
        let Finished { node, written } = finished;
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match &mut open.contents {
            Contents::List(nodes) => nodes.push(node),
            Contents::Map { entries, key } => match key.take() {
                Some((key, key_span)) => entries.push(Entry { key, key_span, node }),
                None if written.is_empty() => {
                    let message = "a key is missing before the `:`".to_owned();
                    return Err(Fault {
                        span: node.span,
                        message,
                        hint: None,
                    });
                }
                None => *key = Some((written, node.span)),
            },
        }
        self.refuse_duplicate()
    }

    /// Drops the entry that was added last when its key was there before.
    fn refuse_duplicate(&mut self) -> Result<(), Fault> {
        let Some(Open {
            contents: Contents::Map { entries, key: None },
            ..
        }) = self.open.last_mut()
        else {
            return Ok(());
        };
        let Some((latest, earlier)) = entries.split_last() else {
            return Ok(());
        };
        if earlier.len() == KEYS_MAX {
            let message = format!("there are more than {KEYS_MAX} keys here");
            return Err(Fault {
                span: latest.key_span,
                message,
                hint: None,
            });
        }
        if let Some(first) = earlier.iter().find(|entry| entry.key == latest.key) {
            self.faults.push(Fault {
                span: latest.key_span,
                message: format!("`{}` stands here twice", latest.key),
                hint: Some(format!(
                    "the first is on line {}; keep one of them",
                    first.key_span.line
                )),
            });
            entries.pop();
        }
        Ok(())
    }
}

/// A finished node, and for a scalar the text as it would be as a key.
struct Finished {
    node: Node,
    written: String,
}

fn scalar(text: &str, style: ScalarStyle, several: bool, span: Span) -> Finished {
    let value = if style == ScalarStyle::Plain {
        plain(text)
    } else {
        Value::String(text.to_owned())
    };
    let style = match style {
        _ if several => Style::Several,
        ScalarStyle::Plain => Style::Plain,
        ScalarStyle::SingleQuoted => Style::Single,
        ScalarStyle::DoubleQuoted => Style::Double,
        ScalarStyle::Literal | ScalarStyle::Folded => Style::Several,
    };
    Finished {
        node: Node {
            span,
            data: Data::Scalar { value, style },
        },
        written: text.to_owned(),
    }
}

/// Resolves a plain scalar as YAML 1.2's core schema does, without octal, hexadecimal, infinite and NaN numbers, which
/// stay texts and are then refused where a number is meant.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let numeric = unsigned.starts_with(|first: char| first.is_ascii_digit() || first == '.')
        && unsigned.contains(|character: char| character.is_ascii_digit());
    if numeric {
        if let Ok(whole) = text.parse::<i64>() {
            return Value::Number(whole.into());
        }
        if let Some(number) = text.parse().ok().and_then(Number::from_f64) {
            return Value::Number(number);
        }
    }
    Value::String(text.to_owned())
}

fn refuse_decoration(anchor: usize, tagged: bool, span: Span) -> Result<(), Fault> {
    if tagged {
        let message = "a value that begins with `!` is a YAML tag, which a catalog does not use".to_owned();
        let hint = Some("put the whole value in quotes, as in '!profile.is_staff'".to_owned());
        return Err(Fault { span, message, hint });
    }
    if anchor != 0 {
        let message = "a value that begins with `&` is a YAML anchor, which a catalog does not use".to_owned();
        return Err(Fault {
            span,
            message,
            hint: Some("put the whole value in quotes".to_owned()),
        });
    }
    Ok(())
}

fn no_alias(span: Span) -> Fault {
    Fault {
        span,
        message: "a value that begins with `*` is a YAML alias, which a catalog does not use".to_owned(),
        hint: Some("write the value out, or put it in quotes".to_owned()),
    }
}

fn span_of(marks: Marks) -> Span {
    let (start, end): (Marker, Marker) = (marks.start, marks.end);
    let width = if start.line() == end.line() {
        end.col().saturating_sub(start.col())
    } else {
        1
    };
    Span {
        line: start.line().max(1),
        column: start.col() + 1,
        width: width.max(1),
    }
}

/// A map is shown by its first key when that begins where the map does, otherwise by its bracket.
fn merge(map: Span, key: Span) -> Span {
    if map.line == key.line && map.column == key.column {
        key
    } else {
        map
    }
}

/// Tells where in a line the byte `at` of a scalar's text stands, counted in characters from the scalar's beginning;
/// `None` for texts of several lines. `written` is the source from the scalar's beginning on.
pub(super) fn offset_in_line(style: Style, written: &str, at: usize) -> Option<usize> {
    let mut text_bytes = 0;
    let mut characters = written.chars();
    let mut column = 0;
    if style == Style::Several {
        return None;
    }
    if style != Style::Plain {
        characters.next();
        column += 1;
    }
    while text_bytes < at {
        let character = characters.next()?;
        let (width, bytes) = match (style, character) {
            (Style::Single, '\'') => (2, 1),
            (Style::Double, '\\') => escape(characters.as_str())?,
            _ => (1, character.len_utf8()),
        };
        for _ in 1..width {
            characters.next();
        }
        column += width;
        text_bytes += bytes;
    }
    Some(column)
}

/// Returns how many characters an escape takes in the source, its `\\` included, and how many bytes it makes in the text.
fn escape(after: &str) -> Option<(usize, usize)> {
    let digits = match after.chars().next()? {
        'x' => 2,
        'u' => 4,
        'U' => 8,
        'N' | '_' => return Some((2, 2)),
        'L' | 'P' => return Some((2, 3)),
        _ => return Some((2, 1)),
    };
    let code = u32::from_str_radix(after.get(1..=digits)?, 16).ok()?;
    Some((2 + digits, char::from_u32(code)?.len_utf8()))
}

#[cfg(test)]
mod tests;
