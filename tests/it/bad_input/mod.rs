//! Bad input changes nothing and says which field, which value and what is allowed: one row each.

mod campaigns;
mod events;
mod hostile;
mod offers;
mod outcomes;
mod profiles;
mod sizes;

use std::future::Future;

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::served::{MORNING, Served};

/// A refusal: the field and what the message says about it.
type Told<'a> = (&'a str, &'a str);

/// Asserts that a call is refused with `told`, and that nobody is known afterwards.
async fn check<T>(served: &Served, call: impl Future<Output = Result<T, Status>>, (field, says): Told<'_>) {
    let Err(status) = call.await else {
        panic!("{field}: was not refused, but should have been told: {says}");
    };
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let details = status.get_details_bad_request().expect("names the fields");
    let violation = details
        .field_violations
        .iter()
        .find(|violation| violation.field == field);
    let violation = violation.unwrap_or_else(|| panic!("{field} is not in {details:?}"));
    assert!(
        violation.description.contains(says),
        "{field}: {} does not say: {says}",
        violation.description
    );
    assert!(status.message().contains(says), "{}", status.message());
    assert_eq!(served.engine.customers(), 0, "{field}: somebody was begun");
}

fn seconds(from_morning: i64) -> nbo::server::wire::Timestamp {
    nbo::server::wire::Timestamp {
        seconds: MORNING.as_millis() / 1_000 + from_morning,
        nanos: 0,
    }
}
