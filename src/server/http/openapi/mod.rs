//! The contract as an OpenAPI 3.1 document, made from the descriptor set and its comments, so it says what the server does.
//!
//! Every method that can be called over HTTP is there, with the comments of `proto/nbo/v1`. Methods that take a stream are not:
//! only gRPC has them.

mod schemas;

use std::sync::LazyLock;

use prost::Message as _;
use prost_types::{FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto, ServiceDescriptorProto};
use serde_json::{Map, Value, json};

use super::methods::{Kind, Method};
use crate::server::wire::DESCRIPTORS;
use schemas::{Comments, reference, short};

/// The package that is described.
const PACKAGE: &str = "nbo.v1";

/// The fields of `FileDescriptorProto` and `ServiceDescriptorProto` by which comments are found.
const SERVICES: i32 = 6;
const METHODS: i32 = 2;

const ABOUT: &str = "Every method is called by POST with the canonical JSON of its request, which is that of Protocol Buffers: \
names in camel case, 64-bit numbers as text, fields with their default left out. A field that is not known is refused. Methods that \
stream their answers give a JSON document a line, or server-sent events with `accept: text/event-stream`. Refusals are \
`google.rpc.Status`, whose `details` name each wrong field. Methods that take a stream are for gRPC only, on the same port.";

/// The document, made once.
static TEXT: LazyLock<String> = LazyLock::new(|| document().to_string());

/// Returns the document as one line of JSON.
pub(super) fn text() -> &'static str {
    &TEXT
}

/// Makes the document.
#[must_use]
pub fn document() -> Value {
    let files = files();
    let (mut tags, mut paths) = (Vec::new(), Map::new());
    for file in &files {
        let comments = Comments::of(file);
        for (at, service) in (0..).zip(&file.service) {
            let about = comments.at(&[SERVICES, at]);
            tags.push(json!({"name": service.name(), "description": about}));
            for (nth, method) in (0..).zip(&service.method) {
                let about = comments.at(&[SERVICES, at, METHODS, nth]);
                let path = format!("/{PACKAGE}.{}/{}", service.name(), method.name());
                if let Some(item) = Method::find(&path).and_then(|known| item(known.kind, service, method, about)) {
                    paths.insert(path, item);
                }
            }
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "NBO",
            "summary": env!("CARGO_PKG_DESCRIPTION"),
            "description": ABOUT,
            "version": env!("CARGO_PKG_VERSION"),
        },
        "tags": tags,
        "paths": paths,
        // Where the server knows its callers; health is open to all, and so is everything on a loopback port without tokens.
        "security": [{"bearer": []}, {}],
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "schemas": schemas::all(&files),
            "responses": {
                "Refused": {
                    "description": "Why the call is refused. Nothing was changed.",
                    "content": {"application/json": {"schema": reference(schemas::STATUS)}},
                },
            },
        },
    })
}

/// Returns the files of the package.
fn files() -> Vec<FileDescriptorProto> {
    // The bytes are the build's own; should they ever be none, the document says so by being empty, and a test fails.
    let described = FileDescriptorSet::decode(DESCRIPTORS).unwrap_or_default();
    let files = described.file.into_iter();
    files.filter(|file| file.package() == PACKAGE).collect()
}

/// Describes how a method is called; none for one that only gRPC has.
fn item(kind: Kind, service: &ServiceDescriptorProto, method: &MethodDescriptorProto, about: &str) -> Option<Value> {
    let answer = short(method.output_type());
    let content = match kind {
        Kind::GrpcOnly => return None,
        Kind::Unary(_) => json!({"application/json": {"schema": reference(answer)}}),
        Kind::Stream(_) | Kind::Watch(_) => json!({
            "application/x-ndjson": {"schema": line(answer)},
            "text/event-stream": {"schema": events(answer)},
        }),
    };
    let mut post = operation(service, method, about, &content);
    post["requestBody"] = json!({
        "required": true,
        "content": {"application/json": {"schema": reference(short(method.input_type()))}},
    });
    let mut item = json!({"post": post});
    if let Kind::Watch(_) = kind {
        let content = json!({"text/event-stream": {"schema": events(answer)}});
        let mut get = operation(service, method, about, &content);
        get["operationId"] = json!(format!("{}_{}_events", service.name(), method.name()));
        get["parameters"] = json!([{
            "name": "request",
            "in": "query",
            "required": true,
            "description": "The request, as JSON.",
            "content": {"application/json": {"schema": reference(short(method.input_type()))}},
        }]);
        item["get"] = get;
    }
    Some(item)
}

