//! What callers were told, and the comparison with what the server knows after it was killed.

use std::collections::{BTreeMap, BTreeSet};

use nbo::server::wire;
use nbo::server::wire::attribute_value::Kind;
use nbo::server::wire::behaviour_service_client::BehaviourServiceClient;
use nbo::server::wire::campaign_service_client::CampaignServiceClient;
use nbo::server::wire::catalog_service_client::CatalogServiceClient;
use nbo::server::wire::decision_service_client::DecisionServiceClient;
use nbo::server::wire::profile_service_client::ProfileServiceClient;
use tonic::Code;
use tonic::transport::Channel;

use crate::served::customer;

/// How many of a customer's latest events are repeated; the contract promises to know the latest 128 again.
const EVENTS_REPEATED: usize = 40;

/// What became of one contact.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fate {
    pub(super) outcomes: BTreeSet<String>,
    pub(super) cancelled: bool,
}

/// A contact of a decision: its placement and its offer.
pub(super) type Shown = (String, String);

/// What is known of one customer.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    pub(super) decisions: BTreeMap<String, BTreeMap<Shown, Fate>>,
    /// In the order of the answers.
    pub(super) events: Vec<String>,
    pub(super) values: BTreeMap<String, f64>,
    pub(super) version: u64,
    /// In which round it was last changed.
    pub(super) touched: usize,
    /// Calls without a request id that were never answered: each may have made a decision that nobody was told of.
    pub(super) untold: usize,
}

impl Known {
    /// Returns what is known of a customer together with the visitors who are joined.
    fn with(&self, guests: &[Self]) -> Self {
        let mut all = self.clone();
        for guest in guests {
            all.decisions.extend(guest.decisions.clone());
            all.events.extend(guest.events.iter().cloned());
        }
        all
    }
}

/// What all callers were told.
#[derive(Default)]
pub(super) struct Book {
    pub(super) customers: BTreeMap<String, Known>,
    /// Every decision that there ever was, also of those who were forgotten.
    decisions: BTreeSet<String>,
    /// To whom visitors are joined.
    joined: BTreeMap<String, String>,
    /// Whether the rules were ever changed, or about to be.
    pub(super) has_other_rules: bool,
    /// How many errands of each kind were acknowledged.
    pub(super) errands: BTreeMap<&'static str, u64>,
    pub(super) acknowledged: u64,
    pub(super) in_doubt: u64,
    pub(super) round: usize,
}

/// Returns how a call names somebody.
pub(super) fn who(name: &str) -> wire::Customer {
    if name.starts_with("guest-") {
        let identity = Some(wire::customer::Identity::AnonymousId(name.to_owned()));
        return wire::Customer { identity };
    }
    customer(name)
}

impl Book {
    /// Returns whose page it is that calls about somebody are written on: a visitor who is joined to a customer is the customer.
    pub(super) fn owner(&self, name: &str) -> String {
        self.joined.get(name).map_or(name, String::as_str).to_owned()
    }

    pub(super) fn join(&mut self, guest: &str, host: &str) {
        self.page(guest);
        self.page(host);
        self.joined.insert(guest.to_owned(), host.to_owned());
    }

    pub(super) fn part(&mut self, guest: &str) {
        let host = self.joined.remove(guest).unwrap();
        self.page(guest);
        self.page(&host);
    }

    pub(super) fn is_joined(&self, guest: &str) -> bool {
        self.joined.contains_key(guest)
    }

    /// Opens the page of a customer for an acknowledged call.
    pub(super) fn page(&mut self, name: &str) -> &mut Known {
        let known = self.customers.entry(name.to_owned()).or_default();
        known.touched = self.round;
        known
    }

    pub(super) fn offers(&mut self, name: &str, answer: &wire::GetOffersResponse) {
        let id = &answer.decision_id;
        let owner = self.owner(name);
        let known = self.page(&owner);
        known.version = known.version.max(answer.profile_version);
        if id.is_empty() || (answer.replayed && known.decisions.contains_key(id)) {
            return;
        }
        let shown = answer.placements.iter().flat_map(|filled| {
            let offers = filled.offers.iter();
            offers.map(|offer| ((filled.placement.clone(), offer.offer_id.clone()), Fate::default()))
        });
        let shown = shown.collect();
        let before = known.decisions.insert(id.clone(), shown);
        assert!(
            before.is_none() && self.decisions.insert(id.clone()),
            "{id} was given to two decisions"
        );
    }

    pub(super) fn events(&mut self, name: &str, events: &[wire::Event], version: u64) {
        let owner = self.owner(name);
        let known = self.page(&owner);
        known.version = known.version.max(version);
        known.events.extend(events.iter().map(|event| event.id.clone()));
    }

    /// Returns what became of a contact.
    pub(super) fn fate(&mut self, name: &str, decision: &str, offer: &str) -> &mut Fate {
        let shown = self.page(name).decisions.get_mut(decision).unwrap();
        let fate = shown.iter_mut().find(|((_, shown), _)| shown == offer);
        fate.unwrap().1
    }

    /// Takes a whole decision back, and returns how many contacts that releases.
    pub(super) fn cancel(&mut self, name: &str, decision: &str) -> usize {
        let shown = self.page(name).decisions.get_mut(decision).unwrap();
        let open = shown
            .values_mut()
            .filter(|fate| fate.outcomes.is_empty() && !fate.cancelled);
        open.map(|fate| fate.cancelled = true).count()
    }

    pub(super) fn forget(&mut self, name: &str) {
        let touched = self.round;
        self.customers.insert(
            name.to_owned(),
            Known {
                touched,
                ..Known::default()
            },
        );
    }

