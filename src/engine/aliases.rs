//! Which visitors are joined to which customers, so that a call that names the visitor is about the customer.
//!
//! What counts is the customer's profile, which has its visitors ([`crate::decision::unite`]); this is an index over it, made anew by each
//! start. A visitor that is joined has no profile of its own in the store.
//!
//! **Nobody slips through.** A call looks here before it takes the lock of whom it is about, and again under that lock; when that has
//! changed in between, it begins anew. Joining and parting first say here that the visitor moves, and then take the lock of each of the two,
//! one after the other: whoever had a lock before is done by then, whoever comes later waits, with no lock in hand, until it is over.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;

use super::{Engine, Rejection};
use crate::domain::ids::{CustomerId, CustomerKey};
use crate::domain::request::OffersRequest;
use crate::store::seal::Seal;

/// What a visitor stands for.
#[derive(Clone, Debug)]
pub(super) struct Alias {
    /// The customer.
    pub(super) customer: CustomerId,
    /// The visitor's own key.
    pub(super) seal: Seal,
    /// Whether it is being joined or parted at this moment.
    is_moving: bool,
}

/// The visitors that are joined, or being joined or parted.
#[derive(Debug, Default)]
pub(super) struct Aliases {
    all: RwLock<All>,
    /// Whether there ever was one, so that nobody pays as long as there is none.
    is_used: AtomicBool,
}

#[derive(Debug, Default)]
struct All {
    customers: HashMap<CustomerKey, Alias>,
    /// The visitors of each customer.
    visitors: HashMap<CustomerKey, Vec<CustomerKey>>,
}

impl Aliases {
    /// Returns what somebody stands for.
    pub(super) fn get(&self, visitor: CustomerKey) -> Option<Alias> {
        if !self.is_used.load(Ordering::Acquire) {
            return None;
        }
        self.all.read().customers.get(&visitor).cloned()
    }

    /// Says that a visitor is being joined to a customer.
    pub(super) fn begin(&self, visitor: CustomerKey, customer: &CustomerId) {
        self.set(visitor, customer, Seal::NONE, true);
    }

    /// Says that a visitor is joined to a customer.
    pub(super) fn settle(&self, visitor: CustomerKey, customer: &CustomerId, seal: Seal) {
        self.set(visitor, customer, seal, false);
    }

    /// Says that a visitor is being parted from its customer.
    pub(super) fn part(&self, visitor: CustomerKey) {
        if let Some(alias) = self.all.write().customers.get_mut(&visitor) {
            alias.is_moving = true;
        }
    }

    fn set(&self, visitor: CustomerKey, customer: &CustomerId, seal: Seal, is_moving: bool) {
        let mut all = self.all.write();
        let alias = Alias {
            customer: customer.clone(),
            seal,
            is_moving,
        };
        if all.customers.insert(visitor, alias).is_none() {
            all.visitors.entry(customer.key()).or_default().push(visitor);
        }
        self.is_used.store(true, Ordering::Release);
    }

    /// Says that a visitor is a person of its own.
    pub(super) fn remove(&self, visitor: CustomerKey) {
        let mut all = self.all.write();
        let Some(alias) = all.customers.remove(&visitor) else {
            return;
        };
        let customer = alias.customer.key();
        if let Some(visitors) = all.visitors.get_mut(&customer) {
            visitors.retain(|other| *other != visitor);
            if visitors.is_empty() {
                all.visitors.remove(&customer);
            }
        }
    }

    /// Returns the visitors of a customer.
    pub(super) fn visitors(&self, customer: CustomerKey) -> Vec<CustomerKey> {
        if !self.is_used.load(Ordering::Acquire) {
            return Vec::new();
        }
        self.all.read().visitors.get(&customer).cloned().unwrap_or_default()
    }

    /// Returns the customers who have visitors, or may have them in a moment.
    pub(super) fn customers(&self) -> Vec<CustomerKey> {
        self.all.read().visitors.keys().copied().collect()
    }

    /// Returns the keys of all visitors.
    pub(super) fn seals(&self) -> Vec<Seal> {
        self.all.read().customers.values().map(|alias| alias.seal).collect()
    }
}

/// Whom a call is about.
pub(super) struct Whom<'a> {
    pub(super) customer: Cow<'a, CustomerId>,
    /// The visitor that the call names, when it is joined to the customer.
    via: Option<CustomerKey>,
}

impl Whom<'_> {
    /// Returns a request as one of whom it is about.
    pub(super) fn asks<'r>(&self, request: &'r OffersRequest) -> Cow<'r, OffersRequest> {
        if self.via.is_none() {
            return Cow::Borrowed(request);
        }
        Cow::Owned(OffersRequest {
            customer: Some(CustomerId::clone(&self.customer)),
            ..request.clone()
        })
    }
}

impl Engine {
    /// Finds whom a call is about that names somebody; waits while that is about to change.
    pub(super) fn whom<'a>(&self, named: &'a CustomerId) -> Whom<'a> {
        let alias = if named.is_anonymous() {
            self.settled(named.key())
        } else {
            None
        };
        match alias {
            Some(alias) => Whom {
                customer: Cow::Owned(alias.customer),
                via: Some(named.key()),
            },
            None => Whom {
                customer: Cow::Borrowed(named),
                via: None,
            },
        }
    }

    /// Returns what somebody stands for; waits while that is about to change.
    pub(super) fn settled(&self, named: CustomerKey) -> Option<Alias> {
        loop {
            let alias = self.aliases.get(named)?;
            if !alias.is_moving {
                return Some(alias);
            }
            drop(self.joining.read());
        }
    }

    /// Tells whether a call is not about them any more. To be asked under the lock of whom it is about.
    pub(super) fn is_stale(&self, whom: &Whom<'_>) -> bool {
        match whom.via {
            Some(visitor) => !self.stands_for(visitor, whom.customer.key()),
            None => whom.customer.is_anonymous() && self.aliases.get(whom.customer.key()).is_some(),
        }
    }

    /// Tells whether a visitor is joined to a customer, and not about to be parted.
    pub(super) fn stands_for(&self, visitor: CustomerKey, customer: CustomerKey) -> bool {
        let alias = self.aliases.get(visitor);
        alias.is_some_and(|alias| !alias.is_moving && alias.customer.key() == customer)
    }

    /// Does something for whom a call is about, again when that changed meanwhile: `work` says so by [`Rejection::Moved`].
    pub(super) fn for_whom<T>(
        &self,
        named: &CustomerId,
        mut work: impl FnMut(&Whom<'_>) -> Result<T, Rejection>,
    ) -> Result<T, Rejection> {
        loop {
            match work(&self.whom(named)) {
                Err(Rejection::Moved) => {}
                done => return done,
            }
        }
    }

    /// Returns the customer to whom a visitor is joined, else who was named.
    #[must_use]
    pub fn known_as(&self, named: &CustomerId) -> CustomerId {
        self.whom(named).customer.into_owned()
    }
}
