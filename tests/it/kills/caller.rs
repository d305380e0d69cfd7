//! Callers that go on until the server is gone, and what they do about calls that were never answered.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use nbo::server::wire::attribute_value::Kind;
use nbo::server::wire::{self, Outcome};
use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64Mcg;
use tonic::{Code, Status};

use super::book::{Book, Clients, visit, who};
use super::errands::Errand;
use crate::served::{placement, value};

/// How many of its decisions a caller remembers, to report about.
const REMEMBERED: usize = 12;
/// How many customers all callers share.
const SHARED: u32 = 3;

/// A call.
#[derive(Clone, Debug)]
pub(super) enum Call {
    /// By a call of its own, or as the one item of a stream.
    Offers(wire::GetOffersRequest, Entrance),
    Events(wire::RecordEventsRequest),
    Outcome(wire::RecordOutcomeRequest),
    Cancel(wire::CancelRequest),
    Write(String, f64),
    Delete,
    Errand(Errand),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Entrance {
    Unary,
    Stream,
}

/// A call for a customer that was sent and never answered.
pub(super) type Doubt = (String, Call);

/// One caller: it makes one call after the other.
pub(super) struct Caller {
    pub(super) number: usize,
    pub(super) clients: Clients,
    pub(super) book: Arc<Mutex<Book>>,
    random: Pcg64Mcg,
    round: usize,
    made: usize,
    /// Where the rules are, for the one who runs errands.
    errands_in: Option<PathBuf>,
    /// The customer, the decision and its offers.
    recent: Vec<(String, String, Vec<String>)>,
}

impl Caller {
    pub(super) fn new(number: usize, round: usize, clients: Clients, book: Arc<Mutex<Book>>) -> Self {
        let seed = round as u64 * 1_000 + number as u64;
        Self {
            number,
            clients,
            book,
            random: Pcg64Mcg::seed_from_u64(seed),
            round,
            made: 0,
            errands_in: None,
            recent: Vec::new(),
        }
    }

    /// Runs errands instead of what the others do.
    pub(super) fn with_errands(self, place: &Path) -> Self {
        Self {
            errands_in: Some(place.to_owned()),
            ..self
        }
    }

    /// Calls until the server is gone, and returns the call that it did not answer.
    pub(super) async fn call_on(mut self) -> Doubt {
        loop {
            self.made += 1;
            let (name, call) = if self.errands_in.is_some() {
                self.errand()
            } else {
                self.next()
            };
            match self.make(&name, &call).await {
                Ok(()) => self.book.lock().unwrap().acknowledged += 1,
                Err(status) if is_gone(&status) => return (name, call),
                Err(status) => panic!("{call:?} of {name} is refused: {status}"),
            }
        }
    }

    /// Calls until `gone` is done, and returns the call that it did not wait for.
    pub(super) async fn call_until(mut self, gone: impl Future<Output = ()>) -> Doubt {
        let mut gone = std::pin::pin!(gone);
        loop {
            self.made += 1;
            let (name, call) = self.next();
            tokio::select! {
                made = self.make(&name, &call) => made.unwrap(),
                () = &mut gone => return (name, call),
            }
            self.book.lock().unwrap().acknowledged += 1;
        }
    }

    /// The customer of this caller alone; another one after some rounds, so that no history outgrows what is kept.
    fn own(&self) -> String {
        format!("own-{}-{}", self.number, self.round / 3)
    }

    fn somebody(&mut self) -> String {
        match self.random.random_range(0..SHARED * 2) {
            number if number < SHARED => format!("shared-{number}-{}", self.round / 3),
            _ => self.own(),
        }
    }

    fn next(&mut self) -> Doubt {
        let name = self.somebody();
        let id = format!("{}-{}-{}", self.round, self.number, self.made);
        match self.random.random_range(0..100) {
            0..20 => {
                let request = self.offers(&name, format!("r-{id}"));
                (name, Call::Offers(request, Entrance::Unary))
            }
            20..28 => {
                let request = self.offers(&name, format!("r-{id}"));
                (name, Call::Offers(request, Entrance::Stream))
            }
            28..36 => {
                let request = self.offers(&name, String::new());
                (name, Call::Offers(request, Entrance::Unary))
            }
            36..50 => {
                let request = self.events(&name, &id);
                (name, Call::Events(request))
            }
            50..70 => {
                let offers = Some(wire::GetOffersRequest {
                    customer: None,
                    ..self.offers(&name, format!("r-{id}"))
                });
                let request = wire::RecordEventsRequest {
                    offers,
                    ..self.events(&name, &id)
                };
                (name, Call::Events(request))
            }
            70..90 if !self.recent.is_empty() => self.report(),
            70..98 => {
                let number = f64::from(self.random.random_range(0..1_000_000));
                (name, Call::Write(format!("a{}", self.number), number))
            }
            _ => (self.own(), Call::Delete),
        }
    }