    /// Compares the customers that were changed in one of the latest rounds with what the server knows.
    pub(super) async fn compare(&mut self, clients: &Clients, rounds: usize) {
        let since = (self.round + 1).saturating_sub(rounds);
        let names: Vec<String> = self.customers.keys().cloned().collect();
        for name in names {
            let Self {
                customers,
                decisions,
                joined,
                ..
            } = self;
            let guests: Vec<&String> = joined
                .iter()
                .filter(|(_, host)| **host == name)
                .map(|(guest, _)| guest)
                .collect();
            let is_touched = |name: &String| customers.get(name).is_some_and(|known| known.touched >= since);
            // A visitor who is joined has no page of its own on the server.
            if joined.contains_key(&name) || !(is_touched(&name) || guests.iter().any(|guest| is_touched(guest))) {
                continue;
            }
            let all: Vec<Known> = guests.iter().map(|guest| customers[*guest].clone()).collect();
            let known = customers.get_mut(&name).unwrap();
            match clients.profile(&name).await {
                Some(profile) if !all.is_empty() => {
                    compare(&name, &mut known.with(&all), decisions, &profile);
                    clients.repeat(&name, known).await;
                    for guest in guests {
                        assert_eq!(
                            clients.profile(guest).await.as_ref(),
                            Some(&profile),
                            "{guest} is {name}"
                        );
                    }
                }
                Some(profile) => {
                    compare(&name, known, decisions, &profile);
                    clients.repeat(&name, known).await;
                }
                None => assert!(
                    known.decisions.is_empty() && known.events.is_empty() && known.values.is_empty(),
                    "{name} is lost: {known:?}"
                ),
            }
        }
    }
}

/// Compares one customer with what callers were told.
fn compare(name: &str, known: &mut Known, decisions: &mut BTreeSet<String>, profile: &wire::GetProfileResponse) {
    let mut found: BTreeMap<String, BTreeMap<Shown, Fate>> = BTreeMap::new();
    for contact in &profile.contacts {
        let fate = Fate {
            outcomes: contact.outcomes.keys().cloned().collect(),
            cancelled: contact.cancelled_at.is_some(),
        };
        let shown = (contact.placement.clone(), contact.offer_id.clone());
        let before = found
            .entry(contact.decision_id.clone())
            .or_default()
            .insert(shown, fate);
        assert_eq!(before, None, "{name} has a contact twice: {contact:?}");
    }
    for (id, shown) in &found {
        if !known.decisions.contains_key(id) && known.untold > 0 {
            known.untold -= 1;
            assert!(decisions.insert(id.clone()), "{id} was given to two decisions");
            known.decisions.insert(id.clone(), shown.clone());
        }
    }
    known.untold = 0;
    assert_eq!(
        found, known.decisions,
        "the contacts of {name}: found on the left, told on the right"
    );
    for (attribute, value) in &known.values {
        let kind = profile.attributes.get(attribute).and_then(|found| found.kind.clone());
        assert_eq!(kind, Some(Kind::Number(*value)), "{attribute} of {name}");
    }
    assert!(
        profile.profile_version >= known.version,
        "{name} is at version {}, and was at {}",
        profile.profile_version,
        known.version
    );
    let visits = profile.behaviour.get("visits").and_then(|found| match &found.kind {
        Some(Kind::Number(count)) => Some(*count),
        _ => None,
    });
    let told = Some(known.events.len() as f64).filter(|&count| count > 0.0);
    assert_eq!(
        visits.filter(|&count| count > 0.0),
        told,
        "how many events of {name} count"
    );
}

/// Clients on one connection.
#[derive(Clone)]
pub(super) struct Clients {
    pub(super) behaviour: BehaviourServiceClient<Channel>,
    pub(super) decisions: DecisionServiceClient<Channel>,
    pub(super) profiles: ProfileServiceClient<Channel>,
    pub(super) campaigns: CampaignServiceClient<Channel>,
    pub(super) catalogs: CatalogServiceClient<Channel>,
}

impl Clients {
    pub(super) fn new(channel: &Channel) -> Self {
        Self {
            behaviour: BehaviourServiceClient::new(channel.clone()),
            decisions: DecisionServiceClient::new(channel.clone()),
            profiles: ProfileServiceClient::new(channel.clone()),
            campaigns: CampaignServiceClient::new(channel.clone()),
            catalogs: CatalogServiceClient::new(channel.clone()),
        }
    }

    pub(super) async fn profile(&self, name: &str) -> Option<wire::GetProfileResponse> {
        let request = wire::GetProfileRequest {
            customer: Some(who(name)),
        };
        match self.profiles.clone().get_profile(request).await {
            Ok(profile) => Some(profile.into_inner()),
            Err(status) if status.code() == Code::NotFound => None,
            Err(status) => panic!("{name} cannot be read: {status}"),
        }
    }

    /// Repeats the latest events of a customer: each of them must be known.
    async fn repeat(&self, name: &str, known: &Known) {
        let latest = &known.events[known.events.len().saturating_sub(EVENTS_REPEATED)..];
        if latest.is_empty() {
            return;
        }
        let events = latest.iter().map(|id| visit(id)).collect();
        let request = wire::RecordEventsRequest {
            customer: Some(who(name)),
            events,
            offers: None,
        };
        let receipt = self
            .behaviour
            .clone()
            .record_events(request)
            .await
            .unwrap()
            .into_inner();
        assert_eq!(
            (receipt.applied, receipt.duplicates as usize),
            (0, latest.len()),
            "repeated events of {name}"
        );
    }
}

/// A visit now.
pub(super) fn visit(id: &str) -> wire::Event {
    wire::Event {
        id: id.to_owned(),
        r#type: "visit".to_owned(),
        channel: "web".to_owned(),
        ..Default::default()
    }
}
