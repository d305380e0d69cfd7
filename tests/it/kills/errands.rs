//! The caller that runs errands: it joins visitors to customers and parts them, runs campaigns, imports, and changes the rules.
//!
//! Its visitors, customers and members are its own, so what they have to be is known exactly, whatever else is going on.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use nbo::server::wire;
use nbo::server::wire::attribute_value::Kind;
use nbo::server::wire::import_profiles_request;
use nbo::server::wire::rank_customers_request::Audience;
use tonic::Status;

use super::book::{Book, Clients, who};
use super::caller::written;
use crate::served::placement;

/// How many customers one campaign run, and one import, is about.
const AT_ONCE: u32 = 6;
/// How long changed rules may take to be in force.
const RELOADED_WITHIN: Duration = Duration::from_secs(20);

/// An errand.
#[derive(Clone, Debug)]
pub(super) enum Errand {
    /// Joins a visitor to a customer.
    Merge { guest: String, host: String },
    /// Parts it.
    Unmerge { guest: String },
    /// A campaign run that reserves.
    Run(Box<wire::RankCustomersRequest>),
    /// An import of a number for each of some customers.
    Import(Vec<(String, f64)>),
    /// Rules with another worth of an offer, in thousandths.
    Reload { thousandths: u32 },
}

impl Errand {
    /// Returns a run of some members.
    pub(super) fn run(id: &str, generation: usize) -> Self {
        let customers = (0..AT_ONCE).map(|number| who(&format!("member-{number}-{generation}")));
        let list = wire::CustomerList {
            customers: customers.collect(),
        };
        Self::Run(Box::new(wire::RankCustomersRequest {
            audience: Some(Audience::Customers(list)),
            channel: "mail".to_owned(),
            placement: Some(placement("list", 2)),
            reserve: true,
            run_id: format!("run-{id}"),
            ..Default::default()
        }))
    }

    /// Returns an import of a number for everybody of a list.
    pub(super) fn import(generation: usize, number: f64) -> Self {
        let row = |at: u32| (format!("filed-{at}-{generation}"), number + f64::from(at));
        Self::Import((0..AT_ONCE).map(row).collect())
    }

    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Merge { .. } => "joined",
            Self::Unmerge { .. } => "parted",
            Self::Run(_) => "campaign run",
            Self::Import(_) => "import",
            Self::Reload { .. } => "change of rules",
        }
    }

    /// Runs it, and notes what was answered.
    pub(super) async fn make(&self, clients: &mut Clients, book: &Mutex<Book>, place: &Path) -> Result<(), Status> {
        match self {
            Self::Merge { guest, host } => {
                let merged = merge(clients, guest, host).await?;
                assert!(merged, "{guest} was with {host} already");
                book.lock().unwrap().join(guest, host);
            }
            Self::Unmerge { guest } => {
                let unmerged = unmerge(clients, guest).await?;
                assert!(unmerged, "{guest} was with nobody");
                book.lock().unwrap().part(guest);
            }
            Self::Run(request) => drop(run(clients, book, request, false).await?),
            Self::Import(rows) => import(clients, book, rows).await?,
            Self::Reload { thousandths } => {
                book.lock().unwrap().has_other_rules = true;
                reload(clients, place, *thousandths).await?;
            }
        }
        *book.lock().unwrap().errands.entry(self.kind()).or_default() += 1;
        Ok(())
    }

    /// Finds out what became of it when it was never answered, by running it again.
    pub(super) async fn settle(&self, clients: &mut Clients, book: &Mutex<Book>) {
        match self {
            Self::Merge { guest, host } => {
                merge(clients, guest, host).await.unwrap();
                assert!(!merge(clients, guest, host).await.unwrap(), "{guest} is with {host}");
                book.lock().unwrap().join(guest, host);
            }
            Self::Unmerge { guest } => {
                unmerge(clients, guest).await.unwrap();
                assert!(!unmerge(clients, guest).await.unwrap(), "{guest} is with nobody");
                book.lock().unwrap().part(guest);
            }
            Self::Run(request) => {
                let told = run(clients, book, request, true).await.unwrap();
                for name in members(request) {
                    // Who was given something by the first run, and had no place for more by the time of the second, is not listed.
                    let untold = usize::from(!told.contains(&name));
                    book.lock().unwrap().page(&name).untold += untold;
                }
            }
            Self::Import(rows) => {
                for (name, number) in rows {
                    let profile = clients.profile(name).await;
                    let found = profile.and_then(|profile| profile.attributes.get("a0")?.kind.clone());
                    let before = book.lock().unwrap().page(name).values.get("a0").copied();
                    assert!(
                        found == before.map(Kind::Number) || found == Some(Kind::Number(*number)),
                        "a0 of {name} is {found:?}, and was {before:?} or {number}"
                    );
                }
                import(clients, book, rows).await.unwrap();
            }
            // Each start reads the rules that are there.
            Self::Reload { .. } => {}
        }
    }
}

