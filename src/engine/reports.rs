//! What callers report about decided offers: what became of them, and that they will not be shown after all.

use crate::catalog::Catalog;
use crate::decision::fold;
use crate::domain::contact::Contact;
use crate::domain::entry::{Cancellation, Entry, OutcomeReport};
use crate::domain::ids::{CustomerKey, DecisionId};
use crate::domain::profile::Profile;
use crate::domain::symbol::Symbol;
use crate::domain::time::Timestamp;
use crate::store::Then;

use super::{Active, CancelReceipt, Engine, OutcomeReceipt, Rejection, WORKSPACE};

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
        let receipt = self.report(customer, |profile| {
            outcome(&active.catalog, customer, profile, report, now)
        })?;
        if receipt.recorded {
            self.changed(customer);
        }
        Ok(receipt)
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
        let receipt = self.report(customer, |profile| {
            cancelled(&active.catalog, customer, profile, cancellation)
        })?;
        if receipt.cancelled > 0 {
            self.changed(customer);
        }
        Ok(receipt)
    }

    /// Changes somebody who is known, when `work` says that it changed something.
    fn report<T>(
        &self,
        customer: CustomerKey,
        work: impl FnOnce(&mut Profile) -> Result<T, Rejection>,
    ) -> Result<T, Rejection> {
        WORKSPACE.with_borrow_mut(|workspace| {
            self.store.with(customer, None, &mut workspace.buffers, |profile, _| {
                let before = profile.version;
                let result = work(profile);
                let changed = profile.version != before;
                (result, if changed { Then::KeepContacts } else { Then::Leave })
            })
        })?
    }
}

/// Returns the contacts that a report means.
fn meant(
    customer: CustomerKey,
    profile: &Profile,
    (number, offer, placement): (u32, Option<Symbol>, Option<Symbol>),
) -> Result<impl Iterator<Item = &Contact> + Clone, Rejection> {
    let id = DecisionId { customer, number };
    let meant = profile
        .contacts
        .iter()
        .filter(move |contact| contact.is_of(number, offer, placement));
    if meant.clone().next().is_some() {
        return Ok(meant);
    }
    let of_decision = profile.contacts.iter().filter(|contact| contact.decision == number);
    let shown: Vec<_> = of_decision.map(|contact| (contact.placement, contact.offer)).collect();
    Err(if shown.is_empty() {
        Rejection::UnknownDecision(id)
    } else {
        Rejection::OfferNotInDecision(id, shown)
    })
}

fn outcome(
    catalog: &Catalog,
    customer: CustomerKey,
    profile: &mut Profile,
    report: &OutcomeReport,
    now: Timestamp,
) -> Result<OutcomeReceipt, Rejection> {
    let contacts = meant(
        customer,
        profile,
        (report.decision, Some(report.offer), report.placement),
    )?;
    let is_over = |contact: &Contact| {
        let mut channels = catalog.channels.iter();
        let channel = channels.find(|channel| channel.symbol == contact.channel);
        channel.is_some_and(|channel| contact.decided_at() + channel.reservation <= now)
    };
    let late = contacts
        .clone()
        .any(|contact| contact.is_cancelled() || is_over(contact));
    let decided_at = contacts.map(Contact::decided_at).max().unwrap_or(now);
    let at = report.at.min(now).max(decided_at);
    let entry = Entry::Outcome {
        report: OutcomeReport { at, ..*report },
        received_at: now.max(at),
    };
    let recorded = fold::apply(profile, &entry, catalog);
    Ok(OutcomeReceipt {
        recorded,
        late: late && recorded,
        profile_version: profile.version,
    })
}

fn cancelled(
    catalog: &Catalog,
    customer: CustomerKey,
    profile: &mut Profile,
    cancellation: &Cancellation,
) -> Result<CancelReceipt, Rejection> {
    let Cancellation {
        decision,
        offer,
        placement,
        ..
    } = *cancellation;
    let contacts = meant(customer, profile, (decision, offer, placement))?;
    let cancelled = contacts
        .filter(|contact| !contact.is_confirmed() && contact.cancelled.is_none())
        .count();
    fold::apply(profile, &Entry::Cancel(*cancellation), catalog);
    Ok(CancelReceipt {
        cancelled,
        profile_version: profile.version,
    })
}
