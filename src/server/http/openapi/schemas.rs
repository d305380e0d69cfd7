//! The messages and enumerations of the contract as JSON schemas.

use std::collections::{BTreeSet, HashMap};

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto};
use serde_json::{Map, Value, json};

/// The name of the schema of refusals.
pub(super) const STATUS: &str = "Status";

/// The fields of the descriptors by which comments are found.
const MESSAGES: i32 = 4;
const ENUMERATIONS: i32 = 5;
const INNER: i32 = 2;
const ONEOFS: i32 = 8;

/// The comments of a file, by the place of what they are about.
pub(super) struct Comments(HashMap<Vec<i32>, String>);

impl Comments {
    pub(super) fn of(file: &FileDescriptorProto) -> Self {
        let places = file.source_code_info.iter().flat_map(|info| &info.location);
        let commented = places.filter_map(|place| {
            let comment = place.leading_comments.as_deref()?;
            // A new line is no new sentence; an empty one is a new paragraph.
            let paragraphs = comment.split("\n\n").map(|paragraph| {
                let lines: Vec<&str> = paragraph.lines().map(str::trim).collect();
                lines.join(" ").trim().to_owned()
            });
            let text = paragraphs.collect::<Vec<_>>().join("\n\n");
            Some((place.path.clone(), text))
        });
        Self(commented.collect())
    }

    /// Returns the comment on what stands at a place; empty when there is none.
    pub(super) fn at(&self, place: &[i32]) -> &str {
        self.0.get(place).map_or("", String::as_str)
    }
}

/// Returns a type's name without its package.
pub(super) fn short(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

/// Returns a reference to a schema.
pub(super) fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// Makes the schemas of all messages and enumerations of the files, and of refusals.
pub(super) fn all(files: &[FileDescriptorProto]) -> Map<String, Value> {
    let answered = answered(files);
    let mut schemas = Map::new();
    for file in files {
        let comments = Comments::of(file);
        for (at, message) in (0..).zip(&file.message_type) {
            let mut schema = of_message(message, &comments, at);
            // What only callers write is closed, as the server refuses what it does not know. Answers may have more one day.
            if !answered.contains(message.name()) {
                schema["additionalProperties"] = json!(false);
            }
            schemas.insert(message.name().to_owned(), schema);
        }
        for (at, enumeration) in (0..).zip(&file.enum_type) {
            let schema = of_enumeration(enumeration, &comments, at);
            schemas.insert(enumeration.name().to_owned(), schema);
        }
    }
    schemas.insert(STATUS.to_owned(), status());
    schemas
}

/// Returns the names of the messages that can be part of an answer.
fn answered(files: &[FileDescriptorProto]) -> BTreeSet<&str> {
    let messages: HashMap<&str, &DescriptorProto> = files
        .iter()
        .flat_map(|file| &file.message_type)
        .map(|message| (message.name(), message))
        .collect();
    let methods = files
        .iter()
        .flat_map(|file| &file.service)
        .flat_map(|service| &service.method);
    let mut open: Vec<&str> = methods.map(|method| short(method.output_type())).collect();
    let mut found = BTreeSet::new();
    while let Some(name) = open.pop() {
        let Some(message) = messages.get(name) else { continue };
        if found.insert(message.name()) {
            let maps = message.nested_type.iter().flat_map(|entry| &entry.field);
            open.extend(message.field.iter().chain(maps).map(|field| short(field.type_name())));
        }
    }
    found
}

fn of_message(message: &DescriptorProto, comments: &Comments, at: i32) -> Value {
    let mut properties = Map::new();
    for (nth, field) in (0..).zip(&message.field) {
        let mut schema = of_field(field, message);
        let mut about = comments.at(&[MESSAGES, at, INNER, nth]).to_owned();
        if let Some(choice) = choice(field) {
            let of = comments.at(&[MESSAGES, at, ONEOFS, choice]);
            about = format!(
                "{about} At most one of {} can be there. {of}",
                alternatives(message, choice).join(", ")
            );
        }
        schema["description"] = json!(about.trim());
        properties.insert(field.json_name().to_owned(), schema);
    }
    let mut schema = json!({
        "type": "object",
        "description": comments.at(&[MESSAGES, at]),
        "properties": properties,
    });
    let exclusions = exclusions(message);
    if !exclusions.is_empty() {
        schema["dependentSchemas"] = Value::Object(exclusions);
    }
    schema
}

/// Returns the choice that a field is part of; an optional field is none.
fn choice(field: &FieldDescriptorProto) -> Option<i32> {
    field.oneof_index.filter(|_| !field.proto3_optional())
}

fn alternatives(message: &DescriptorProto, choice: i32) -> Vec<&str> {
    let fields = message.field.iter().filter(|field| self::choice(field) == Some(choice));
    fields.map(FieldDescriptorProto::json_name).collect()
}

/// Says for each field of a choice which others cannot be there beside it.
fn exclusions(message: &DescriptorProto) -> Map<String, Value> {
    let chosen = message
        .field
        .iter()
        .filter_map(|field| Some((field.json_name(), choice(field)?)));
    let exclusions = chosen.filter_map(|(name, choice)| {
        let others = alternatives(message, choice).into_iter().filter(|other| *other != name);
        let others: Vec<Value> = others.map(|other| json!({"required": [other]})).collect();
        (!others.is_empty()).then(|| (name.to_owned(), json!({"not": {"anyOf": others}})))
    });
    exclusions.collect()
}

fn of_field(field: &FieldDescriptorProto, message: &DescriptorProto) -> Value {
    if field.label() != Label::Repeated {
        return of_value(field);
    }
    let entry = message.nested_type.iter().find(|entry| {
        let is_map = entry
            .options
            .as_ref()
            .is_some_and(prost_types::MessageOptions::map_entry);
        is_map && entry.name() == short(field.type_name())
    });
    match entry.and_then(|entry| entry.field.iter().find(|part| part.name() == "value")) {
        Some(value) => json!({"type": "object", "additionalProperties": of_value(value)}),
        None => json!({"type": "array", "items": of_value(field)}),
    }
}

fn of_value(field: &FieldDescriptorProto) -> Value {
    match field.r#type() {
        Type::Double => json!({"type": "number", "format": "double"}),
        Type::Float => json!({"type": "number", "format": "float"}),
        Type::Bool => json!({"type": "boolean"}),
        Type::String => json!({"type": "string"}),
        Type::Bytes => json!({"type": "string", "contentEncoding": "base64"}),
        Type::Int32 | Type::Sint32 | Type::Sfixed32 => json!({"type": "integer", "format": "int32"}),
        Type::Uint32 | Type::Fixed32 => json!({"type": "integer", "minimum": 0, "maximum": u32::MAX}),
        // Written as text, since JavaScript's numbers end at 2^53; a number is read as well.
        Type::Int64 | Type::Sint64 | Type::Sfixed64 => json!({"type": ["string", "integer"], "format": "int64"}),
        Type::Uint64 | Type::Fixed64 => json!({"type": ["string", "integer"], "format": "uint64"}),
        Type::Message | Type::Enum | Type::Group => match field.type_name() {
            ".google.protobuf.Timestamp" => json!({"type": "string", "format": "date-time"}),
            ".google.protobuf.Duration" => json!({"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]{1,9})?s$"}),
            name => reference(short(name)),
        },
    }
}

