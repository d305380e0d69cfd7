//! Requests for campaigns, and their answers.

use std::sync::Arc;

use prost::Message as _;

use super::fault::{Faults, Path};
use super::{answer, customer, offers, position};
use crate::campaign::{Asked, Audience, Batch, Position, Summary};
use crate::catalog::Catalog;
use crate::decision::assign::{Limit, Limits};
use crate::domain::decision::Decision;
use crate::domain::ids::{CustomerId, check_id, short_hash};
use crate::domain::request::{OffersRequest, RequestKey};
use crate::domain::time::Timestamp;
use crate::engine::Active;
use crate::rules::{Condition, Scope, Space};
use crate::server::limits::{CUSTOMERS_PER_RUN_MAX, OFFER_LIMITS_PER_RUN_MAX};
use crate::server::wire;
use crate::server::wire::offer_limit::Scope as Counts;
use crate::server::wire::rank_customers_request::Audience as Given;

/// Whom a run is about, how many at most, and where it begins; what stays the same whatever catalog comes into force.
#[derive(Debug)]
pub struct Order {
    /// Whom.
    pub audience: Audience,
    /// Customers that were listed more than once.
    pub repeated: u64,
    /// How many at most.
    pub customers_max: Option<u64>,
    /// Where it begins.
    pub start: Position,
    /// Tells this request from others, by everything but where it begins.
    pub fingerprint: u64,
}

/// Converts a whole request: once, at the start.
///
/// # Errors
/// Everything that is wrong with it.
pub fn order(
    given: &wire::RankCustomersRequest,
    active: Arc<Active>,
    now: Timestamp,
) -> Result<(Order, Asked), Faults> {
    let mut faults = Faults::default();
    let audience = audience(given, &mut faults);
    ids(given, &mut faults);
    if given.max_customers == Some(0) {
        faults.add(
            Path::Root.field("max_customers"),
            "is 0; give 1 or more, or leave it out for all",
        );
    }
    let fingerprint = fingerprint(given);
    let start = if given.resume_after.is_empty() {
        Some(Position::default())
    } else {
        let parsed = Position::parse(&given.resume_after, fingerprint, given.limits.len());
        faults.note(Path::Root.field("resume_after"), parsed)
    };
    let asked = asked(given, active, now, &mut faults);
    let converted = (|| {
        let (audience, repeated) = audience?;
        let order = Order {
            audience,
            repeated,
            customers_max: given.max_customers,
            start: start?,
            fingerprint,
        };
        Some((order, asked?))
    })();
    faults.into_result(converted)
}

/// Converts what depends on the catalog: again when another one came into force.
///
/// # Errors
/// Everything that does not fit it.
pub fn again(given: &wire::RankCustomersRequest, active: Arc<Active>, now: Timestamp) -> Result<Asked, Faults> {
    let mut faults = Faults::default();
    let asked = asked(given, active, now, &mut faults);
    faults.into_result(asked)
}

fn audience(given: &wire::RankCustomersRequest, faults: &mut Faults) -> Option<(Audience, u64)> {
    match &given.audience {
        Some(Given::Customers(list)) => {
            let path = Path::Root.field("customers");
            let path = path.field("customers");
            super::length(list.customers.len(), CUSTOMERS_PER_RUN_MAX, "customers", path, faults)?;
            let customers = list.customers.iter().enumerate();
            let converted: Vec<Option<CustomerId>> = customers
                .map(|(index, given)| customer(Some(given), path.index(index), faults))
                .collect();
            let customers: Option<Vec<CustomerId>> = converted.into_iter().collect();
            customers.map(Audience::listed)
        }
        Some(Given::Segment(_) | Given::Everyone(true)) => Some((Audience::Everyone, 0)),
        Some(Given::Everyone(false)) => {
            faults.add(
                Path::Root.field("everyone"),
                "is false; set it, or give `customers` or a `segment`",
            );
            None
        }
        None => {
            let says = "is not set; give `customers`, a `segment`, or `everyone`";
            faults.add(Path::Root.field("audience"), says);
            None
        }
    }
}

fn ids(given: &wire::RankCustomersRequest, faults: &mut Faults) {
    if !given.run_id.is_empty() {
        faults.note(Path::Root.field("run_id"), check_id(&given.run_id));
    } else if given.reserve {
        let says = "is empty; a run that reserves needs a name, 1 to 128 bytes, the same when it goes on after a break";
        faults.add(Path::Root.field("run_id"), says);
    }
}

