//! The body of a call over HTTP: taken in up to a limit, read as the canonical JSON of a message, and every way in which it can
//! be wrong told with the field, the line and the column.

use std::future::poll_fn;
use std::pin::Pin;

use axum::body::{Body, HttpBody as _};
use axum::http::{HeaderMap, StatusCode, header};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::error::Refused;
use super::lists::{self, LongList};
use crate::catalog::values::{hint, shortened};

/// The room that is made for a body before any of it has come, whatever its header says.
const ROOM_MAX: usize = 64 * 1024;

/// What the library says of a number that is neither a number nor a text.
const NO_NUMBER: &str = "data did not match any variant of untagged enum Content";

/// What is said of a field that is there twice; two of a choice are the same to the reader.
const TWICE: &str = "is there twice, or beside another of which only one can be";

/// Checks that the body is said to be JSON.
///
/// Nothing else is taken for JSON: a page of another origin may send `text/plain` without asking first.
pub(super) fn is_json(headers: &HeaderMap) -> Result<(), Refused> {
    let said = headers
        .get(header::CONTENT_TYPE)
        .map(|value| value.to_str().unwrap_or("?"));
    let (kind, parameter) = match said {
        Some(said) => said.split_once(';').unwrap_or((said, "")),
        None => ("", ""),
    };
    let parameter = parameter.trim().to_ascii_lowercase();
    let is_utf8 = matches!(parameter.as_str(), "" | "charset=utf-8" | "charset=\"utf-8\"");
    let coding = headers
        .get(header::CONTENT_ENCODING)
        .map(|coding| coding.to_str().unwrap_or("?"));
    let coding = coding.filter(|coding| !coding.eq_ignore_ascii_case("identity"));
    let is_json = kind.trim().eq_ignore_ascii_case("application/json") && is_utf8;
    let message = match said {
        Some(_) if is_json => match coding {
            None => return Ok(()),
            Some(coding) => format!("`content-encoding: {coding}` is not taken; send the body as it is"),
        },
        Some(said) => format!("`{said}` is not taken; send `content-type: application/json`, or speak gRPC"),
        None => "the body has no type; send `content-type: application/json`, or speak gRPC".to_owned(),
    };
    let status = Status::invalid_argument(message);
    Err(Refused::with(StatusCode::UNSUPPORTED_MEDIA_TYPE, status))
}

/// Takes a body in, at most `max` bytes; its bytes are counted among those of unfinished requests until it is dropped.
pub(super) async fn taken(headers: &HeaderMap, body: &mut Body, max: usize) -> Result<Vec<u8>, Refused> {
    let length = headers.get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if length.is_some_and(|length| length > max) {
        return Err(too_large(max));
    }
    let mut bytes = Vec::with_capacity(length.unwrap_or_default().min(ROOM_MAX));
    while let Some(frame) = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await {
        let Ok(part) = frame.map_err(|error| broken_off(error.into()))?.into_data() else {
            continue;
        };
        if bytes.len() + part.len() > max {
            return Err(too_large(max));
        }
        bytes.extend_from_slice(&part);
    }
    Ok(bytes)
}

/// Says why the rest of a body does not come: the server may have refused it ([`crate::server::bodies`]).
fn broken_off(error: tonic::codegen::StdError) -> Status {
    Status::try_from_error(error).unwrap_or_else(|error| Status::cancelled(format!("the body broke off: {error}")))
}

fn too_large(max: usize) -> Refused {
    let status = Status::out_of_range(format!("the body has more than {max} bytes, the most that is taken"));
    Refused::with(StatusCode::PAYLOAD_TOO_LARGE, status)
}

/// Writes an answer as canonical JSON.
pub(super) fn written(message: &impl Serialize) -> Result<Vec<u8>, Status> {
    serde_json::to_vec(message).map_err(|error| Status::internal(format!("the answer has no JSON: {error}")))
}

/// Reads a message, none of whose lists has more than `items_max` items.
pub(super) fn read<T: DeserializeOwned>(bytes: &[u8], items_max: usize) -> Result<T, Status> {
    if let Some(list) = lists::too_long(bytes, items_max) {
        return Err(long(&list, items_max));
    }
    // Paths cost time, so they are followed only once it is known that something is wrong.
    serde_json::from_slice(bytes).map_err(|error| why::<T>(bytes).unwrap_or_else(|| wrong("", &error)))
}

