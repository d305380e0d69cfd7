//! The engine over gRPC: the contract of `proto/nbo/v1` on a listener.

pub mod wire;
