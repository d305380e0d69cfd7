//! Whether a file has the shape that [`Source`] describes: known keys, values of the right type, nothing missing.
//!
//! The JSON Schema that editors use is the one that is checked here, so what an editor accepts and what the engine
//! accepts cannot differ. A key that is nearly right is reported, taken for the right one, and checked on, so that one
//! slip of the pen is one diagnostic.

use std::sync::LazyLock;

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::paths::{Location, LocationSegment};
use jsonschema::{ValidationError, Validator};
use schemars::JsonSchema;
use serde_json::Value;

use super::document::{At, Document, Report};
use super::source::Source;
use super::yaml::{Data, Node};
use crate::rules::nearest;

/// How often names of keys are corrected and checked again; each round reaches one level deeper.
const ROUNDS_MAX: usize = 8;

/// Keys whose values are spans of time.
const SPANS: [&str; 6] = ["`within`", "`step`", "`until`", "`reservation`", "`rest`", "`apart`"];

/// Keys whose values are times of day, within the list of this key.
const TIMES_OF_DAY: (&str, [&str; 2]) = ("quiet", ["`from`", "`until`"]);

/// What to do about a key that is no key but the rest of a text.
const COMMA: &str = "a `,` ends a text inside of `{` `}`; put the whole text in quotes";

/// One step from a value to one of its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// To the value of a key.
    Key(String),
    /// To an element of a list, from 0.
    Element(usize),
}

/// Returns the JSON Schema of a catalog file.
#[must_use]
pub fn json_schema() -> Value {
    schema_of::<Source>()
}

fn schema_of<T: JsonSchema>() -> Value {
    let mut schema = schemars::schema_for!(T).to_value();
    require_values(&mut schema);
    schema
}

/// A schema, ready to check with, and as text for the messages.
pub(super) struct Shape {
    validator: Validator,
    schema: Value,
}

impl Shape {
    /// Makes the shape of a type; the message says what is wrong with the type itself.
    pub(super) fn of<T: JsonSchema>() -> Result<Self, String> {
        let schema = schema_of::<T>();
        let validator = jsonschema::validator_for(&schema).map_err(|error| error.to_string())?;
        Ok(Self { validator, schema })
    }
}

/// The shape of a catalog file.
pub(super) static CATALOG: LazyLock<Result<Shape, String>> = LazyLock::new(Shape::of::<Source>);

