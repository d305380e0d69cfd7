//! `ContactService`.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::spawn_blocking;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Status, async_trait};

use super::Answers;
use crate::decision::{policy, unite};
use crate::domain::ids::{CustomerId, CustomerKey};
use crate::domain::profile::Profile;
use crate::server::convert::contacts::{self, Forecast};
use crate::server::convert::history;
use crate::server::deadline::{Ends, until};
use crate::server::desk::Desk;
use crate::server::limits::WALKS_MAX;
use crate::server::status::Refusal;
use crate::server::wire;
use crate::server::wire::contact_service_server::ContactService;
use crate::store::Store;

/// Customers in one message of an export, at most.
const CUSTOMERS_PER_MESSAGE: u64 = 200;

/// A message of an export is sent when it has so many bytes: far below the 4 MB that clients take, one customer more included.
const MESSAGE_BYTES: usize = 256 << 10;

/// Messages that wait for a slow reader before the export waits as well.
const MESSAGES_WAITING_MAX: usize = 4;

/// Answers `ContactService`.
#[derive(Clone)]
pub(in crate::server) struct Contacts {
    desk: Arc<Desk>,
    places: Arc<Semaphore>,
}

impl Contacts {
    pub(in crate::server) fn new(desk: &Arc<Desk>) -> Self {
        Self {
            desk: Arc::clone(desk),
            places: Arc::new(Semaphore::new(WALKS_MAX)),
        }
    }

    /// Takes a place for a walk over all customers.
    fn place(&self) -> Result<OwnedSemaphorePermit, Status> {
        let place = Arc::clone(&self.places).try_acquire_owned();
        place.map_err(|_| self.desk.refuse(Refusal::TooManyWalks(WALKS_MAX)))
    }

    fn budget(&self, given: &wire::GetContactBudgetRequest) -> Result<wire::GetContactBudgetResponse, Refusal> {
        let (active, now) = self.desk.begin();
        let (customer, channel) = contacts::budget_request(given, &active.catalog)?;
        let profile = self
            .desk
            .engine
            .profile(&customer)
            .ok_or(Refusal::UnknownProfile(customer))?;
        let (catalog, view) = (&*active.catalog, unite::view(&profile));
        let budget = policy::budget(catalog, &view, now);
        Ok(wire::GetContactBudgetResponse {
            channels: contacts::channels(catalog, &profile, &view, channel, now),
            ..contacts::budget(&budget, catalog, channel, profile.version, now)
        })
    }
}

#[async_trait]
impl ContactService for Contacts {
    type ExportContactsStream = Answers<wire::ExportContactsResponse>;

    async fn get_contact_budget(
        &self,
        request: Request<wire::GetContactBudgetRequest>,
    ) -> Result<Response<wire::GetContactBudgetResponse>, Status> {
        self.budget(request.get_ref())
            .map(Response::new)
            .map_err(|refusal| self.desk.refuse(refusal))
    }

    async fn forecast_limits(
        &self,
        request: Request<wire::ForecastLimitsRequest>,
    ) -> Result<Response<wire::ForecastLimitsResponse>, Status> {
        let ahead = contacts::ahead(request.into_inner()).map_err(|faults| self.desk.refuse(faults.into()))?;
        let desk = Arc::clone(&self.desk);
        let place = self.place()?;
        let forecast = spawn_blocking(move || {
            let _place = place;
            let (active, now) = desk.begin();
            let catalog = &active.catalog;
            let later = now + ahead;
            let mut forecast = Forecast::new(catalog);
            let mut profile = Profile::default();
            let store = desk.engine.store();
            for key in all_keys(store) {
                if store.look(key, Some(&mut profile)).is_some() {
                    let profile = unite::view(&profile);
                    let left_now = policy::budget(catalog, &profile, now);
                    forecast.add(&left_now, &policy::budget(catalog, &profile, later));
                }
            }
            forecast.answer(catalog, now, later)
        });
        let forecast = forecast.await;
        forecast.map(Response::new).map_err(|error| broken_off(&error))
    }

    async fn export_contacts(
        &self,
        request: Request<wire::ExportContactsRequest>,
    ) -> Result<Response<Self::ExportContactsStream>, Status> {
        let ends = request.extensions().get::<Ends>().copied();
        let place = self.place()?;
        let (sender, receiver) = mpsc::channel(MESSAGES_WAITING_MAX);
        let desk = Arc::clone(&self.desk);
        spawn_blocking(move || {
            let _place = place;
            // Only a reader that left ends an export early.
            let _ = export(&desk, &sender);
        });
        Ok(Response::new(until(ends, ReceiverStream::new(receiver))))
    }
}