/// Hashes everything that makes a run what it is.
fn fingerprint(given: &wire::RankCustomersRequest) -> u64 {
    // Content is a matter of the answers only, and a list can be long: it is not copied.
    let plain = wire::RankCustomersRequest {
        audience: None,
        resume_after: String::new(),
        omit_content: false,
        channel: given.channel.clone(),
        placement: given.placement.clone(),
        context: given.context.clone(),
        campaign: given.campaign.clone(),
        reserve: given.reserve,
        run_id: given.run_id.clone(),
        explain: given.explain,
        limits: given.limits.clone(),
        max_customers: given.max_customers,
    };
    let mut hasher = blake3::Hasher::new();
    hasher.update(&plain.encode_to_vec());
    match &given.audience {
        Some(Given::Customers(list)) => {
            hasher.update(&[1]);
            hasher.update(&list.encode_to_vec());
        }
        Some(Given::Segment(text)) => {
            hasher.update(&[2]);
            hasher.update(text.as_bytes());
        }
        Some(Given::Everyone(_)) | None => {
            hasher.update(&[3]);
        }
    }
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    u64::from_be_bytes(bytes)
}

fn asked(
    given: &wire::RankCustomersRequest,
    active: Arc<Active>,
    now: Timestamp,
    faults: &mut Faults,
) -> Option<Asked> {
    let catalog = &active.catalog;
    let segment = match &given.audience {
        Some(Given::Segment(text)) => segment(text, catalog, faults).map(Some),
        _ => Some(None),
    };
    let request = template(given, catalog, now, faults);
    let limits = limits(&given.limits, catalog, faults);
    Some(Asked {
        request: request?,
        segment: segment?,
        limits: Limits::new(limits?, catalog.offers.len()),
        limit_names: given.limits.iter().map(in_words).collect(),
        once: once(given),
        active,
    })
}

/// Returns by what a customer's part of a run that reserves is recognised.
fn once(given: &wire::RankCustomersRequest) -> Option<RequestKey> {
    given.reserve.then(|| RequestKey {
        id: short_hash(&format!("campaign run {}", given.run_id)),
        body: fingerprint(given),
    })
}

fn segment(text: &str, catalog: &Catalog, faults: &mut Faults) -> Option<Condition> {
    let scope = Scope::new()
        .with(Space::Profile, &catalog.profile.variables)
        .with(Space::Behaviour, &catalog.behaviour_variables)
        .with(Space::Intent, &catalog.intent_variables);
    match Condition::compile(text, &scope) {
        Ok(condition) => Some(condition),
        Err(found) => {
            for fault in found {
                let before = text.get(..fault.range.start).unwrap_or(text);
                let at = before.chars().count() + 1;
                let hint = fault.hint.map(|hint| format!("; {hint}")).unwrap_or_default();
                faults.add(
                    Path::Root.field("segment"),
                    format_args!("at character {at}: {}{hint}", fault.message),
                );
            }
            None
        }
    }
}

/// Makes the request that is asked for every customer, judged as a request for offers is.
fn template(
    given: &wire::RankCustomersRequest,
    catalog: &Catalog,
    now: Timestamp,
    faults: &mut Faults,
) -> Option<OffersRequest> {
    let request = wire::GetOffersRequest {
        customer: Some(wire::Customer {
            identity: Some(wire::customer::Identity::Id("everybody".to_owned())),
        }),
        channel: given.channel.clone(),
        campaign: given.campaign.clone(),
        placements: given.placement.iter().cloned().collect(),
        context: given.context.clone(),
        explain: given.explain,
        preview: !given.reserve,
        omit_content: given.omit_content,
        ..wire::GetOffersRequest::default()
    };
    match offers::request(&request, catalog, now) {
        Ok(request) => Some(request),
        Err(found) => {
            // Without a placement the list of them is empty, which is told in the words of this call.
            let ours = |field: &str| (field != "placements").then(|| field.replacen("placements[0]", "placement", 1));
            faults.take_in(found, ours);
            if given.placement.is_none() {
                let says = "is not set; give a placement of the catalog, and how many offers each customer gets";
                faults.add(Path::Root.field("placement"), says);
            }
            None
        }
    }
}

fn limits(given: &[wire::OfferLimit], catalog: &Catalog, faults: &mut Faults) -> Option<Vec<Limit>> {
    let path = Path::Root.field("limits");
    if given.len() > OFFER_LIMITS_PER_RUN_MAX {
        let says = format!(
            "has {} limits; at most {OFFER_LIMITS_PER_RUN_MAX} are allowed",
            given.len()
        );
        faults.add(path, says);
        return None;
    }
    let converted: Vec<Option<Limit>> = given
        .iter()
        .enumerate()
        .map(|(index, given)| limit(given, catalog, path.index(index), faults))
        .collect();
    converted.into_iter().collect()
}