    /// What the one who runs errands does next.
    fn errand(&mut self) -> Doubt {
        let generation = self.round / 3;
        let id = format!("{}-{}-{}", self.round, self.number, self.made);
        let pair = self.random.random_range(0..3);
        let (guest, host) = (
            format!("guest-{pair}-{generation}"),
            format!("host-{pair}-{generation}"),
        );
        let name = if self.random.random_range(0..2) == 0 {
            guest.clone()
        } else {
            host.clone()
        };
        let errand = match self.random.random_range(0..100) {
            0..25 => {
                let request = self.offers(&name, format!("r-{id}"));
                return (name, Call::Offers(request, Entrance::Unary));
            }
            25..50 => {
                let request = self.events(&name, &id);
                return (name, Call::Events(request));
            }
            50..60 if !self.recent.is_empty() => return self.report(),
            50..75 if self.book.lock().unwrap().is_joined(&guest) => Errand::Unmerge { guest },
            50..75 => Errand::Merge { guest, host },
            75..88 => Errand::run(&id, generation),
            // What is decided in the seconds around it, nobody can audit, so it is done in some rounds only.
            88..94 if self.round % 7 == 3 => Errand::Reload {
                thousandths: self.random.random_range(1..1_000),
            },
            _ => Errand::import(generation, f64::from(self.random.random_range(0..999_000))),
        };
        (String::new(), Call::Errand(errand))
    }

    fn offers(&mut self, name: &str, request_id: String) -> wire::GetOffersRequest {
        let (channel, place, count) = match self.random.random_range(0..3) {
            0 => ("web", "top", 1),
            1 => ("web", "list", 3),
            _ => ("mail", "list", 2),
        };
        wire::GetOffersRequest {
            customer: Some(who(name)),
            channel: channel.to_owned(),
            placements: vec![placement(place, count)],
            request_id,
            ..Default::default()
        }
    }

    fn events(&mut self, name: &str, id: &str) -> wire::RecordEventsRequest {
        let count = self.random.random_range(1..=3);
        wire::RecordEventsRequest {
            customer: Some(who(name)),
            events: (0..count).map(|event| visit(&format!("e-{id}-{event}"))).collect(),
            offers: None,
        }
    }

    /// Reports about one of the recent decisions: mostly an outcome, sometimes that it is taken back.
    fn report(&mut self) -> Doubt {
        let at = self.random.random_range(0..self.recent.len());
        let (name, decision_id, offers) = self.recent[at].clone();
        if self.random.random_range(0..10) < 3 {
            let request = wire::CancelRequest {
                decision_id,
                ..Default::default()
            };
            return (name, Call::Cancel(request));
        }
        let outcomes = [
            Outcome::Delivered,
            Outcome::Seen,
            Outcome::Clicked,
            Outcome::Accepted,
            Outcome::Refused,
        ];
        let outcome = outcomes[self.random.random_range(0..outcomes.len())];
        let request = wire::RecordOutcomeRequest {
            decision_id,
            offer_id: offers[self.random.random_range(0..offers.len())].clone(),
            outcome: outcome.into(),
            ..Default::default()
        };
        (name, Call::Outcome(request))
    }

