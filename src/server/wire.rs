//! The contract as generated code: messages, services and the descriptor set, from `proto/nbo/v1`.
//!
//! Nothing below `server` knows these types; [`super::convert`] is where they become domain types and back.

#![expect(
    unused_qualifications,
    clippy::allow_attributes,
    clippy::pedantic,
    reason = "generated"
)]

tonic::include_proto!("nbo.v1");

/// The descriptor set of the package, as the reflection service answers with it.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/nbo.v1.bin"));
