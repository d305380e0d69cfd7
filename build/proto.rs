//! The contract: `proto/nbo/v1/*.proto` becomes Rust code, without a protoc on the machine.
//!
//! The same descriptor set that makes the code is what the reflection service answers with, so the two cannot differ.

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

/// Writes `nbo.v1.rs` and `nbo.v1.bin`, the descriptor set, to cargo's output folder.
pub(crate) fn compile() -> Result<(), Box<dyn std::error::Error>> {
    tell_cargo("rerun-if-changed=proto");
    let descriptors = protox::compile(FILES, [ROOT])?;
    #[expect(
        clippy::disallowed_methods,
        reason = "cargo tells a build script its output folder by the environment"
    )]
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("nbo.v1.bin"), descriptors.encode_to_vec())?;
    // Ordered maps: the same answer is the same bytes.
    tonic_prost_build::configure().btree_map(".").compile_fds(descriptors)?;
    Ok(())
}