    /// Makes a call and notes what was answered.
    async fn make(&mut self, name: &str, call: &Call) -> Result<(), Status> {
        if let (Call::Errand(errand), Some(place)) = (call, &self.errands_in) {
            return errand.make(&mut self.clients, &self.book, place).await;
        }
        if let Some(answer) = make(&mut self.clients, &self.book, name, call).await? {
            let offers: Vec<String> = answer
                .placements
                .iter()
                .flat_map(|filled| filled.offers.iter().map(|offer| offer.offer_id.clone()))
                .collect();
            if !answer.decision_id.is_empty() {
                let name = self.book.lock().unwrap().owner(name);
                self.recent.push((name, answer.decision_id, offers));
                let extra = self.recent.len().saturating_sub(REMEMBERED);
                self.recent.drain(..extra);
            }
        }
        if matches!(call, Call::Delete) {
            self.recent.retain(|(of, _, _)| of != name);
        }
        Ok(())
    }
}

/// Makes a call and notes what was answered; returns the offers if it was for some.
async fn make(
    clients: &mut Clients,
    book: &Mutex<Book>,
    name: &str,
    call: &Call,
) -> Result<Option<wire::GetOffersResponse>, Status> {
    match call {
        Call::Offers(request, entrance) => {
            let answer = match entrance {
                Entrance::Unary => clients.decisions.get_offers(request.clone()).await?.into_inner(),
                Entrance::Stream => stream(clients, request).await?,
            };
            book.lock().unwrap().offers(name, &answer);
            return Ok(Some(answer));
        }
        Call::Events(request) => {
            let receipt = clients.behaviour.record_events(request.clone()).await?.into_inner();
            let counts = (receipt.applied as usize, receipt.duplicates);
            assert_eq!(counts, (request.events.len(), 0), "new events of {name}");
            let mut book = book.lock().unwrap();
            book.events(name, &request.events, receipt.profile_version);
            if let Some(answer) = &receipt.offers {
                book.offers(name, answer);
            }
            return Ok(receipt.offers);
        }
        Call::Outcome(request) => {
            let receipt = clients.behaviour.record_outcome(request.clone()).await?.into_inner();
            let mut book = book.lock().unwrap();
            let outcome = outcome_name(request);
            let fate = book.fate(name, &request.decision_id, &request.offer_id);
            assert_eq!(fate.outcomes.insert(outcome), receipt.recorded, "{request:?} of {name}");
            let owner = book.owner(name);
            let known = book.page(&owner);
            known.version = known.version.max(receipt.profile_version);
        }
        Call::Cancel(request) => {
            let receipt = clients.behaviour.cancel(request.clone()).await?.into_inner();
            let released = book.lock().unwrap().cancel(name, &request.decision_id);
            assert_eq!(released, receipt.cancelled as usize, "{request:?} of {name}");
        }
        Call::Write(attribute, number) => {
            let request = written(name, attribute, *number);
            let receipt = clients.profiles.upsert_profile(request).await?.into_inner();
            let mut book = book.lock().unwrap();
            let known = book.page(name);
            known.version = known.version.max(receipt.profile_version);
            known.values.insert(attribute.clone(), *number);
        }
        Call::Delete => {
            let request = wire::DeleteProfileRequest {
                customer: Some(who(name)),
            };
            clients.profiles.delete_profile(request).await?;
            book.lock().unwrap().forget(name);
        }
        Call::Errand(_) => unreachable!("errands are run elsewhere"),
    }
    Ok(None)
}

/// Asks for offers by a stream of one request.
async fn stream(clients: &mut Clients, request: &wire::GetOffersRequest) -> Result<wire::GetOffersResponse, Status> {
    let item = wire::GetOffersStreamRequest {
        correlation_id: request.request_id.clone(),
        request: Some(request.clone()),
    };
    let answers = clients.decisions.get_offers_stream(tokio_stream::iter([item])).await?;
    let answer = answers.into_inner().message().await?;
    match answer.and_then(|answer| answer.result) {
        Some(wire::get_offers_stream_response::Result::Offers(offers)) => Ok(offers),
        Some(wire::get_offers_stream_response::Result::Fault(fault)) => panic!("{request:?} is refused: {fault:?}"),
        None => Err(Status::unavailable("the stream ended without an answer")),
    }
}

/// Finds out what became of calls that were never answered, as a caller would: by making them again. Where the server that was asked
/// `goes_on`, a call may still come to its turn: to look whether somebody is gone would not tell whether he will be.
pub(super) async fn settle(clients: &mut Clients, book: &Mutex<Book>, doubts: &[Doubt], goes_on: bool) {
    book.lock().unwrap().in_doubt += doubts.len() as u64;
    for (name, call) in doubts {
        if let Call::Errand(errand) = call {
            errand.settle(clients, book).await;
            continue;
        }
        // The page is compared even when nothing of the customer was ever acknowledged.
        book.lock().unwrap().page(name);
        match call {
            Call::Offers(request, _) if request.request_id.is_empty() => book.lock().unwrap().page(name).untold += 1,
            Call::Offers(request, _) => {
                let again = clients.decisions.get_offers(request.clone()).await;
                match again {
                    Ok(first) => {
                        let first = first.into_inner();
                        book.lock().unwrap().offers(name, &first);
                        let second = clients
                            .decisions
                            .get_offers(request.clone())
                            .await
                            .unwrap()
                            .into_inner();
                        assert_eq!(
                            (&second.decision_id, second.replayed),
                            (&first.decision_id, true),
                            "a repeat of {name}"
                        );
                    }
                    Err(status) => adopt(clients, book, name, &status).await,
                }
            }
            Call::Events(request) => settle_events(clients, book, name, request).await,
            Call::Outcome(request) => {
                clients.behaviour.record_outcome(request.clone()).await.unwrap();
                let mut book = book.lock().unwrap();
                let fate = book.fate(name, &request.decision_id, &request.offer_id);
                fate.outcomes.insert(outcome_name(request));
            }
            Call::Cancel(request) => {
                clients.behaviour.cancel(request.clone()).await.unwrap();
                book.lock().unwrap().cancel(name, &request.decision_id);
            }
            Call::Write(attribute, number) => {
                let profile = clients.profile(name).await;
                let found = profile.and_then(|profile| profile.attributes.get(attribute)?.kind.clone());
                let before = book.lock().unwrap().page(name).values.get(attribute).copied();
                assert!(
                    found == before.map(Kind::Number) || found == Some(Kind::Number(*number)),
                    "{attribute} of {name} is {found:?}, and was {before:?} or {number}"
                );
                make(clients, book, name, call).await.unwrap();
            }
            Call::Errand(_) => {}
            Call::Delete if goes_on => {
                make(clients, book, name, call).await.unwrap();
            }
            Call::Delete => {
                if clients.profile(name).await.is_none() {
                    book.lock().unwrap().forget(name);
                }
            }
        }
    }
}

async fn settle_events(clients: &mut Clients, book: &Mutex<Book>, name: &str, request: &wire::RecordEventsRequest) {
    let alone = wire::RecordEventsRequest {
        offers: None,
        ..request.clone()
    };
    let all = u32::try_from(request.events.len()).unwrap();
    match clients.behaviour.record_events(request.clone()).await {
        Ok(receipt) => {
            let receipt = receipt.into_inner();
            let counts = (receipt.applied, receipt.duplicates);
            assert!(
                counts == (all, 0) || counts == (0, all),
                "all or none of {name}: {counts:?}"
            );
            if let Some(answer) = &receipt.offers {
                book.lock().unwrap().offers(name, answer);
            }
        }
        Err(status) => adopt(clients, book, name, &status).await,
    }
    // What the first one decided was written together with its events.
    let receipt = clients.behaviour.record_events(alone).await.unwrap().into_inner();
    assert_eq!((receipt.applied, receipt.duplicates), (0, all), "a repeat of {name}");
    book.lock()
        .unwrap()
        .events(name, &request.events, receipt.profile_version);
}

/// Takes in the decision that a repeat was refused for: it was made, nobody was told, and its record is kept no longer.
async fn adopt(clients: &Clients, book: &Mutex<Book>, name: &str, status: &Status) {
    assert_eq!(status.code(), Code::Aborted, "{name}: {status}");
    let profile = clients.profile(name).await.unwrap();
    let named = |contact: &&wire::Contact| status.message().contains(&format!("`{}`", contact.decision_id));
    let of_decision: Vec<&wire::Contact> = profile.contacts.iter().filter(named).collect();
    let first = of_decision.first().unwrap_or_else(|| panic!("{name}: {status}"));
    let offers = of_decision.iter().map(|contact| wire::RankedOffer {
        offer_id: contact.offer_id.clone(),
        ..Default::default()
    });
    let answer = wire::GetOffersResponse {
        decision_id: first.decision_id.clone(),
        placements: vec![wire::PlacementOffers {
            placement: first.placement.clone(),
            offers: offers.collect(),
            ..Default::default()
        }],
        ..Default::default()
    };
    book.lock().unwrap().offers(name, &answer);
}

/// Tells whether the server did not answer because it is gone; that it is gone, the test finds out by itself.
fn is_gone(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable | Code::Unknown | Code::Cancelled | Code::Internal
    )
}

pub(super) fn written(name: &str, attribute: &str, number: f64) -> wire::UpsertProfileRequest {
    wire::UpsertProfileRequest {
        customer: Some(who(name)),
        attributes: [(attribute.to_owned(), value(Kind::Number(number)))].into(),
        ..Default::default()
    }
}

fn outcome_name(request: &wire::RecordOutcomeRequest) -> String {
    let name = request.outcome().as_str_name();
    name.trim_start_matches("OUTCOME_").to_ascii_lowercase()
}
