//! What is written of a customer besides decisions and their outcomes: events, attributes, consents.

use super::aliases::Whom;
use super::receipts::EventsReceipt;
use super::steps::{apply_events, records_known_only};
use super::{Active, Engine, Rejection, WORKSPACE, Workspace};
use crate::catalog::Catalog;
use crate::decision::fold;
use crate::domain::entry::{Entry, ProfileChange};
use crate::domain::event::Event;
use crate::domain::ids::CustomerId;
use crate::domain::profile::Profile;
use crate::domain::time::Timestamp;
use crate::store::record::Draft;
use crate::store::{Standing, Then};

/// On which terms a customer is changed.
#[derive(Clone, Copy)]
pub(super) struct Terms {
    /// Whether somebody unknown is refused where the catalog records known customers only.
    pub(super) known_only: bool,
    /// Whether somebody who was erased may be begun anew.
    pub(super) comes_back: bool,
    pub(super) now: Timestamp,
}

impl Engine {
    /// Records what a customer did. Events whose id was recorded before are left out.
    ///
    /// # Errors
    /// When the customer is unknown and the catalog records nothing of unknown customers, or there is no room.
    pub fn record_events(
        &self,
        active: &Active,
        customer: &CustomerId,
        events: &[Event],
        now: Timestamp,
    ) -> Result<EventsReceipt, Rejection> {
        let terms = Terms {
            known_only: true,
            comes_back: false,
            now,
        };
        self.change(active, customer, terms, |profile, catalog, draft| {
            let applied = apply_events(profile, events, catalog, now, draft);
            Ok(EventsReceipt {
                applied,
                duplicates: events.len() - applied,
                profile_version: profile.version,
            })
        })
    }

    /// Writes attributes and consents; begins the customer when new. Returns the profile's version afterwards.
    ///
    /// # Errors
    /// When there is no room for somebody new, the customer was erased, or the journal cannot take it.
    pub fn upsert_profile(
        &self,
        active: &Active,
        customer: &CustomerId,
        change: &ProfileChange,
        now: Timestamp,
    ) -> Result<u64, Rejection> {
        self.upsert(active, customer, change, false, now)
    }

    /// Does the same, and begins somebody who was erased anew.
    ///
    /// # Errors
    /// When there is no room for somebody new, or the journal cannot take it.
    pub fn upsert_after_erasure(
        &self,
        active: &Active,
        customer: &CustomerId,
        change: &ProfileChange,
        now: Timestamp,
    ) -> Result<u64, Rejection> {
        self.upsert(active, customer, change, true, now)
    }

    fn upsert(
        &self,
        active: &Active,
        customer: &CustomerId,
        change: &ProfileChange,
        comes_back: bool,
        now: Timestamp,
    ) -> Result<u64, Rejection> {
        let terms = Terms {
            known_only: false,
            comes_back,
            now,
        };
        self.change(active, customer, terms, |profile, catalog, draft| {
            let entry = Entry::Profile(change.clone());
            if fold::apply(profile, &entry, catalog) {
                draft.entry(&entry);
            }
            Ok(profile.version)
        })
    }

    /// Changes whom a call is about, when `work` agrees.
    pub(super) fn change<T>(
        &self,
        active: &Active,
        named: &CustomerId,
        terms: Terms,
        mut work: impl FnMut(&mut Profile, &Catalog, &mut Draft) -> Result<T, Rejection>,
    ) -> Result<T, Rejection> {
        self.for_whom(named, |whom| self.change_one(active, whom, terms, &mut work))
    }

    fn change_one<T>(
        &self,
        active: &Active,
        whom: &Whom<'_>,
        terms: Terms,
        work: impl FnOnce(&mut Profile, &Catalog, &mut Draft) -> Result<T, Rejection>,
    ) -> Result<T, Rejection> {
        let customer = &*whom.customer;
        let key = customer.key();
        let catalog = &*active.catalog;
        let refuse_unknown = terms.known_only && records_known_only(catalog, customer);
        let (result, changed) = WORKSPACE.with_borrow_mut(|workspace| {
            let Workspace { buffers, draft, .. } = workspace;
            self.store.with_seal(customer, key, buffers, |profile, standing, seal| {
                if self.is_stale(whom) {
                    return (Err(Rejection::Moved), Then::Leave);
                }
                let known = standing == Standing::Known;
                let is_erased = !known && self.conductor.marks.have(key);
                if is_erased && !terms.comes_back {
                    return (Err(Rejection::Erased), Then::Leave);
                }
                if !known && refuse_unknown {
                    return (Err(Rejection::UnknownCustomer), Then::Leave);
                }
                if let Standing::Full(full) = standing {
                    return (Err(full.into()), Then::Leave);
                }
                let before = profile.version;
                draft.is_of(*seal);
                draft.begin((!known).then_some(customer), active.generation, terms.now);
                let result = match work(profile, catalog, draft) {
                    Ok(result) => result,
                    Err(rejection) => return (Err(rejection), Then::Leave),
                };
                if let Err(rejection) = self.conductor.commit(draft) {
                    return (Err(rejection), Then::Leave);
                }
                *seal = draft.seal();
                if is_erased {
                    self.conductor.readmit(key, draft);
                }
                let changed = profile.version != before;
                if changed {
                    // Whether a list has to be made anew was judged by what this snapshot reads; another one may read more.
                    self.conductor.lists.forget_others(active, key);
                }
                let then = if changed || !known { Then::Keep } else { Then::Leave };
                (Ok((result, changed)), then)
            })
        })?;
        if changed {
            self.changed(key);
        }
        Ok(result)
    }
}