/// Takes out of a schema that a value may be `null`: a key with nothing after it is a slip of the pen, not a choice.
/// And bounds whole numbers by what they are stored in.
fn require_values(schema: &mut Value) {
    match schema {
        Value::Array(parts) => parts.iter_mut().for_each(require_values),
        Value::Object(keys) => {
            keys.values_mut().for_each(require_values);
            if let Some(Value::Array(types)) = keys.get_mut("type") {
                types.retain(|each| each != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    keys.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::Array(branches)) = keys.get("anyOf")
                && let [Value::Object(reference), Value::Object(null)] = branches.as_slice()
                && null.get("type").is_some_and(|each| each == "null")
            {
                let reference = reference.clone();
                keys.remove("anyOf");
                keys.extend(reference);
            }
            if keys.get("default").is_some_and(Value::is_null) {
                keys.remove("default");
            }
            if keys.get("format").is_some_and(|format| format == "uint32") {
                keys.insert("maximum".to_owned(), u32::MAX.into());
            }
        }
        _ => {}
    }
}

/// Checks a file's shape and corrects keys that are nearly right. Returns the paths of all values that are wrong.
pub(super) fn check(document: &mut Document<'_>, shape: &Result<Shape, String>, report: &mut Report) -> Vec<Vec<Step>> {
    let (validator, schema) = match shape {
        Ok(Shape { validator, schema }) => (validator, schema),
        Err(error) => {
            report.file_error(document.name, format!("the schema itself is broken: {error}"), None);
            return Vec::new();
        }
    };
    for _ in 0..ROUNDS_MAX {
        let Some(root) = &document.root else { return Vec::new() };
        let json = root.to_json();
        let mut corrections = Vec::new();
        for error in validator.iter_errors(&json) {
            if let ValidationErrorKind::AdditionalProperties { unexpected } = error.kind() {
                let allowed = allowed_keys(schema, error.schema_path());
                let path = path_of(error.instance_path());
                for key in unexpected {
                    corrections.push((
                        path.clone(),
                        key.clone(),
                        unknown_key(document, &path, key, &allowed, report),
                    ));
                }
            }
        }
        if corrections.is_empty() {
            let check = Check { document, schema };
            return validator
                .iter_errors(&json)
                .map(|error| check.report(&error, report))
                .collect();
        }
        if let Some(root) = &mut document.root {
            for (path, key, meant) in &corrections {
                correct(root, path, key, meant.as_deref());
            }
        }
    }
    Vec::new()
}

/// Reports an unknown key, and returns what was probably meant.
fn unknown_key(
    document: &Document<'_>,
    path: &[Step],
    key: &str,
    allowed: &[&str],
    report: &mut Report,
) -> Option<String> {
    let meant = nearest(key, allowed.iter().copied());
    let at = place(document, path);
    let is_rest_of_text = key.contains(' ') && at.key(key).node().is_some_and(|node| node.to_json().is_null());
    let hint = match meant {
        Some(meant) => format!("did you mean `{meant}`?"),
        None if is_rest_of_text => COMMA.to_owned(),
        None => format!("allowed here: {}", allowed.join(", ")),
    };
    report.error_with_hint(at.name_of(key), format!("unknown key `{key}`"), hint);
    meant.map(str::to_owned)
}

/// Gives a key the name that was meant, or removes it when that is not known or taken.
fn correct(root: &mut Node, path: &[Step], key: &str, meant: Option<&str>) {
    let mut node = root;
    for step in path {
        let next = match (&mut node.data, step) {
            (Data::Map(entries), Step::Key(name)) => entries
                .iter_mut()
                .find(|entry| entry.key == *name)
                .map(|entry| &mut entry.node),
            (Data::List(nodes), Step::Element(at)) => nodes.get_mut(*at),
            _ => None,
        };
        let Some(next) = next else { return };
        node = next;
    }
    let Data::Map(entries) = &mut node.data else { return };
    let free = meant.filter(|meant| entries.iter().all(|entry| entry.key != *meant));
    match (free, entries.iter().position(|entry| entry.key == key)) {
        (Some(meant), Some(at)) => meant.clone_into(&mut entries[at].key),
        (None, Some(at)) => drop(entries.remove(at)),
        (_, None) => {}
    }
}

/// Returns the place that a path leads to.
fn place<'a>(document: &'a Document<'a>, path: &[Step]) -> At<'a> {
    path.iter().fold(document.top(), |at, step| match step {
        Step::Key(key) => at.key(key),
        Step::Element(index) => at.item(*index),
    })
}

fn path_of(location: &Location) -> Vec<Step> {
    location
        .iter()
        .map(|segment| match segment {
            LocationSegment::Property(key) => Step::Key(key.into_owned()),
            LocationSegment::Index(at) => Step::Element(at),
        })
        .collect()
}

/// Returns the part of the schema that a keyword belongs to.
fn owner<'a>(schema: &'a Value, keyword: &Location) -> &'a Value {
    let path = keyword.as_str();
    path.rsplit_once('/')
        .and_then(|(owner, _)| schema.pointer(owner))
        .unwrap_or(&Value::Null)
}

fn allowed_keys<'a>(schema: &'a Value, keyword: &Location) -> Vec<&'a str> {
    let properties = owner(schema, keyword).get("properties").and_then(Value::as_object);
    properties
        .map(|keys| keys.keys().map(String::as_str).collect())
        .unwrap_or_default()
}

/// What the words about one error need.
struct Check<'a> {
    document: &'a Document<'a>,
    schema: &'a Value,
}

