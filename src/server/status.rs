//! Why a call is refused, as a gRPC status: the one mapping from faults and rejections to codes.
//!
//! | what | code | may the caller try again |
//! |---|---|---|
//! | a field is wrong | `INVALID_ARGUMENT`, with `google.rpc.BadRequest` naming every field | not unchanged |
//! | the customer is unknown where only known ones are recorded | `NOT_FOUND` | not unchanged |
//! | the customer was erased | `FAILED_PRECONDITION` | with `after_erasure`, when they came back |
//! | only a visitor can be joined, and only to a customer | `INVALID_ARGUMENT` | not unchanged |
//! | the visitor is joined to a customer, or to another one | `FAILED_PRECONDITION` | after parting them |
//! | the customer has too many joined visitors, or too large ones | `RESOURCE_EXHAUSTED` | after parting one |
//! | an erasure is not on the disk yet | `UNAVAILABLE` | yes, until it is |
//! | the decision is not known, or no longer kept | `NOT_FOUND` | not unchanged |
//! | the decision did not show the offer | `INVALID_ARGUMENT` | not unchanged |
//! | the request id was used for another request | `ALREADY_EXISTS` | with an id of its own |
//! | the request was answered, and the answer is no longer kept | `ABORTED` | with another id, after a cancellation |
//! | no room: customers, watchers, campaign runs | `RESOURCE_EXHAUSTED` | later |
//! | more is asked than can be answered ([`super::overload`]) | `RESOURCE_EXHAUSTED`, with `google.rpc.RetryInfo` | after the time it says |
//! | the journal has no room on its disk | `RESOURCE_EXHAUSTED` | later |
//! | the journal has stopped | `UNAVAILABLE` | elsewhere |
//! | a past decision is not in the journal any more | `NOT_FOUND` | not unchanged |
//! | a past decision cannot be made again: no journal, or its catalog is gone | `FAILED_PRECONDITION` | not unchanged |
//! | a campaign run died | `INTERNAL` | going on after its last token |
//! | a thread died over a call | `INTERNAL` | yes |
//! | nobody, or a token that is not good | `UNAUTHENTICATED` | with a good token |
//! | the caller lacks the role, or the port does not serve this | `PERMISSION_DENIED` | not unchanged |
//! | the server is shutting down | `UNAVAILABLE` | at once, elsewhere |

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use super::access::table::Roles;
use super::convert::fault::Faults;
use super::wire;
use crate::engine::{Rejection, ReplayError};
use crate::journal::NotWritten;

/// Why a call, or one item of it, is refused. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Fields are wrong.
    #[error("{0}")]
    Fields(Faults),
    /// The engine refuses.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// Nothing is known of the customer.
    #[error("nothing is known of {0}")]
    UnknownProfile(crate::domain::ids::CustomerId),
    /// Too many watch already.
    #[error("{0} watchers are open already, no more are allowed; close some or try again later")]
    TooManyWatchers(usize),
    /// Too many campaigns run already.
    #[error("{0} campaign runs are under way already, no more are allowed; try again when one has ended")]
    TooManyRuns(usize),
    /// Too many walk over all customers already.
    #[error("{0} forecasts and exports are under way already, no more are allowed; try again when one has ended")]
    TooManyWalks(usize),
    /// Too many past decisions are made again already.
    #[error("{0} past decisions are being made again already, no more are allowed; try again when one is done")]
    TooManyReplays(usize),
    /// A campaign run has the name of another one.
    #[error(
        "`run_id` was used before for another request; give a new run an id of its own, and go on with an old one as it was"
    )]
    RunIdReused,
    /// A thread of a campaign run died.
    #[error("the campaign run broke off by a fault of the server; go on after the last `resume_token`")]
    RunBroken,
    /// A thread that worked on a call died.
    #[error("the call broke off by a fault of the server; repeat it")]
    Broken,
    /// A past decision cannot be made again.
    #[error("{message}")]
    Unrepeatable {
        /// Whether there is no record of it.
        is_unknown: bool,
        /// Why.
        message: String,
    },
    /// The caller has none of the roles that this takes.
    #[error("this takes the role {}", .0.to_string().replace(',', " or "))]
    LacksRole(Roles),
    /// The server is going down.
    #[error("the server is shutting down; connect again")]
    ShuttingDown,
}

impl From<ReplayError> for Refusal {
    fn from(error: ReplayError) -> Self {
        Self::Unrepeatable {
            is_unknown: matches!(error, ReplayError::Unknown(_)),
            message: error.to_string(),
        }
    }
}

impl From<Faults> for Refusal {
    fn from(faults: Faults) -> Self {
        Self::Fields(faults)
    }
}

impl Refusal {
    /// Returns the status code.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Fields(_) | Self::Rejected(Rejection::OfferNotInDecision(..) | Rejection::NotJoinable) => {
                Code::InvalidArgument
            }
            Self::Rejected(Rejection::UnknownCustomer | Rejection::UnknownDecision(_)) | Self::UnknownProfile(_) => {
                Code::NotFound
            }
            Self::Rejected(Rejection::RequestIdReused) | Self::RunIdReused => Code::AlreadyExists,
            Self::Rejected(Rejection::AnswerNotKept(_) | Rejection::Moved) => Code::Aborted,
            Self::Rejected(
                Rejection::TooManyCustomers(_)
                | Rejection::TooManyJoined
                | Rejection::JoinedTooLarge(_)
                | Rejection::NotWritten(NotWritten::Refused(_)),
            )
            | Self::TooManyWatchers(_)
            | Self::TooManyRuns(_)
            | Self::TooManyWalks(_)
            | Self::TooManyReplays(_) => Code::ResourceExhausted,
            Self::Unrepeatable { is_unknown: true, .. } => Code::NotFound,
            Self::Unrepeatable { .. }
            | Self::Rejected(Rejection::Erased | Rejection::IsJoined | Rejection::JoinedToAnother) => {
                Code::FailedPrecondition
            }
            Self::RunBroken | Self::Broken => Code::Internal,
            Self::LacksRole(_) => Code::PermissionDenied,
            Self::Rejected(
                Rejection::NotWritten(NotWritten::Stopped(_) | NotWritten::Unsettled(_)) | Rejection::NotDestroyed(_),
            )
            | Self::ShuttingDown => Code::Unavailable,
        }
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let (code, message) = (refusal.code(), refusal.to_string());
        match refusal {
            Refusal::Fields(faults) => {
                let violations = faults
                    .listed()
                    .iter()
                    .map(|fault| FieldViolation::new(&fault.field, &fault.description));
                let details = ErrorDetails::with_bad_request(violations.collect::<Vec<_>>());
                Self::with_error_details(code, message, details)
            }
            _ => Self::new(code, message),
        }
    }
}

impl From<&Refusal> for wire::Fault {
    fn from(refusal: &Refusal) -> Self {
        let fields = match refusal {
            Refusal::Fields(faults) => faults.listed(),
            _ => &[],
        };
        let fields = fields.iter().map(|fault| wire::FieldFault {
            field: fault.field.clone(),
            description: fault.description.clone(),
        });
        Self {
            code: refusal.code().into(),
            message: refusal.to_string(),
            fields: fields.collect(),
        }
    }
}
