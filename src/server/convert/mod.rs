//! Between the wire and the domain: the only place that validates what callers send, and the only one that knows both.
//!
//! Every name is resolved against the catalog snapshot of the request, every value is judged by the catalog's schema
//! ([`crate::catalog::values`]), every size and time against a limit of [`crate::server::limits`]. What comes out can be
//! used without a further check. A fault names the field by its path, the value, and what is allowed.

pub mod answer;
pub mod campaigns;
pub mod catalog;
pub mod contacts;
pub mod events;
pub mod export;
pub mod fault;
pub(super) mod history;
pub mod offers;
pub mod outcomes;
pub mod profiles;
pub mod said;
pub mod stored;

use fault::{Faults, Path};

use super::limits::{AGE_MAX, AHEAD_MAX};
use super::wire;
use crate::catalog::values::{hint, shortened};
use crate::catalog::{Attribute, Catalog};
use crate::domain::ids::CustomerId;
use crate::domain::time::Timestamp;
use crate::domain::value::Value;

/// Names a customer as callers do.
fn customer_of(customer: &CustomerId) -> wire::Customer {
    use wire::customer::Identity;
    let text = customer.as_str().to_owned();
    wire::Customer {
        identity: Some(if customer.is_anonymous() {
            Identity::AnonymousId(text)
        } else {
            Identity::Id(text)
        }),
    }
}

/// Converts whose profile a call is about.
fn customer(given: Option<&wire::Customer>, path: Path<'_>, faults: &mut Faults) -> Option<CustomerId> {
    use wire::customer::Identity;
    match given.and_then(|customer| customer.identity.as_ref()) {
        Some(Identity::Id(id)) => faults.note(path.field("id"), CustomerId::known(id)),
        Some(Identity::AnonymousId(id)) => faults.note(path.field("anonymous_id"), CustomerId::anonymous(id)),
        None => {
            faults.add(
                path,
                "is not set; give the customer's `id`, or the visitor's `anonymous_id`",
            );
            None
        }
    }
}

/// Converts a value by its attribute.
fn value(
    given: &wire::AttributeValue,
    attribute: &Attribute,
    catalog: &Catalog,
    path: Path<'_>,
    faults: &mut Faults,
) -> Option<Value> {
    use wire::attribute_value::Kind;
    let judged = match &given.kind {
        Some(Kind::Number(number)) => attribute.number(*number),
        Some(Kind::Boolean(truth)) => attribute.boolean(*truth),
        Some(Kind::Text(text)) => attribute.text(text),
        Some(Kind::Set(set)) => attribute.set(set.values.iter().map(String::as_str), &catalog.symbols),
        None => {
            faults.add(
                path,
                format_args!("has no value; {} is wanted", attribute.attribute_type.phrase()),
            );
            return None;
        }
    };
    faults.note(path, judged)
}

/// Finds the position of a name among those that are allowed.
fn position<'a>(
    name: &str,
    names: impl Iterator<Item = &'a str> + Clone,
    what: &str,
    path: Path<'_>,
    faults: &mut Faults,
) -> Option<usize> {
    let found = names.clone().position(|known| known == name);
    if found.is_none() {
        faults.add(path, unknown(name, names, what));
    }
    found
}

/// Says that a name is not known, and which was probably meant.
fn unknown<'a>(name: &str, names: impl Iterator<Item = &'a str>, what: &str) -> String {
    if name.is_empty() {
        return format!("is empty; name the {what}: {}", hint(name, names));
    }
    format!("`{}` is not a known {what}; {}", shortened(name), hint(name, names))
}

/// Finds a channel by its id.
fn channel(id: &str, catalog: &Catalog, path: Path<'_>, faults: &mut Faults) -> Option<usize> {
    position(
        id,
        catalog.channels.iter().map(|channel| &*channel.id),
        "channel",
        path,
        faults,
    )
}

/// Converts when something happened; absent is `now`.
fn time(given: Option<&wire::Timestamp>, now: Timestamp, path: Path<'_>, faults: &mut Faults) -> Option<Timestamp> {
    let Some(given) = given else { return Some(now) };
    let millis = given
        .seconds
        .checked_mul(1_000)
        .and_then(|millis| millis.checked_add(i64::from(given.nanos) / 1_000_000));
    let Some(millis) = millis.filter(|_| (0..1_000_000_000).contains(&given.nanos)) else {
        faults.add(
            path,
            format_args!(
                "{} s and {} ns are not a time; nanos are 0 to 999999999",
                given.seconds, given.nanos
            ),
        );
        return None;
    };
    let time = Timestamp::from_millis(millis);
    if time - now > AHEAD_MAX {
        faults.add(
            path,
            format_args!("{time} lies more than 5 minutes ahead of the server's clock, {now}"),
        );
        return None;
    }
    if now - time > AGE_MAX {
        faults.add(
            path,
            format_args!("{time} lies more than 400 days before the server's clock, {now}"),
        );
        return None;
    }
    Some(time)
}

/// Converts an instant for an answer; the ends of the range mean never, and are absent.
fn instant(time: Timestamp) -> Option<wire::Timestamp> {
    if time == Timestamp::FAR_FUTURE || time == Timestamp::FAR_PAST {
        return None;
    }
    let millis = time.as_millis();
    let nanos = i32::try_from(millis.rem_euclid(1_000) * 1_000_000).unwrap_or_default();
    Some(wire::Timestamp {
        seconds: millis.div_euclid(1_000),
        nanos,
    })
}

/// Checks that a list has 1 to `max` elements.
fn length(len: usize, max: usize, what: &str, path: Path<'_>, faults: &mut Faults) -> Option<()> {
    match len {
        0 => faults.add(path, format_args!("is empty; give 1 to {max} {what}")),
        len if len > max => faults.add(path, format_args!("has {len} {what}; at most {max} are allowed")),
        _ => return Some(()),
    }
    None
}
