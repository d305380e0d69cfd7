//! The services, one file each. A handler converts, asks the engine, and puts the answer into words; there is no await
//! in between, so a call that is dropped half-way has either done all of it or nothing. Then it waits until that is as safe
//! as the journal's level promises.

pub(super) mod behaviour;
pub(super) mod campaigns;
pub(super) mod catalog;
pub(super) mod contacts;
pub(super) mod decisions;
pub(super) mod import;
pub(super) mod operations;
pub(super) mod profiles;
mod watching;

use std::pin::Pin;

use tokio_stream::Stream;
use tonic::Status;

/// What a streaming call answers with.
type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;
