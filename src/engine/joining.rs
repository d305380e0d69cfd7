//! Joining an anonymous visitor to a known customer, and parting them again. What the two are together is said in
//! [`crate::decision::unite`].
//!
//! **Who.** A visitor with a cookie or device id, whether anything is known of it or not, and a customer with the bank's own id. A customer of whom
//! nothing is known is begun, unless the catalog records known customers only. A customer has up to
//! [`JOINED_MAX`] visitors of up to [`JOINED_BYTES_MAX`] bytes; a visitor has one customer. Whoever was erased is not joined. To join again who
//! is joined changes nothing.
//!
//! **From then on** every call that names the visitor is about the customer ([`super::aliases`]): offers, events, profiles, budgets,
//! watching, campaigns. Answers name the customer. Reports by decision ids of the visitor's change its contacts, where they now stand; what those count as
//! over all customers stays under the visitor's own key. The visitor's decisions of before can be made again as before, since its
//! own key is kept, and those after hold all that both had.
//!
//! **At no instant too few.** Joining is three steps. (1) The visitor moves: nobody else is let to it, and what is known is copied, under
//! its lock. (2) One record, of the customer, holds who it is and all that was known; with it, under the customer's lock, the two are one. (3)
//! The visitor leaves the store. Before (2) nothing has changed, whatever breaks off, and behind it the next start does (3). Parting is the way
//! back: (1) the visitor moves; (2) a record of its own has its profile, and it stands in the store, where nobody is let to it
//! yet; (3) a record of the customer parts them. A start that finds a visitor both joined and on its own takes it as joined.
//!
//! **Forgetting and erasing** a customer forget and erase the joined visitors: their keys are destroyed as well, and the mark is kept for
//! each id. To forget or erase a visitor alone that is joined is refused, since whose wish it is cannot be told: part them, or name the
//! customer. What was written of the two while they were one is sealed with the customer's key and goes with the customer, or
//! with the records and checkpoints as they grow old.

#[cfg(test)]
mod tests;

use super::changes::Terms;
use super::{Active, Engine, Rejection, WORKSPACE, Workspace};
use crate::decision::fold;
use crate::domain::contact::Contact;
use crate::domain::entry::Entry;
use crate::domain::ids::{CustomerId, CustomerKey};
use crate::domain::profile::{JOINED_BYTES_MAX, JOINED_MAX, Joined, Precedence, Profile};
use crate::domain::time::Timestamp;
use crate::journal::NotWritten;
use crate::journal::failpoints::fail_point;
use crate::store::seal::Seal;
use crate::store::{Standing, Then, packed};

/// What came of joining.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Merged {
    /// Whether they were not joined before.
    pub merged: bool,
    /// The version of the customer's profile.
    pub profile_version: u64,
}

/// What came of parting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unmerged {
    /// Whether the visitor was joined to a customer.
    pub unmerged: bool,
    /// The version of the profile of the customer from whom it was parted; 0 when it was not joined.
    pub profile_version: u64,
}

/// What is known of a visitor.
struct Found {
    profile: Profile,
    seal: Seal,
    known: bool,
}

impl Engine {
    /// Joins a visitor to a customer: they are one from then on. A repeat changes nothing, the precedence of before included.
    ///
    /// # Errors
    /// When they cannot be joined, or the journal cannot take it; nothing was changed then.
    pub fn merge_customers(
        &self,
        active: &Active,
        visitor: &CustomerId,
        customer: &CustomerId,
        precedence: Precedence,
        now: Timestamp,
    ) -> Result<Merged, Rejection> {
        if !visitor.is_anonymous() || customer.is_anonymous() {
            return Err(Rejection::NotJoinable);
        }
        let key = visitor.key();
        let _alone = self.joining.write();
        if let Some(alias) = self.aliases.get(key) {
            if alias.customer != *customer {
                return Err(Rejection::JoinedToAnother);
            }
            return Ok(Merged {
                merged: false,
                profile_version: self.version(customer.key()),
            });
        }
        self.aliases.begin(key, customer);
        let joined = self.find(visitor).and_then(|found| {
            fail_point("merge::before_record");
            let version = self.join(active, (visitor, &found), customer, precedence, now)?;
            Ok((found.seal, version))
        });
        let (seal, profile_version) = joined.inspect_err(|_| self.aliases.remove(key))?;
        fail_point("merge::recorded");
        self.aliases.settle(key, customer, seal);
        self.drop_visitor(key);
        self.changed(key);
        Ok(Merged {
            merged: true,
            profile_version,
        })
    }

    /// Copies what is known of a visitor, which gets a key when it has none.
    fn find(&self, visitor: &CustomerId) -> Result<Found, Rejection> {
        let key = visitor.key();
        let found = WORKSPACE.with_borrow_mut(|Workspace { buffers, .. }| {
            self.store.with_known(key, buffers, |profile, seal| {
                let mut then = Then::Leave;
                if let Some(journal) = &self.conductor.journal
                    && seal.is_none()
                {
                    match journal.keys().take() {
                        Ok(taken) => (*seal, then) = (taken, Then::Keep),
                        Err(error) => return (Err(NotWritten::Refused(error.to_string().into()).into()), then),
                    }
                }
                let found = Found {
                    profile: profile.clone(),
                    seal: *seal,
                    known: true,
                };
                (Ok(found), then)
            })
        });
        match found {
            Some(found) => found,
            None if self.conductor.marks.have(key) => Err(Rejection::Erased),
            None => Ok(Found {
                profile: Profile::default(),
                seal: Seal::NONE,
                known: false,
            }),
        }
    }

