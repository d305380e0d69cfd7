//! What callers report about decided offers: what became of them, and that they will not be shown after all.

use crate::decision::fold;
use crate::domain::contact::Contact;
use crate::domain::entry::{Cancellation, Entry, OutcomeReport};
use crate::domain::ids::{CustomerKey, DecisionId};
use crate::domain::profile::Profile;
use crate::domain::symbol::Symbol;
use crate::domain::time::Timestamp;
use crate::store::Then;
use crate::store::record::Draft;

use super::conductor::Conductor;
use super::sync::Locked;
use super::volumes::books::Books;
use super::{Active, CancelReceipt, Engine, OutcomeReceipt, Rejection, WORKSPACE, Workspace};

impl Engine {
    /// Records what became of a decided offer. A repeat changes nothing; a late one is recorded as what it is.
    ///
    /// # Errors
    /// When the decision is not known, or did not show the offer.
    pub fn record_outcome(
        &self,
        active: &Active,
        customer: CustomerKey,
        report: &OutcomeReport,
        now: Timestamp,
    ) -> Result<OutcomeReceipt, Rejection> {
        let (receipt, reported) = self.report(active, customer, report.decision, |profile, draft| {
            self.conductor.outcome(active, customer, profile, report, now, draft)
        })?;
        if receipt.recorded {
            self.changed(reported.of);
        }
        Ok(OutcomeReceipt {
            profile_version: reported.version,
            ..receipt
        })
    }

    /// Releases what a decision reserved and nothing was reported of yet: all of it, or one offer or placement of it. What
    /// something was reported of stays. A repeat changes nothing.
    ///
    /// # Errors
    /// When the decision is not known, or did not show the offer there.
    pub fn cancel(
        &self,
        active: &Active,
        customer: CustomerKey,
        cancellation: &Cancellation,
    ) -> Result<CancelReceipt, Rejection> {
        let (receipt, reported) = self.report(active, customer, cancellation.decision, |profile, draft| {
            self.conductor.cancel(active, customer, profile, cancellation, draft)
        })?;
        if receipt.cancelled > 0 {
            self.changed(reported.of);
        }
        Ok(CancelReceipt {
            profile_version: reported.version,
            ..receipt
        })
    }

    /// Changes somebody who is known, when `work` says that it changed something. Of a visitor that is joined, it is the contacts that
    /// stand with the customer.
    fn report<T>(
        &self,
        active: &Active,
        named: CustomerKey,
        decision: u32,
        mut work: impl FnMut(&mut Profile, &mut Draft) -> Result<T, Rejection>,
    ) -> Result<(T, Reported), Rejection> {
        loop {
            let of = self.settled(named).map_or(named, |alias| alias.customer.key());
            let reported = WORKSPACE.with_borrow_mut(|workspace| {
                let Workspace { buffers, draft, .. } = workspace;
                self.store.with_known(of, buffers, |profile, seal| {
                    let before = profile.version;
                    draft.is_of(*seal);
                    let result = if of == named {
                        let is_alone = self.aliases.get(named).is_none();
                        is_alone.then(|| work(profile, draft))
                    } else if self.stands_for(named, of) {
                        draft.is_about(named);
                        fold::of_visitor(profile, named, |own| work(own, draft))
                    } else {
                        None
                    };
                    *seal = draft.seal();
                    let version = profile.version;
                    let result = result.unwrap_or(Err(Rejection::Moved));
                    let is_changed = result.is_ok() && version != before;
                    if is_changed {
                        self.conductor.lists.forget_others(active, of);
                    }
                    let result = result.map(|result| (result, Reported { of, version }));
                    (result, if is_changed { Then::KeepContacts } else { Then::Leave })
                })
            });
            let unknown = || {
                if self.conductor.marks.have(named) {
                    return Rejection::Erased;
                }
                Rejection::UnknownDecision(DecisionId {
                    customer: named,
                    number: decision,
                })
            };
            match reported {
                Some(Err(Rejection::Moved)) => {}
                Some(result) => return result,
                // It may have moved since.
                None if self.settled(named).map_or(named, |alias| alias.customer.key()) != of => {}
                None => return Err(unknown()),
            }
        }
    }
}

/// Whose profile a report changed.
#[derive(Clone, Copy)]
struct Reported {
    of: CustomerKey,
    /// Its version afterwards.
    version: u64,
}

/// Returns when the reservation of a contact ends, if its channel is in the catalog.
fn due(active: &Active, contact: &Contact) -> Option<Timestamp> {
    let mut channels = active.catalog.channels.iter();
    let channel = channels.find(|channel| channel.symbol == contact.channel)?;
    Some(contact.decided_at() + channel.reservation)
}

/// Which contacts of a customer a report means.
#[derive(Clone, Copy)]
struct Meant {
    id: DecisionId,
    offer: Option<Symbol>,
    placement: Option<Symbol>,
}