fn long(list: &LongList, items_max: usize) -> Status {
    let (field, line, column) = (shortened(&list.field), list.line, list.column);
    let description = format!("has more than {items_max} items, the most that is read (line {line} column {column})");
    let of = if field.is_empty() { "a list" } else { &field };
    let details = ErrorDetails::with_bad_request_violation(&field, &description);
    Status::with_error_details(Code::InvalidArgument, format!("{of}: {description}"), details)
}

/// Says why bytes are no message.
fn why<T: DeserializeOwned>(bytes: &[u8]) -> Option<Status> {
    if bytes.trim_ascii().is_empty() {
        return Some(Status::invalid_argument(
            "the body is empty; send a JSON object, `{}` at least",
        ));
    }
    if let Err(error) = std::str::from_utf8(bytes) {
        let message = format!("the body is not UTF-8 from byte {} on", error.valid_up_to());
        return Some(Status::invalid_argument(message));
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    match serde_path_to_error::deserialize::<_, T>(&mut reader) {
        Ok(_) => reader.end().err().map(|error| wrong("", &error)),
        Err(error) => {
            let path = error.path().to_string();
            Some(wrong(&path, error.inner()))
        }
    }
}

/// Puts an error of the reader into words: what is no JSON, and which field is wrong.
fn wrong(path: &str, error: &serde_json::Error) -> Status {
    let (line, column) = (error.line(), error.column());
    let said = error.to_string();
    let place = format!("line {line} column {column}");
    let said = said.strip_suffix(&format!(" at {place}")).unwrap_or(&said);
    if matches!(error.classify(), Category::Syntax | Category::Eof | Category::Io) {
        return Status::invalid_argument(format!("the body is not JSON: {said} at {place}"));
    }
    let path = if path == "." { "" } else { path };
    let twice = said
        .strip_prefix("duplicate field `")
        .and_then(|rest| rest.strip_suffix('`'));
    let (field, description) = match (unknown_field(said), twice) {
        (Some((name, instead)), _) => (inside(path, name), format!("is not known; {instead}")),
        (None, Some(name)) => (inside(path, name), TWICE.to_owned()),
        (None, None) if said == NO_NUMBER => (path.to_owned(), "must be a number, or a number in quotes".to_owned()),
        (None, None) => (path.to_owned(), said.to_owned()),
    };
    let of = if field.is_empty() { "the body" } else { &field };
    let message = format!("{of}: {description} ({place})");
    let details = ErrorDetails::with_bad_request_violation(&field, format!("{description} ({place})"));
    Status::with_error_details(Code::InvalidArgument, message, details)
}

/// Returns the path of a field whose parent's path may or may not end in it already.
fn inside(path: &str, name: &str) -> String {
    let ends = path == name || path.strip_suffix(name).is_some_and(|parent| parent.ends_with('.'));
    match path {
        "" => name.to_owned(),
        _ if ends => path.to_owned(),
        _ => format!("{path}.{name}"),
    }
}

/// Finds the name of an unknown field in what the reader says, and says what may have been meant.
fn unknown_field(said: &str) -> Option<(&str, String)> {
    let rest = said.strip_prefix("unknown field `")?;
    let (name, known) = rest.split_once('`')?;
    // Each name stands there as the contract and as JSON writes it; the latter are shown.
    let known = known.split('`').skip(1).step_by(2).filter(|known| !known.contains('_'));
    let known: Vec<&str> = known.collect();
    let instead = if known.is_empty() {
        "this message has no fields".to_owned()
    } else {
        hint(name, known)
    };
    Some((name, instead))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::limits::JSON_ITEMS_MAX;
    use crate::server::wire;

    fn said<T: DeserializeOwned>(text: &[u8]) -> (String, Vec<String>) {
        let status = read::<T>(text, JSON_ITEMS_MAX).err().unwrap();
        assert_eq!(status.code(), Code::InvalidArgument);
        let violations = status
            .get_details_bad_request()
            .into_iter()
            .flat_map(|request| request.field_violations);
        let fields = violations.map(|wrong| wrong.field);
        (status.message().to_owned(), fields.collect())
    }

    #[track_caller]
    fn check(text: &str, message: &str, field: Option<&str>) {
        let (said, fields) = said::<wire::GetOffersRequest>(text.as_bytes());
        assert!(said.contains(message), "`{message}` is not in: {said}");
        assert_eq!(
            fields,
            field.map(str::to_owned).into_iter().collect::<Vec<_>>(),
            "{said}"
        );
    }

    #[test]
    fn what_is_no_json_is_told_with_its_place() {
        check("", "the body is empty; send a JSON object", None);
        check(" \n", "the body is empty", None);
        check(
            "{",
            "the body is not JSON: EOF while parsing an object at line 1 column 1",
            None,
        );
        check(
            "{\n  'a': 1}",
            "not JSON: key must be a string at line 2 column 3",
            None,
        );
        check("{} {}", "not JSON: trailing characters at line 1 column 4", None);
        check(&"[".repeat(100_000), "the body", Some(""));
        let deep = format!("{{\"customer\":{{\"id\":{}", "[".repeat(100_000));
        check(
            &deep,
            "customer.id: invalid type: sequence, expected a string",
            Some("customer.id"),
        );
        let (message, _) = said::<wire::GetOffersRequest>(b"{\"channel\": \"\xff\"}");
        assert_eq!(message, "the body is not UTF-8 from byte 13 on");
    }

    #[test]
    fn a_wrong_field_is_named_with_its_place() {
        check(
            "[]",
            "the body: invalid type: sequence, expected struct nbo.v1.GetOffersRequest",
            Some(""),
        );
        check("7", "the body: invalid type: integer `7`", Some(""));
        check(
            "{\"chanel\": \"web\"}",
            "chanel: is not known; did you mean `channel`? (line 1 column 9)",
            Some("chanel"),
        );
        check(
            "{\n\"placements\": [{\"placement\": \"a\"}, {\"cuont\": 3}]}",
            "placements[1].cuont: is not known; did you mean `count`? (line 2 column 43)",
            Some("placements[1].cuont"),
        );
        check(
            "{\"placements\": [{\"count\": true}]}",
            "placements[0].count: must be a number, or a number in quotes",
            Some("placements[0].count"),
        );
        check(
            "{\"placements\": [{\"count\": -1}]}",
            "placements[0].count",
            Some("placements[0].count"),
        );
        check(
            "{\"channel\": 7}",
            "channel: invalid type: integer `7`, expected a string",
            Some("channel"),
        );
        check(
            "{\"customer\": {\"id\": \"a\", \"anonymousId\": \"b\"}}",
            "customer.anonymousId: is there twice, or beside another of which only one can be",
            Some("customer.anonymousId"),
        );
        check(
            "{\"events\": [{\"time\": \"noon\"}]}",
            "events[0].time: `noon` is not a time as in 2026-03-02T09:00:00Z",
            Some("events[0].time"),
        );
        let (message, fields) = said::<wire::GetStatusRequest>(b"{\"a\": 1}");
        assert!(
            message.contains("a: is not known; this message has no fields"),
            "{message}"
        );
        assert_eq!(fields, ["a"]);
    }

    #[test]
    fn names_may_be_written_as_in_the_contract_and_null_is_the_default_of_any_field() {
        let text = "{\"customer\": {\"anonymous_id\": \"a\"}, \"omit_content\": true}";
        let given: wire::GetOffersRequest = read(text.as_bytes(), JSON_ITEMS_MAX).unwrap();
        assert!(given.omit_content && given.customer.unwrap().identity.is_some());
        let text = "{\"customer\": null, \"channel\": null, \"placements\": null, \"context\": null, \"events\": null, \
                    \"explain\": null, \"duplicates\": null, \"requestId\": null}";
        let given: wire::GetOffersRequest = read(text.as_bytes(), JSON_ITEMS_MAX).unwrap();
        assert_eq!(given, wire::GetOffersRequest::default());
        let given: wire::PlacementRequest = read(b"{\"placement\": \"a\", \"count\": null}", JSON_ITEMS_MAX).unwrap();
        assert_eq!(given.count, 0);
        let given: wire::GetProfileResponse = read(
            b"{\"intents\": null, \"profileVersion\": \"18446744073709551615\"}",
            JSON_ITEMS_MAX,
        )
        .unwrap();
        assert_eq!(given.profile_version, u64::MAX);
    }
}