/// Returns the keys of all customers, 16 bytes each, by which they can be visited one at a time without keeping others waiting.
fn all_keys(store: &Store) -> Vec<CustomerKey> {
    let mut keys = Vec::with_capacity(store.len());
    store.keys(
        &(CustomerKey::from_packed(0)..=CustomerKey::from_packed(u128::MAX)),
        &mut keys,
    );
    keys
}

fn broken_off(error: &dyn std::fmt::Display) -> Status {
    Status::new(Code::Internal, format!("the count broke off: {error}"))
}

type Sender = mpsc::Sender<Result<wire::ExportContactsResponse, Status>>;

/// Sends the policies, and then the customers by their keys. Customers are read one by one, so nobody waits for the reader.
fn export(
    desk: &Desk,
    sender: &Sender,
) -> Result<(), mpsc::error::SendError<Result<wire::ExportContactsResponse, Status>>> {
    let (_, now) = desk.begin();
    let header = history::header(&desk.policies.all(), now);
    let store = desk.engine.store();
    let keys = all_keys(store);
    let mut message = wire::ExportContactsResponse {
        lines: vec![line(&header)],
        customers: 0,
        customers_total: keys.len() as u64,
    };
    let mut profile = Profile::default();
    let (mut bytes, mut sent) = (message.lines[0].len(), 0);
    let mut visitors = Visitors::default();
    for key in keys {
        if message.customers - sent >= CUSTOMERS_PER_MESSAGE || bytes >= MESSAGE_BYTES {
            sender.blocking_send(Ok(message.clone()))?;
            sent = message.customers;
            message.lines.clear();
            bytes = 0;
        }
        let (active, _) = desk.begin();
        let known = store.look(key, Some(&mut profile));
        let customer = known.and_then(|id| {
            if !visitors.tell(&id, &mut profile) {
                return None;
            }
            history::customer(&id, &profile, &active.catalog)
        });
        if let Some(customer) = customer {
            let line = line(&customer);
            bytes += line.len();
            message.lines.push(line);
        }
        message.customers += 1;
    }
    sender.blocking_send(Ok(message))
}

/// The visitors whose contacts were sent, alone or with the customer to whom they are joined: who is joined or parted while an export goes
/// on is met twice, and contacts that stood there twice would count twice.
#[derive(Default)]
struct Visitors(HashSet<CustomerKey>);

impl Visitors {
    /// Takes out of a profile the joined visitors that were sent before, and notes the others; tells whether anything is left to send.
    fn tell(&mut self, id: &CustomerId, profile: &mut Profile) -> bool {
        profile.joined.retain(|joined| self.0.insert(joined.visitor.key()));
        !id.is_anonymous() || profile.contacts.is_empty() || self.0.insert(id.key())
    }
}

/// Writes a document as one line.
fn line(document: &impl serde::Serialize) -> String {
    serde_json::to_string(document).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::contact::Contact;
    use crate::domain::profile::{Joined, Precedence};
    use crate::domain::symbol::Symbol;
    use crate::domain::time::Timestamp;

    #[test]
    fn the_contacts_of_a_visitor_who_is_joined_or_parted_while_all_are_sent_are_sent_once() {
        let symbol = Symbol::from_packed(1);
        let own = Profile {
            contacts: vec![Contact::decided(1, symbol, symbol, symbol, Timestamp::FAR_PAST)],
            ..Profile::default()
        };
        let (anna, cookie) = (
            CustomerId::known("anna").unwrap(),
            CustomerId::anonymous("cookie").unwrap(),
        );
        let together = Profile {
            joined: vec![Joined {
                visitor: cookie.clone(),
                merged_at: Timestamp::FAR_PAST,
                precedence: Precedence::Customer,
                slot: 0,
                known: true,
                profile: own.clone(),
            }],
            ..own.clone()
        };
        let (mut first, mut second) = (Visitors::default(), Visitors::default());
        // Joined after it was sent alone.
        let mut profile = together.clone();
        assert!(first.tell(&cookie, &mut own.clone()) && first.tell(&anna, &mut profile));
        assert_eq!(profile, own);
        // Parted after it was sent with the customer.
        let mut profile = together.clone();
        assert!(second.tell(&anna, &mut profile));
        assert_eq!(profile, together);
        assert!(!second.tell(&cookie, &mut own.clone()));
    }
}
