//! Changes of profiles.

use super::fault::{Faults, Path};
use super::{channel, customer, length, position, unknown, value};
use crate::catalog::Catalog;
use crate::domain::entry::{ConsentChange, ProfileChange};
use crate::domain::ids::CustomerId;
use crate::domain::profile::Precedence;
use crate::domain::symbol::Symbol;
use crate::domain::value::Value;
use crate::server::limits::{ATTRIBUTES_PER_MAP_MAX, IMPORT_ROWS_MAX, IMPORT_ROWS_PER_MESSAGE_MAX};
use crate::server::wire::{self, import_profiles_request::Part};

/// Converts whom a call is about that has nothing else.
///
/// # Errors
/// When the id is missing or wrong.
pub fn whom(given: Option<&wire::Customer>) -> Result<CustomerId, Faults> {
    let mut faults = Faults::default();
    let customer = customer(given, Path::Root.field("customer"), &mut faults);
    faults.into_result(customer)
}

/// Converts who is to be joined to whom, and whose attributes come first.
///
/// # Errors
/// Everything that is wrong with it.
pub fn merge(given: &wire::MergeCustomersRequest) -> Result<(CustomerId, CustomerId, Precedence), Faults> {
    let mut faults = Faults::default();
    let visitor = anonymous(given.visitor.as_ref(), &mut faults);
    let path = Path::Root.field("customer");
    let customer = customer(given.customer.as_ref(), path, &mut faults);
    if customer.as_ref().is_some_and(CustomerId::is_anonymous) {
        faults.add(path, "is an anonymous visitor; give the `id` of a known customer");
    }
    let precedence = match wire::Precedence::try_from(given.precedence) {
        Ok(wire::Precedence::Visitor) => Some(Precedence::Visitor),
        Ok(wire::Precedence::Unspecified | wire::Precedence::Customer) => Some(Precedence::Customer),
        Err(_) => {
            let unknown = format_args!("{} is not a known precedence", given.precedence);
            faults.add(Path::Root.field("precedence"), unknown);
            None
        }
    };
    let converted = visitor.zip(customer).zip(precedence);
    faults.into_result(converted.map(|((visitor, customer), precedence)| (visitor, customer, precedence)))
}

/// Converts which visitor a call is about.
///
/// # Errors
/// When the id is missing or wrong, or that of a known customer.
pub fn visitor(given: Option<&wire::Customer>) -> Result<CustomerId, Faults> {
    let mut faults = Faults::default();
    let visitor = anonymous(given, &mut faults);
    faults.into_result(visitor)
}

fn anonymous(given: Option<&wire::Customer>, faults: &mut Faults) -> Option<CustomerId> {
    let path = Path::Root.field("visitor");
    let visitor = customer(given, path, faults);
    if visitor.as_ref().is_some_and(|visitor| !visitor.is_anonymous()) {
        faults.add(path, "is a known customer; give the `anonymous_id` of a visitor");
    }
    visitor
}

/// Converts new attributes and consent.
///
/// # Errors
/// Everything that is wrong with them.
pub fn change(given: &wire::UpsertProfileRequest, catalog: &Catalog) -> Result<(CustomerId, ProfileChange), Faults> {
    let mut faults = Faults::default();
    let customer = customer(given.customer.as_ref(), Path::Root.field("customer"), &mut faults);
    let attributes = attributes(given, catalog, &mut faults);
    let opt_outs = opt_outs(given, catalog, &mut faults);
    let consents = consents(&given.consents, catalog, &mut faults);
    let change = ProfileChange {
        attributes,
        replace: given.replace,
        opt_outs,
        opt_out_of_all: given.opt_out_of_all,
        consents,
    };
    faults.into_result(customer.map(|customer| (customer, change)))
}

/// Converts one row of an import.
///
/// # Errors
/// Everything that is wrong with it.
pub fn row(given: &wire::UpsertProfileRequest, catalog: &Catalog) -> Result<(CustomerId, ProfileChange), Faults> {
    if given.after_erasure {
        let mut faults = Faults::default();
        faults.add(
            Path::Root.field("after_erasure"),
            "is set in an import; who was erased comes back one by one, by `UpsertProfile`",
        );
        return Err(faults);
    }
    change(given, catalog)
}

