//! Requests for offers.

use std::collections::BTreeMap;

use prost::Message as _;

use super::fault::{Faults, Path};
use super::{channel, customer, events, length, position, unknown, value};
use crate::catalog::Catalog;
use crate::domain::ids::{CustomerId, check_id, short_hash, short_hash_of};
use crate::domain::request::{OffersRequest, PlacementRequest, RequestKey};
use crate::domain::time::Timestamp;
use crate::domain::value::Value;
use crate::server::limits::{ATTRIBUTES_PER_MAP_MAX, PLACEMENTS_PER_CALL_MAX};
use crate::server::wire;

/// Converts a request for offers.
///
/// # Errors
/// Everything that is wrong with it.
pub fn request(given: &wire::GetOffersRequest, catalog: &Catalog, now: Timestamp) -> Result<OffersRequest, Faults> {
    let mut faults = Faults::default();
    let customer = match &given.customer {
        Some(whom) => customer(Some(whom), Path::Root.field("customer"), &mut faults).map(Some),
        None => Some(None),
    };
    let path = Path::Root.field("events");
    let events = if given.events.is_empty() {
        Some(Vec::new())
    } else if given.customer.is_none() {
        faults.add(
            path,
            "is set without `customer`; name the customer or visitor whose events they are, or leave them out",
        );
        None
    } else {
        events::list(&given.events, catalog, now, path, &mut faults)
    };
    let query = query(given, catalog, &Path::Root, &mut faults);
    let converted = (|| Some(assemble(customer?, events?, query?, given)))();
    faults.into_result(converted)
}

/// Returns by what a repeat of a request is recognised; `None` when it has no id.
///
/// The body is the message as it was sent, not what it is converted to: that depends on the catalog and, for events without
/// a time, on the clock, so a repeat could come out as another request. Maps are sorted, and a mode that is left out is
/// the one that it stands for.
#[must_use]
pub fn once(given: &wire::GetOffersRequest) -> Option<RequestKey> {
    if given.request_id.is_empty() {
        return None;
    }
    let mut body = given.clone();
    body.request_id.clear();
    if body.duplicates() == wire::Duplicates::Unspecified {
        body.set_duplicates(wire::Duplicates::Removed);
    }
    Some(RequestKey {
        id: short_hash(&given.request_id),
        body: short_hash_of(&body.encode_to_vec()),
    })
}

/// The same for the request inside a call that records events, whose customer and events it has.
#[must_use]
pub fn once_within(given: &wire::RecordEventsRequest) -> Option<RequestKey> {
    let offers = given.offers.as_ref().filter(|offers| !offers.request_id.is_empty())?;
    once(&wire::GetOffersRequest {
        customer: given.customer.clone(),
        events: given.events.clone(),
        ..offers.clone()
    })
}

/// Checks a request that is repeated for one customer, and returns who that is.
///
/// # Errors
/// Everything that is wrong with it; that nobody is named is wrong here.
pub fn of_somebody(given: &wire::GetOffersRequest, catalog: &Catalog) -> Result<CustomerId, Faults> {
    let mut faults = Faults::default();
    let whom = customer(given.customer.as_ref(), Path::Root.field("customer"), &mut faults);
    let query = query(given, catalog, &Path::Root, &mut faults);
    faults.into_result(whom.zip(query).map(|(whom, _)| whom))
}

/// Returns the request of one item of a stream, which is then converted by [`request`].
///
/// # Errors
/// When the correlation id is too long, or there is no request.
pub fn correlated(given: &wire::GetOffersStreamRequest) -> Result<&wire::GetOffersRequest, Faults> {
    let mut faults = Faults::default();
    if !given.correlation_id.is_empty() {
        faults.note(Path::Root.field("correlation_id"), check_id(&given.correlation_id));
    }
    if given.request.is_none() {
        faults.add(Path::Root.field("request"), "is not set; give the request for offers");
    }
    faults.into_result(given.request.as_ref())
}

/// Converts the request for offers inside a call that records events: `customer` and `events` are those of the call.
pub(super) fn within(
    given: &wire::GetOffersRequest,
    customer: Option<CustomerId>,
    catalog: &Catalog,
    path: &Path<'_>,
    faults: &mut Faults,
) -> Option<OffersRequest> {
    if given.customer.is_some() {
        faults.add(path.field("customer"), "is set; leave it out, it is that of the call");
    }
    if !given.events.is_empty() {
        faults.add(
            path.field("events"),
            "is set; leave it out, the events are those of the call",
        );
    }
    let query = query(given, catalog, path, faults);
    Some(assemble(Some(customer?), Vec::new(), query?, given))
}

/// Returns the request for offers that a watcher repeats: always a preview.
#[must_use]
pub fn watched(given: wire::WatchOffersRequest) -> wire::GetOffersRequest {
    wire::GetOffersRequest {
        customer: given.customer,
        channel: given.channel,
        placements: given.placements,
        duplicates: given.duplicates,
        context: given.context,
        events: Vec::new(),
        explain: given.explain,
        preview: true,
        omit_content: given.omit_content,
        campaign: String::new(),
        request_id: String::new(),
    }
}