fn operation(service: &ServiceDescriptorProto, method: &MethodDescriptorProto, about: &str, content: &Value) -> Value {
    let summary = about.split_once(". ").map_or(about, |(first, _)| first);
    let summary = summary.trim_end_matches('.');
    json!({
        "operationId": format!("{}_{}", service.name(), method.name()),
        "tags": [service.name()],
        "summary": summary,
        "description": about,
        "responses": {
            "200": {"description": "The answer.", "content": content},
            "default": {"$ref": "#/components/responses/Refused"},
        },
    })
}

/// The schema of a line of a streamed answer.
fn line(answer: &str) -> Value {
    json!({
        "description": "One document a line: an answer, or as the last one why there are no more.",
        "type": "object",
        "properties": {"result": reference(answer), "error": reference(schemas::STATUS)},
        "minProperties": 1,
        "maxProperties": 1,
    })
}

/// The schema of a stream of events.
fn events(answer: &str) -> Value {
    json!({
        "description": format!("Events without a name have a {answer} as data; one named `status` has a google.rpc.Status, and is the last."),
        "type": "string",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::http::methods::ALL;

    /// Calls `visit` with every reference of a document.
    fn references<'a>(value: &'a Value, visit: &mut impl FnMut(&'a str)) {
        match value {
            Value::Object(entries) => {
                for (key, value) in entries {
                    if let ("$ref", Value::String(to)) = (key.as_str(), value) {
                        visit(to);
                    }
                    references(value, visit);
                }
            }
            Value::Array(values) => values.iter().for_each(|value| references(value, visit)),
            _ => {}
        }
    }

    #[test]
    fn every_method_that_http_has_is_there_with_its_comment() {
        let document = document();
        for method in ALL {
            let post = &document["paths"][method.path()]["post"];
            assert_eq!(
                post.is_null(),
                matches!(method.kind, Kind::GrpcOnly),
                "{}",
                method.path()
            );
            if !post.is_null() {
                assert!(post["description"].as_str().unwrap().len() > 20, "{}", method.path());
            }
        }
        assert!(document["paths"]["/nbo.v1.DecisionService/WatchOffers"]["get"].is_object());
        assert!(document["paths"]["/nbo.v1.CampaignService/RankCustomers"]["get"].is_null());
    }

    #[test]
    fn every_reference_leads_somewhere_and_everything_is_described() {
        let document = document();
        let mut count = 0;
        references(&document, &mut |to| {
            count += 1;
            let found = document.pointer(to.trim_start_matches('#'));
            assert!(found.is_some(), "{to}");
        });
        assert!(count > 100, "{count}");
        for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
            assert!(
                schema["description"].as_str().is_some_and(|text| !text.is_empty()),
                "{name}"
            );
            for (field, schema) in schema["properties"].as_object().into_iter().flatten() {
                let described = schema["description"].as_str().is_some_and(|text| !text.is_empty());
                assert!(described || name == schemas::STATUS, "{name}.{field}");
            }
        }
    }

    #[test]
    fn others_read_it_as_openapi_3_1() {
        let spec = oas3::from_json(text()).unwrap();
        assert_eq!(spec.openapi, "3.1.0");
        let paths = spec.paths.as_ref().unwrap();
        let posts = paths.values().filter(|item| item.post.is_some()).count();
        let there = ALL
            .iter()
            .filter(|method| !matches!(method.kind, Kind::GrpcOnly))
            .count();
        assert_eq!(posts, there);
        assert!(
            spec.operations()
                .all(|(_, _, operation)| operation.operation_id.is_some())
        );
    }

    #[test]
    fn its_schemas_are_json_schemas() {
        for (name, schema) in document()["components"]["schemas"].as_object().unwrap() {
            assert!(jsonschema::draft202012::meta::is_valid(schema), "{name}");
        }
    }
}