/// Converts one message of an import, the `index`th; `received` rows came before.
///
/// # Errors
/// When it is empty, out of order, or holds too many rows.
pub fn import_part(given: &wire::ImportProfilesRequest, index: u64, received: u64) -> Result<&Part, Faults> {
    let mut faults = Faults::default();
    match &given.part {
        None => faults.add(
            Path::Root.field("part"),
            "is not set; give `rows`, or `options` in the first message",
        ),
        Some(Part::Options(_)) if index > 0 => {
            faults.add(
                Path::Root.field("options"),
                "is set after the first message; send it first, or not at all",
            );
        }
        Some(Part::Options(_)) => {}
        Some(Part::Rows(rows)) => {
            let path = Path::Root.field("rows");
            length(
                rows.rows.len(),
                IMPORT_ROWS_PER_MESSAGE_MAX,
                "rows",
                path.field("rows"),
                &mut faults,
            );
            let total = received.saturating_add(rows.rows.len() as u64);
            if total > IMPORT_ROWS_MAX {
                let limit = format_args!("make {total} rows; at most {IMPORT_ROWS_MAX} are allowed in one import");
                faults.add(path.field("rows"), limit);
            }
        }
    }
    faults.into_result(given.part.as_ref())
}

fn attributes(given: &wire::UpsertProfileRequest, catalog: &Catalog, faults: &mut Faults) -> Vec<(Symbol, Value)> {
    let path = Path::Root.field("attributes");
    let mut converted = Vec::with_capacity(given.attributes.len() + given.cleared.len());
    if given.attributes.len() + given.cleared.len() > ATTRIBUTES_PER_MAP_MAX {
        let len = given.attributes.len() + given.cleared.len();
        faults.add(
            path,
            format_args!("has {len} entries; at most {ATTRIBUTES_PER_MAP_MAX} are allowed"),
        );
        return converted;
    }
    for (name, wire_value) in &given.attributes {
        let path = path.key(name);
        if let Some(attribute) = catalog.profile.find(name) {
            converted
                .extend(value(wire_value, attribute, catalog, path, faults).map(|value| (attribute.symbol, value)));
        } else {
            faults.add(path, unknown_attribute(name, catalog));
        }
    }
    let cleared = Path::Root.field("cleared");
    for (index, name) in given.cleared.iter().enumerate() {
        let path = cleared.index(index);
        match catalog.profile.find(name) {
            Some(_) if given.attributes.contains_key(name) => {
                faults.add(
                    path,
                    format_args!("`{name}` is in `attributes` as well; give it in one of the two"),
                );
            }
            Some(attribute) => converted.push((attribute.symbol, Value::Missing)),
            None => faults.add(path, unknown_attribute(name, catalog)),
        }
    }
    converted
}

fn unknown_attribute(name: &str, catalog: &Catalog) -> String {
    let names = catalog.profile.attributes.iter().map(|attribute| &*attribute.id);
    unknown(name, names, "profile attribute")
}

fn opt_outs(given: &wire::UpsertProfileRequest, catalog: &Catalog, faults: &mut Faults) -> Vec<(Symbol, bool)> {
    let path = Path::Root.field("channel_opt_outs");
    let answers = given.channel_opt_outs.iter();
    answers
        .filter_map(|(id, &out)| {
            channel(id, catalog, path.key(id), faults).map(|at| (catalog.channels[at].symbol, out))
        })
        .collect()
}

fn consents(given: &[wire::Consent], catalog: &Catalog, faults: &mut Faults) -> Vec<ConsentChange> {
    let list = Path::Root.field("consents");
    let mut converted: Vec<ConsentChange> = Vec::with_capacity(given.len().min(ATTRIBUTES_PER_MAP_MAX));
    if given.len() > ATTRIBUTES_PER_MAP_MAX {
        let len = given.len();
        faults.add(
            list,
            format_args!("has {len} entries; at most {ATTRIBUTES_PER_MAP_MAX} are allowed"),
        );
        return converted;
    }
    for (index, consent) in given.iter().enumerate() {
        let path = list.index(index);
        let names = catalog.purposes.iter().map(|purpose| &*purpose.id);
        let purpose = position(&consent.purpose, names, "purpose", path.field("purpose"), faults);
        let on = match consent.channel.as_str() {
            "" => Some(None),
            id => channel(id, catalog, path.field("channel"), faults).map(|at| Some(catalog.channels[at].symbol)),
        };
        let (Some(purpose), Some(on)) = (purpose, on) else {
            continue;
        };
        let change = ConsentChange {
            purpose: catalog.purposes[purpose].symbol,
            channel: on,
            granted: consent.granted,
        };
        if converted
            .iter()
            .any(|other| (other.purpose, other.channel) == (change.purpose, change.channel))
        {
            faults.add(
                path,
                "answers again what an entry above answers; give one answer for each purpose and channel",
            );
        }
        converted.push(change);
    }
    converted
}