impl Check<'_> {
    /// Reports one error, and returns the path of what is wrong.
    fn report(&self, error: &ValidationError<'_>, report: &mut Report) -> Vec<Step> {
        let path = path_of(error.instance_path());
        if let ValidationErrorKind::AnyOf { context } = error.kind() {
            // Of one thing or a list of them, what was meant is where something is found inside.
            let is_inside = |errors: &&Vec<ValidationError<'_>>| {
                errors
                    .iter()
                    .any(|inner| inner.instance_path() != error.instance_path())
            };
            for inner in context.iter().find(is_inside).or(context.first()).into_iter().flatten() {
                self.report(inner, report);
            }
            return path;
        }
        let name = phrase_of_path(&path);
        let (message, hint) = match error.kind() {
            ValidationErrorKind::Required { property } => self.missing(error, property.as_str().unwrap_or("?")),
            ValidationErrorKind::Type { .. } if is_time_of_day(&path, &name) => {
                let message = format!(
                    "{name} must be a time of day, not {}",
                    phrase_of_value(error.instance())
                );
                (message, Some("write it in quotes, as in `\"21:00\"`".to_owned()))
            }
            ValidationErrorKind::Type { kind } => wrong_type(&name, kind, error.instance()),
            ValidationErrorKind::OneOfNotValid { .. } => self.not_one_of(&name, error),
            ValidationErrorKind::Minimum { limit } => (format!("{name} must be at least {limit}"), None),
            ValidationErrorKind::Maximum { limit } => (format!("{name} must be at most {limit}"), None),
            ValidationErrorKind::MinItems { limit } | ValidationErrorKind::MaxItems { limit } => {
                (format!("{name} must have exactly {limit} entries"), None)
            }
            _ => (format!("{name} is not allowed: {error}"), None),
        };
        let at = place(self.document, &path);
        match hint {
            Some(hint) => report.error_with_hint(at, message, hint),
            None => report.error(at, message),
        }
        path
    }

    fn missing(&self, error: &ValidationError<'_>, key: &str) -> (String, Option<String>) {
        let property = owner(self.schema, error.schema_path()).pointer(&format!("/properties/{key}/description"));
        let hint = property
            .and_then(Value::as_str)
            .map(|text| format!("`{key}`: {}", lower_first(text)));
        (format!("the key `{key}` is missing here"), hint)
    }

    fn not_one_of(&self, name: &str, error: &ValidationError<'_>) -> (String, Option<String>) {
        let branches = self
            .schema
            .pointer(error.schema_path().as_str())
            .and_then(Value::as_array);
        let allowed: Vec<&str> = branches
            .into_iter()
            .flatten()
            .filter_map(|branch| branch.get("const")?.as_str())
            .collect();
        let message = format!("{name} cannot be {}", phrase_of_value(error.instance()));
        let meant = error
            .instance()
            .as_str()
            .and_then(|wrong| nearest(wrong, allowed.iter().copied()));
        let hint = match meant {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("allowed are {}", allowed.join(", ")),
        };
        (message, Some(hint))
    }
}

fn is_time_of_day(path: &[Step], name: &str) -> bool {
    let (list, names) = TIMES_OF_DAY;
    let is_within = path.iter().any(|step| matches!(step, Step::Key(key) if key == list));
    is_within && names.contains(&name)
}

fn wrong_type(name: &str, kind: &TypeKind, value: &Value) -> (String, Option<String>) {
    let wanted = match kind {
        TypeKind::Single(wanted) => wanted.to_string(),
        TypeKind::Multiple(_) => "value of another type".to_owned(),
    };
    let (phrase, hint) = match (wanted.as_str(), value) {
        ("string", Value::Null) if name.contains(' ') => ("a text", COMMA),
        ("string", Value::Null) => ("a text", "give a value, or remove the key"),
        ("string", Value::Number(_)) if SPANS.contains(&name) => {
            ("a span of time", "write it with its unit, as in `7d`")
        }
        ("string", Value::Array(_) | Value::Object(_)) => ("a text", "put it in quotes if it is meant as a text"),
        ("string", _) => ("a text", "put it in quotes"),
        ("array", Value::Null) => ("a list", "add entries that begin with `- `, or remove the key"),
        ("array", Value::Object(_)) => ("a list", "begin each entry with `- `"),
        ("array", _) => ("a list", "write it as `[...]`, or one entry a line after `- `"),
        ("integer", Value::Null) => ("a whole number", "give a value, or remove the key"),
        ("number", Value::Null) => ("a number", "give a value, or remove the key"),
        ("boolean", Value::Null) => ("`true` or `false`", "give a value, or remove the key"),
        ("object", _) => ("keys with values", "write `key: value` lines below it, indented"),
        ("integer", _) => ("a whole number", "write digits only, without quotes or units"),
        ("number", _) => (
            "a number",
            "write it without quotes, units or thousands separators, as in 0.25",
        ),
        ("boolean", _) => ("`true` or `false`", "write true or false, without quotes"),
        (other, _) => (other, "see the schema"),
    };
    (
        format!("{name} must be {phrase}, not {}", phrase_of_value(value)),
        Some(hint.to_owned()),
    )
}

/// Names the thing at the end of a path: by its key, or as an entry of the list at that key.
fn phrase_of_path(path: &[Step]) -> String {
    let key = path.iter().rev().find_map(|step| match step {
        Step::Key(key) => Some(key.as_str()),
        Step::Element(_) => None,
    });
    match (path.last(), key) {
        (Some(Step::Element(_)), Some(key)) => format!("each entry of `{key}`"),
        (Some(Step::Key(key)), _) => format!("`{key}`"),
        _ => "the file".to_owned(),
    }
}

fn phrase_of_value(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(value) => format!("the yes/no value `{value}`"),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) => format!("the text `{}`", text.chars().take(40).collect::<String>()),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "keys with values".to_owned(),
    }
}

fn lower_first(text: &str) -> String {
    let mut characters = text.chars();
    let first: String = characters
        .next()
        .map(|first| first.to_lowercase().collect())
        .unwrap_or_default();
    first + characters.as_str().trim_end_matches('.')
}