    fn join(
        &self,
        active: &Active,
        (visitor, found): (&CustomerId, &Found),
        customer: &CustomerId,
        precedence: Precedence,
        now: Timestamp,
    ) -> Result<u64, Rejection> {
        let terms = Terms {
            known_only: true,
            comes_back: false,
            now,
        };
        self.change(active, customer, terms, |profile, catalog, draft| {
            if profile.joined.len() >= JOINED_MAX {
                return Err(Rejection::TooManyJoined);
            }
            let mut bytes = Vec::new();
            let others = profile.joined.iter().map(|joined| &joined.profile);
            for one in others.chain([&found.profile]) {
                packed::pack(one, &mut bytes);
            }
            if bytes.len() > JOINED_BYTES_MAX {
                return Err(Rejection::JoinedTooLarge(bytes.len()));
            }
            // A call may have read the clock after this one, and come here before.
            let contacts = profile.contacts.iter().chain(&found.profile.contacts);
            let latest = contacts.map(Contact::decided_at).max();
            let entry = Entry::Joined(Box::new(Joined {
                visitor: visitor.clone(),
                merged_at: latest.map_or(now, |latest| latest.max(now)),
                precedence,
                slot: found.seal.slot(),
                known: found.known,
                profile: found.profile.clone(),
            }));
            fold::apply(profile, &entry, catalog);
            draft.entry(&entry);
            Ok(profile.version)
        })
    }

    /// Parts a visitor from the customer to whom it is joined: it goes on with precisely what it had, and what became of its contacts
    /// since. To part who is not joined changes nothing.
    ///
    /// # Errors
    /// When there is no room for the visitor, or the journal cannot take it; nothing was changed then.
    pub fn unmerge_customers(
        &self,
        active: &Active,
        visitor: &CustomerId,
        now: Timestamp,
    ) -> Result<Unmerged, Rejection> {
        if !visitor.is_anonymous() {
            return Err(Rejection::NotJoinable);
        }
        let key = visitor.key();
        let _alone = self.joining.write();
        let Some(alias) = self.aliases.get(key) else {
            return Ok(Unmerged {
                unmerged: false,
                profile_version: 0,
            });
        };
        self.aliases.part(key);
        let parted = self
            .restore(active, visitor, &alias.customer, alias.seal, now)
            .and_then(|()| {
                fail_point("unmerge::restored");
                self.part(active, key, &alias.customer, now)
            });
        let profile_version = parted.inspect_err(|_| {
            // It is one with the customer as before.
            self.aliases.settle(key, &alias.customer, alias.seal);
            self.drop_visitor(key);
        })?;
        fail_point("unmerge::recorded");
        self.aliases.remove(key);
        self.changed(key);
        Ok(Unmerged {
            unmerged: true,
            profile_version,
        })
    }

    /// Puts a visitor that is joined into the store again, if anything was known of it. Nobody is let to it as long as it moves.
    fn restore(
        &self,
        active: &Active,
        visitor: &CustomerId,
        customer: &CustomerId,
        with: Seal,
        now: Timestamp,
    ) -> Result<(), Rejection> {
        let mut of_customer = Profile::default();
        self.store.read(customer.key(), &mut of_customer);
        let Some(joined) = of_customer.joined_as(visitor.key()).filter(|joined| joined.known) else {
            return Ok(());
        };
        let entry = Entry::Restored(Box::new(joined.profile.clone()));
        WORKSPACE.with_borrow_mut(|Workspace { buffers, draft, .. }| {
            self.store
                .with_seal(visitor, visitor.key(), buffers, |profile, standing, seal| {
                    if let Standing::Full(full) = standing {
                        return (Err(full.into()), Then::Leave);
                    }
                    draft.is_of(with);
                    draft.begin(Some(visitor), active.generation, now);
                    draft.entry(&entry);
                    if let Err(rejection) = self.conductor.commit(draft) {
                        return (Err(rejection), Then::Leave);
                    }
                    *seal = draft.seal();
                    fold::apply(profile, &entry, &active.catalog);
                    (Ok(()), Then::Keep)
                })
        })
    }

    fn part(
        &self,
        active: &Active,
        visitor: CustomerKey,
        customer: &CustomerId,
        now: Timestamp,
    ) -> Result<u64, Rejection> {
        let terms = Terms {
            known_only: false,
            comes_back: false,
            now,
        };
        self.change(active, customer, terms, |profile, catalog, draft| {
            let entry = Entry::Parted(visitor);
            fold::apply(profile, &entry, catalog);
            draft.entry(&entry);
            Ok(profile.version)
        })
    }

    /// Takes a visitor out of the store that is one with a customer.
    fn drop_visitor(&self, visitor: CustomerKey) {
        let Ok(_) = self.store.remove(visitor, |_, _| Ok::<_, std::convert::Infallible>(()));
        self.conductor.lists.forget(visitor);
    }

    fn version(&self, customer: CustomerKey) -> u64 {
        let mut profile = Profile::default();
        self.store.read(customer, &mut profile);
        profile.version
    }

    /// Indexes the visitors of customers, as after a start, and takes out of the store those that stand there as well.
    pub(super) fn index_joined(&self, customers: impl IntoIterator<Item = CustomerKey>, seal_of: impl Fn(u32) -> Seal) {
        let mut profile = Profile::default();
        for customer in customers {
            let Some(id) = self.store.look(customer, Some(&mut profile)) else {
                continue;
            };
            for joined in &profile.joined {
                let visitor = joined.visitor.key();
                self.aliases.settle(visitor, &id, seal_of(joined.slot));
                self.drop_visitor(visitor);
            }
        }
    }
}
