//! The contract as generated code: messages, services and the descriptor set, from `proto/nbo/v1`.
//!
//! Each message has its canonical JSON besides, by serde, in code of its own: what gRPC sends and reads is plain prost.
//!
//! Nothing below `server` knows these types; [`super::convert`] is where they become domain types and back.

#![expect(
    unused_qualifications,
    clippy::allow_attributes,
    clippy::pedantic,
    reason = "generated"
)]

mod times;

pub use times::{Duration, Timestamp};

tonic::include_proto!("nbo.v1");

include!(concat!(env!("OUT_DIR"), "/nbo.v1.serde.rs"));

/// The descriptor set of the package with its comments, as the reflection service answers with it.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/nbo.v1.bin"));

/// Returns all methods of the contract, as in `nbo.v1.DecisionService/GetOffers`.
#[must_use]
pub fn methods() -> Vec<String> {
    // What the build has written decodes; without it every call would count as `other`.
    let files = <prost_types::FileDescriptorSet as prost::Message>::decode(DESCRIPTORS).unwrap_or_default();
    let mut methods = Vec::new();
    for file in &files.file {
        for service in &file.service {
            let names = service.method.iter().map(|method| method.name());
            methods.extend(names.map(|name| format!("{}.{}/{name}", file.package(), service.name())));
        }
    }
    methods
}