/// What a request asks, without whom it is about.
struct Query {
    channel: usize,
    campaign: Option<usize>,
    placements: Vec<PlacementRequest>,
    duplicates: bool,
    context: Vec<Value>,
}

fn assemble(
    customer: Option<CustomerId>,
    events: Vec<crate::domain::event::Event>,
    query: Query,
    given: &wire::GetOffersRequest,
) -> OffersRequest {
    OffersRequest {
        customer,
        channel: query.channel,
        campaign: query.campaign,
        placements: query.placements,
        duplicates: query.duplicates,
        context: query.context,
        events,
        explain: given.explain,
        preview: given.preview,
    }
}

fn query(given: &wire::GetOffersRequest, catalog: &Catalog, path: &Path<'_>, faults: &mut Faults) -> Option<Query> {
    let channel = channel(&given.channel, catalog, path.field("channel"), faults);
    let campaign = campaign(&given.campaign, catalog, path.field("campaign"), faults);
    let placements = placements(&given.placements, channel, catalog, path.field("placements"), faults);
    let mode = wire::Duplicates::try_from(given.duplicates).map_err(|_| {
        let allowed = "DUPLICATES_REMOVED (1) or DUPLICATES_ALLOWED (2)";
        format!("{} is not known; give {allowed}", given.duplicates)
    });
    let duplicates = faults
        .note(path.field("duplicates"), mode)
        .map(|mode| mode == wire::Duplicates::Allowed);
    let context = context(&given.context, channel, catalog, path.field("context"), faults);
    if !given.request_id.is_empty() {
        faults.note(path.field("request_id"), check_id(&given.request_id));
    }
    Some(Query {
        channel: channel?,
        campaign: campaign?,
        placements: placements?,
        duplicates: duplicates?,
        context: context?,
    })
}

/// Finds a campaign by its id; an empty one is none.
#[expect(clippy::option_option, reason = "whether it is right, and whether one was named")]
fn campaign(id: &str, catalog: &Catalog, path: Path<'_>, faults: &mut Faults) -> Option<Option<usize>> {
    if id.is_empty() {
        return Some(None);
    }
    let names = catalog.campaigns.iter().map(|campaign| &*campaign.id);
    position(id, names, "campaign", path, faults).map(Some)
}

fn placements(
    given: &[wire::PlacementRequest],
    channel: Option<usize>,
    catalog: &Catalog,
    path: Path<'_>,
    faults: &mut Faults,
) -> Option<Vec<PlacementRequest>> {
    length(given.len(), PLACEMENTS_PER_CALL_MAX, "placements", path, faults)?;
    let mut converted = Vec::with_capacity(given.len());
    for (index, wanted) in given.iter().enumerate() {
        let path = path.index(index);
        let names = catalog.placements.iter().map(|placement| &*placement.id);
        let Some(at) = position(&wanted.placement, names, "placement", path.field("placement"), faults) else {
            continue;
        };
        let placement = &catalog.placements[at];
        if let Some(channel) = channel.filter(|&channel| !placement.channels[channel]) {
            let channels = catalog.channels.iter().zip(&placement.channels);
            let allowed: Vec<&str> = channels
                .filter(|(_, asks)| **asks)
                .map(|(channel, _)| &*channel.id)
                .collect();
            faults.add(
                path.field("placement"),
                format_args!(
                    "`{}` is not there on the channel `{}`; channels that have it: {}",
                    placement.id,
                    catalog.channels[channel].id,
                    allowed.join(", ")
                ),
            );
        }
        let count = wanted.count as usize;
        if count == 0 || count > placement.count_max {
            faults.add(
                path.field("count"),
                format_args!(
                    "{count} is not from 1 to {}, what `{}` takes",
                    placement.count_max, placement.id
                ),
            );
        }
        converted.push(PlacementRequest { placement: at, count });
    }
    Some(converted)
}

/// Lays out the request context: one value per variable, the channel first.
fn context(
    given: &BTreeMap<String, wire::AttributeValue>,
    channel: Option<usize>,
    catalog: &Catalog,
    path: Path<'_>,
    faults: &mut Faults,
) -> Option<Vec<Value>> {
    let mut values = vec![Value::Missing; catalog.context.attributes.len()];
    if let (Some(first), Some(channel)) = (values.first_mut(), channel) {
        *first = Value::Category(catalog.channels[channel].symbol);
    }
    if given.len() > ATTRIBUTES_PER_MAP_MAX {
        faults.add(
            path,
            format_args!(
                "has {} entries; at most {ATTRIBUTES_PER_MAP_MAX} are allowed",
                given.len()
            ),
        );
        return None;
    }
    // The channel has its own field.
    let attributes = catalog.context.attributes.get(1..).unwrap_or_default();
    for (name, wire_value) in given {
        let path = path.key(name);
        match attributes.iter().position(|attribute| *attribute.id == **name) {
            Some(at) => {
                if let Some(value) = value(wire_value, &attributes[at], catalog, path, faults) {
                    values[at + 1] = value;
                }
            }
            None if name == "channel" => faults.add(path, "is not set here but by the field `channel`"),
            None => {
                let names = attributes.iter().map(|attribute| &*attribute.id);
                faults.add(path, unknown(name, names, "context attribute"));
            }
        }
    }
    Some(values)
}
