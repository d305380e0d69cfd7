//! The contract: `proto/nbo/v1/*.proto` becomes Rust code, without a protoc on the machine.
//!
//! The same descriptor set that makes the code, gRPC and JSON, is what the reflection service and the OpenAPI document answer
//! with, so they cannot differ.

use std::path::PathBuf;

use prost::Message as _;

use crate::tell_cargo;

const ROOT: &str = "proto";
const FILES: [&str; 9] = [
    "nbo/v1/common.proto",
    "nbo/v1/event.proto",
    "nbo/v1/decisions.proto",
    "nbo/v1/behaviour.proto",
    "nbo/v1/operations.proto",
    "nbo/v1/profiles.proto",
    "nbo/v1/catalog.proto",
    "nbo/v1/contacts.proto",
    "nbo/v1/campaigns.proto",
];

/// The types of `google.protobuf` that the program has of its own, since they have a JSON of their own.
const OWN_TYPES: [(&str, &str); 2] = [
    (".google.protobuf.Timestamp", "crate::server::wire::Timestamp"),
    (".google.protobuf.Duration", "crate::server::wire::Duration"),
];

/// Writes `nbo.v1.rs`, `nbo.v1.serde.rs`, and `nbo.v1.bin`, the descriptor set, to cargo's output folder.
pub(crate) fn compile() -> Result<(), Box<dyn std::error::Error>> {
    tell_cargo("rerun-if-changed=proto");
    let descriptors = protox::compile(FILES, [ROOT])?;
    #[expect(
        clippy::disallowed_methods,
        reason = "cargo tells a build script its output folder by the environment"
    )]
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let encoded = descriptors.encode_to_vec();
    std::fs::write(out.join("nbo.v1.bin"), &encoded)?;
    let json = pbjson_build::Builder::new()
        .register_descriptors(&encoded)?
        .btree_map([".nbo"])
        .generate(&[".nbo"], |_| Ok(Vec::new()))?;
    let json: Vec<u8> = json.into_iter().flat_map(|(_, code)| code).collect();
    std::fs::write(out.join("nbo.v1.serde.rs"), taking_null(&String::from_utf8(json)?))?;
    // Ordered maps: the same answer is the same bytes.
    let code = tonic_prost_build::configure().btree_map(".");
    let code = OWN_TYPES
        .iter()
        .fold(code, |code, (proto, own)| code.extern_path(*proto, *own));
    code.compile_fds(descriptors)?;
    Ok(())
}

/// Makes the code that reads JSON take `null` for any field, as the standard says: the generator does so for messages and
/// optional fields only. A test reads a `null` for each kind of field.
fn taking_null(code: &str) -> String {
    let line = |line: &str| {
        let read = |ending: &str, beginning: &str| line.strip_suffix(ending)?.split_once(beginning);
        let enumeration = read(">()? as i32);", "Some(map_.next_value::<");
        let map = read(">()?", "map_.next_value::<std::collections::BTreeMap<");
        match (enumeration, map) {
            (Some((before, name)), _) => {
                format!("{before}map_.next_value::<::std::option::Option<{name}>>()?.map(|x| x as i32);")
            }
            (_, Some((before, types))) => format!(
                "{before}map_.next_value::<::std::option::Option<std::collections::BTreeMap<{types}>>()?.unwrap_or_default()"
            ),
            _ => line.to_owned(),
        }
    };
    let taking = code.lines().map(line).collect::<Vec<_>>().join("\n");
    let number = "::pbjson::private::NumberDeserialize<_>";
    taking
        .replace("Some(map_.next_value()?)", "map_.next_value()?")
        .replace(
            &format!("Some(map_.next_value::<{number}>()?.0)"),
            &format!("map_.next_value::<::std::option::Option<{number}>>()?.map(|x| x.0)"),
        )
}