fn limit(given: &wire::OfferLimit, catalog: &Catalog, path: Path<'_>, faults: &mut Faults) -> Option<Limit> {
    let offers = match &given.scope {
        Some(Counts::OfferId(id)) => {
            let names = catalog.offers.iter().map(|offer| &*offer.id);
            let at = position(id, names, "offer", path.field("offer_id"), faults);
            at.map(|at| (0..catalog.offers.len()).map(|offer| offer == at).collect())
        }
        Some(Counts::Group(id)) => {
            let names = catalog.groups.iter().map(|group| &*group.id);
            let at = position(id, names, "group", path.field("group"), faults);
            at.map(|at| catalog.offers.iter().map(|offer| offer.group == at).collect())
        }
        None => {
            faults.add(path, "has neither `offer_id` nor `group`; say which offers are counted");
            None
        }
    };
    match (given.at_most, given.at_least) {
        (None, None | Some(0)) => faults.add(path, "limits nothing; give `at_most`, `at_least`, or both"),
        (Some(most), Some(least)) if least > most => {
            let says = format!("{least} is more than `at_most`, which is {most}");
            faults.add(path.field("at_least"), says);
        }
        _ => {}
    }
    Some(Limit {
        offers: offers?,
        at_most: given.at_most,
        at_least: given.at_least.unwrap_or_default(),
    })
}

fn in_words(limit: &wire::OfferLimit) -> Arc<str> {
    let what = match &limit.scope {
        Some(Counts::OfferId(id)) => format!("offer `{id}`"),
        Some(Counts::Group(id)) => format!("offers of group `{id}`"),
        None => String::new(),
    };
    format!("this run's limit on {what}: others get them").into()
}

/// Puts one decision into words; nothing for who gets nothing, unless reasons are wanted.
#[must_use]
pub fn customer_offers(
    decision: &Decision,
    request: &OffersRequest,
    active: &Active,
    omit_content: bool,
) -> Option<wire::CustomerOffers> {
    if !request.explain && decision.placements.iter().all(|filled| filled.offers.is_empty()) {
        return None;
    }
    let answer = answer::offers(decision, request, active, omit_content);
    let customer = request.customer.as_ref()?;
    Some(wire::CustomerOffers {
        customer: Some(super::customer_of(customer)),
        decision_id: answer.decision_id,
        offers: answer.placements.into_iter().flat_map(|filled| filled.offers).collect(),
        withheld: answer.withheld,
        rung: answer.rung,
        profile_version: answer.profile_version,
        catalog_version: answer.catalog_version,
        decided_at: answer.decided_at,
        from_history: false,
        hold_outs: answer.hold_outs,
    })
}

/// Puts a batch into a message.
#[must_use]
pub fn batch(batch: Batch<wire::CustomerOffers>, fingerprint: u64) -> wire::RankCustomersResponse {
    let totals = batch.totals;
    wire::RankCustomersResponse {
        customers: batch.answers,
        resume_token: batch.position.token(fingerprint),
        progress: Some(wire::CampaignProgress {
            customers: totals.customers,
            given: totals.given,
            offers: totals.offers,
            share: batch.share,
            from_history: totals.recalled,
            lapsed: totals.lapsed,
        }),
        summary: None,
    }
}

/// Puts the end of a run into a message.
#[must_use]
pub fn summary(
    summary: &Summary,
    order: &Order,
    given: &wire::RankCustomersRequest,
    resume_token: String,
) -> wire::RankCustomersResponse {
    let uses = given
        .limits
        .iter()
        .zip(&summary.used)
        .map(|(limit, &used)| wire::LimitUse {
            limit: Some(limit.clone()),
            used,
            left: limit.at_most.map(|most| most.saturating_sub(used)),
            lacking: limit.at_least.unwrap_or_default().saturating_sub(used),
        });
    let counts = summary.by_offer.iter().map(|(id, &count)| wire::OfferCount {
        offer_id: id.to_string(),
        count,
    });
    let totals = summary.totals;
    wire::RankCustomersResponse {
        customers: Vec::new(),
        resume_token,
        progress: Some(wire::CampaignProgress {
            customers: totals.customers,
            given: totals.given,
            offers: totals.offers,
            share: 1.0,
            from_history: totals.recalled,
            lapsed: totals.lapsed,
        }),
        summary: Some(wire::CampaignSummary {
            customers: totals.customers,
            given: totals.given,
            offers: totals.offers,
            by_offer: counts.collect(),
            limits: uses.collect(),
            method: summary.method.to_owned(),
            objective: totals.objective,
            objective_without_limits: summary.objective_without_limits,
            objective_bound: summary.objective_bound,
            repeated_customers: order.repeated,
            from_history: totals.recalled,
            lapsed: totals.lapsed,
        }),
    }
}