async fn merge(clients: &mut Clients, guest: &str, host: &str) -> Result<bool, Status> {
    let request = wire::MergeCustomersRequest {
        visitor: Some(who(guest)),
        customer: Some(who(host)),
        ..Default::default()
    };
    Ok(clients.profiles.merge_customers(request).await?.into_inner().merged)
}

async fn unmerge(clients: &mut Clients, guest: &str) -> Result<bool, Status> {
    let request = wire::UnmergeCustomersRequest {
        visitor: Some(who(guest)),
    };
    Ok(clients.profiles.unmerge_customers(request).await?.into_inner().unmerged)
}

fn name_of(customer: &wire::Customer) -> String {
    match &customer.identity {
        Some(wire::customer::Identity::Id(id)) => id.clone(),
        other => panic!("{other:?}"),
    }
}

fn members(request: &wire::RankCustomersRequest) -> Vec<String> {
    let Some(Audience::Customers(list)) = &request.audience else {
        panic!("{request:?}")
    };
    list.customers.iter().map(name_of).collect()
}

/// Runs a campaign, and notes each batch when it comes; returns who was given something.
async fn run(
    clients: &mut Clients,
    book: &Mutex<Book>,
    request: &wire::RankCustomersRequest,
    is_again: bool,
) -> Result<BTreeSet<String>, Status> {
    let mut told = BTreeSet::new();
    let mut answers = clients.campaigns.rank_customers(request.clone()).await?.into_inner();
    while let Some(batch) = answers.message().await? {
        for given in batch.customers {
            let name = name_of(given.customer.as_ref().unwrap());
            let offers = if given.from_history {
                // What of it stands no more is not listed, and is in the history all the same.
                contacts_of(clients, &name, &given.decision_id).await
            } else {
                given.offers
            };
            let answer = wire::GetOffersResponse {
                decision_id: given.decision_id,
                placements: vec![wire::PlacementOffers {
                    placement: "list".to_owned(),
                    offers,
                    ..Default::default()
                }],
                profile_version: given.profile_version,
                replayed: is_again,
                ..Default::default()
            };
            book.lock().unwrap().offers(&name, &answer);
            assert!(told.insert(name), "somebody is listed twice");
        }
        if batch.summary.is_some() {
            return Ok(told);
        }
    }
    Err(Status::unavailable("the run ended without a summary"))
}

/// Returns the offers of a decision by the contact history.
async fn contacts_of(clients: &Clients, name: &str, decision: &str) -> Vec<wire::RankedOffer> {
    let profile = clients.profile(name).await.unwrap();
    let contacts = profile.contacts.into_iter();
    let contacts = contacts.filter(|contact| contact.decision_id == decision);
    contacts
        .map(|contact| wire::RankedOffer {
            offer_id: contact.offer_id,
            ..Default::default()
        })
        .collect()
}

async fn import(clients: &mut Clients, book: &Mutex<Book>, rows: &[(String, f64)]) -> Result<(), Status> {
    let part = import_profiles_request::Part::Rows(wire::ImportRows {
        first_row: 1,
        rows: rows.iter().map(|(name, number)| written(name, "a0", *number)).collect(),
    });
    let request = wire::ImportProfilesRequest { part: Some(part) };
    let answers = clients.profiles.import_profiles(tokio_stream::iter([request])).await?;
    let mut answers = answers.into_inner();
    while let Some(answer) = answers.message().await? {
        assert_eq!(answer.refused, 0, "{answer:?}");
        if answer.finished {
            assert_eq!(answer.written, rows.len() as u64);
            let mut book = book.lock().unwrap();
            for (name, number) in rows {
                book.page(name).values.insert("a0".to_owned(), *number);
            }
            return Ok(());
        }
    }
    Err(Status::unavailable("the import ended without a result"))
}

/// Changes the rules in one step, and waits until they are in force.
async fn reload(clients: &mut Clients, place: &Path, thousandths: u32) -> Result<(), Status> {
    let before = version(clients).await?;
    let rules = super::RULES.replacen(
        "World fund, value: 4,",
        &format!("World fund, value: 4.{thousandths:03},"),
        1,
    );
    assert_ne!(rules, super::RULES);
    std::fs::write(place.join("next.yaml"), rules).unwrap();
    std::fs::rename(place.join("next.yaml"), place.join("rules/rules.yaml")).unwrap();
    let in_force = async {
        while version(clients).await? == before {}
        Ok(())
    };
    let waited = tokio::time::timeout(RELOADED_WITHIN, in_force).await;
    waited.unwrap_or_else(|late| panic!("changed rules are not in force after {RELOADED_WITHIN:?}: {late}"))
}

async fn version(clients: &mut Clients) -> Result<String, Status> {
    let answer = clients.catalogs.get_catalog(wire::GetCatalogRequest::default()).await?;
    Ok(answer.into_inner().version)
}