impl Meant {
    fn contacts<'p>(&self, profile: &'p Profile) -> impl Iterator<Item = &'p Contact> + use<'p> {
        let Self { id, offer, placement } = *self;
        let contacts = profile.contacts.iter();
        contacts.filter(move |contact| contact.is_of(id.number, offer, placement))
    }

    /// Says why there is none.
    fn refused(&self, profile: &Profile) -> Rejection {
        let of_decision = profile
            .contacts
            .iter()
            .filter(|contact| contact.decision == self.id.number);
        let shown: Vec<_> = of_decision.map(|contact| (contact.placement, contact.offer)).collect();
        if shown.is_empty() {
            Rejection::UnknownDecision(self.id)
        } else {
            Rejection::OfferNotInDecision(self.id, shown)
        }
    }
}

/// What came of an entry.
struct Folded {
    /// Whether it changed anything.
    changed: bool,
    /// Whether something took place whose reservation had been given back, so that others may have its room.
    room_was_gone: bool,
}

impl<L: Locked<Books>> Conductor<L> {
    /// Records an outcome in a profile.
    pub(super) fn outcome(
        &self,
        active: &Active,
        customer: CustomerKey,
        profile: &mut Profile,
        report: &OutcomeReport,
        now: Timestamp,
        draft: &mut Draft,
    ) -> Result<OutcomeReceipt, Rejection> {
        let meant = Meant {
            id: DecisionId {
                customer,
                number: report.decision,
            },
            offer: Some(report.offer),
            placement: report.placement,
        };
        let Some(first) = meant.contacts(profile).next() else {
            return Err(meant.refused(profile));
        };
        let at = report.at.min(now).max(first.decided_at());
        let is_over = |contact: &Contact| due(active, contact).is_some_and(|due| due <= now);
        let is_open = |contact: &&Contact| !contact.is_confirmed() && !contact.is_cancelled() && !is_over(contact);
        let (confirmed, due) = (meant.contacts(profile).filter(is_open).count(), due(active, first));
        let late = meant
            .contacts(profile)
            .any(|contact| contact.is_cancelled() || is_over(contact));
        let entry = Entry::Outcome {
            report: OutcomeReport { at, ..*report },
            received_at: now.max(at),
        };
        let Folded { changed, room_was_gone } = self.fold(active, meant, profile, &entry, now, draft)?;
        Ok(OutcomeReceipt {
            recorded: changed,
            late: (late || room_was_gone) && changed,
            confirmed: if changed { confirmed } else { 0 },
            due,
            profile_version: profile.version,
        })
    }

    /// Cancels contacts of a profile.
    pub(super) fn cancel(
        &self,
        active: &Active,
        customer: CustomerKey,
        profile: &mut Profile,
        cancellation: &Cancellation,
        draft: &mut Draft,
    ) -> Result<CancelReceipt, Rejection> {
        let meant = Meant {
            id: DecisionId {
                customer,
                number: cancellation.decision,
            },
            offer: cancellation.offer,
            placement: cancellation.placement,
        };
        let Some(first) = meant.contacts(profile).next() else {
            return Err(meant.refused(profile));
        };
        let due = due(active, first);
        let open = |contact: &&Contact| !contact.is_confirmed() && contact.cancelled.is_none();
        let cancelled = meant.contacts(profile).filter(open).count();
        let entry = Entry::Cancel(*cancellation);
        self.fold(active, meant, profile, &entry, cancellation.at, draft)?;
        Ok(CancelReceipt {
            cancelled,
            due,
            profile_version: profile.version,
        })
    }

    /// Folds an entry about some contacts, writes it to the journal, and lets the volumes know what became of the contacts. No
    /// contact comes or goes by it. When it is refused, the profile at hand is to be dropped.
    fn fold(
        &self,
        active: &Active,
        meant: Meant,
        profile: &mut Profile,
        entry: &Entry,
        now: Timestamp,
        draft: &mut Draft,
    ) -> Result<Folded, Rejection> {
        let counted = meant.contacts(profile).any(|contact| contact.in_volumes);
        let before: Vec<Contact> = if counted {
            meant.contacts(profile).copied().collect()
        } else {
            Vec::new()
        };
        let changed = fold::apply(profile, entry, &active.catalog);
        let mut room_was_gone = false;
        if changed {
            let customer = meant.id.customer;
            draft.begin(None, active.generation, now);
            draft.entry(entry);
            draft.before(&before);
            let after = meant.contacts(profile).copied();
            let moves: Vec<_> = before.into_iter().zip(after).collect();
            let commit = || self.commit(draft);
            room_was_gone = self.volumes.change(active, customer, &moves, now, commit)?;
        }
        Ok(Folded { changed, room_was_gone })
    }
}