fn of_enumeration(enumeration: &EnumDescriptorProto, comments: &Comments, at: i32) -> Value {
    let names = enumeration
        .value
        .iter()
        .map(prost_types::EnumValueDescriptorProto::name);
    let names: Vec<&str> = names.collect();
    let each = (0..).zip(&names).map(|(nth, name)| {
        let about = comments.at(&[ENUMERATIONS, at, INNER, nth]);
        format!("- `{name}`: {about}")
    });
    let each = each.collect::<Vec<_>>().join("\n");
    let about = comments.at(&[ENUMERATIONS, at]);
    json!({"type": "string", "description": format!("{about}\n\n{each}"), "enum": names})
}

/// The schema of refusals.
fn status() -> Value {
    json!({
        "type": "object",
        "description": "Why a call is refused: `google.rpc.Status`.",
        "required": ["code", "message", "details"],
        "properties": {
            "code": {"type": "integer", "format": "int32", "description": "As in `google.rpc.Code`: 3 is INVALID_ARGUMENT, 5 NOT_FOUND."},
            "message": {"type": "string", "description": "What is wrong, in words."},
            "details": {
                "type": "array",
                "description": "What a program can use: `google.rpc.BadRequest` names each wrong field, `google.rpc.RetryInfo` when to try again.",
                "items": {
                    "type": "object",
                    "required": ["@type"],
                    "properties": {
                        "@type": {"type": "string"},
                        "fieldViolations": {
                            "type": "array",
                            "items": {
                                "type": "object",
                                "properties": {"field": {"type": "string"}, "description": {"type": "string"}},
                            },
                        },
                        "retryDelay": {"type": "string"},
                    },
                },
            },
        },
    })
}
