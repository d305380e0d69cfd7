//! Volumes: limits over all customers, exact.
//!
//! One lock guards the [`Books`], which know of every contact that was ever decided. Under it a decision takes what it chose from
//! all volumes at once, or nothing; so however many decide at the same time, none is ever exceeded. The lock is taken under
//! a customer's lock and nothing is locked under it. A call that reserves nothing takes it only when there are volumes.
//!
//! **Exactly once.** What a contact counts as follows from the contact alone ([`books`]): a report, a cancellation or the
//! customer's deletion moves it from what it was to what it is. A contact says itself whether it is in the books, so
//! one that did not come about here is never taken out of them.
//!
//! **Counting.** `decided` counts from the decision. `delivered` and `seen` count from the report; before, the decision
//! counts as a reservation, in whatever window now lies, until its channel's reservation time is over. So no report in
//! time can exceed a limit; one that comes late is recorded as what it is and may.
//!
//! **Whose clock.** Every call has read the clock before it comes here, and calls come in another order than they read it. A decision is
//! judged at its own instant: what is reserved then counts, also when a call of a later instant was here before, and so does all
//! that calls of later instants took. A report of a reservation that was over for a call before, and that exceeds a limit since others
//! were given its room, is late, whatever its own clock says.
//!
//! **Pace.** With `pace: even`, at an instant `t` of a window from `start` to `end` at most
//! `limit × (t - start) / (end - start)`, rounded down, plus 1 may count.
//!
//! **Changes of the catalog.** What happened is kept whether or not there are volumes, per offer, channel and quarter of an hour, not per
//! volume; reservations are kept as long as there is any volume, and before the first catalog with volumes comes into force, those that
//! are open are looked up in all customers (what gave way to more than [`CONTACTS_KEPT`] later ones is not found there). So a volume whose limit, window or scope changes, or one that is new, counts as if it had
//! been there all along. (A reservation time that a reload makes longer does not bring
//! back what was over by then.) An offer that has left the catalog counts by the group and labels that it had last.
//!
//! [`CONTACTS_KEPT`]: crate::domain::profile::CONTACTS_KEPT
//!
//! Calls that began before a catalog came into force finish on the limits of the old one, for which the views are kept ([`edition`]).

pub(super) mod books;
mod edition;
mod series;
#[cfg(test)]
pub(super) mod tests;

use parking_lot::Mutex;

use super::Active;
use super::sync::Locked;
use crate::decision::volumes::Rooms;
use crate::domain::contact::Contact;
use crate::domain::entry::Reservation;
use crate::domain::ids::CustomerKey;
use crate::domain::time::Timestamp;
use books::{Books, Kept};

/// Why nothing was taken.
#[derive(Debug)]
pub(super) enum NotTaken<E> {
    /// The volumes have less left than was asked: this much.
    Short(Rooms),
    /// It was not to be.
    Refused(E),
}

/// The volumes of one engine.
#[derive(Debug)]
pub(super) struct Volumes<L = Mutex<Books>>(L);

impl<L: Locked<Books>> Volumes<L> {
    /// Begins with nothing counted.
    pub(super) fn new() -> Self {
        Self(L::new(Books::default()))
    }

    /// Takes over what others have counted.
    pub(super) fn count_as(&self, others: &Self) {
        let books = others.0.with(|books| books.clone());
        self.0.with(|own| *own = books);
    }

    /// Says what the volumes have left.
    pub(super) fn rooms(&self, active: &Active, now: Timestamp) -> Rooms {
        if active.catalog.volumes.is_empty() {
            return Rooms::default();
        }
        self.0.with(|books| books.rooms(active, now))
    }

    /// Takes the contacts of a new decision from all volumes at once, when `commit` agrees.
    ///
    /// # Errors
    /// What the volumes have left, when one has not enough, or what `commit` says; nothing was taken then.
    pub(super) fn take<E>(
        &self,
        active: &Active,
        customer: CustomerKey,
        reservation: &Reservation,
        now: Timestamp,
        commit: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), NotTaken<E>> {
        let contacts: Vec<Contact> = reservation.begun().collect();
        self.0.with(|books| {
            books.check(active, &contacts, now).map_err(NotTaken::Short)?;
            commit().map_err(NotTaken::Refused)?;
            books.enter(customer, &contacts, now);
            Ok(())
        })
    }

    /// Enters the contacts of a decision that was made before, whatever room there is.
    pub(super) fn enter(&self, active: &Active, customer: CustomerKey, reservation: &Reservation, now: Timestamp) {
        if reservation.in_volumes {
            let contacts: Vec<Contact> = reservation.begun().collect();
            self.0.with(|books| {
                books.adopt(active, now);
                books.pass(now);
                books.enter(customer, &contacts, now);
            });
        }
    }

    /// Goes over to a catalog that is about to come into force; tells whether [`Volumes::ensure`] has to be told of everybody.
    pub(super) fn prepare(&self, active: &Active) -> bool {
        self.0.with(|books| books.prepare(active))
    }

    /// Holds for a customer what the contacts reserve, no less and no more. Called under the customer's lock.
    pub(super) fn ensure(&self, customer: CustomerKey, contacts: &[Contact]) {
        if !contacts.is_empty() {
            self.0.with(|books| books.ensure(customer, contacts));
        }
    }

    /// Returns the books to be kept on disk, with what `at` gives at the same moment: nothing is entered meanwhile.
    pub(super) fn keep<T>(&self, at: impl FnOnce() -> T) -> (Kept, T) {
        self.0.with(|books| (books.keep(), at()))
    }

    /// Does as [`Volumes::forget`] for people who are erased, and returns the books as they are at that moment, with what `commit`
    /// gives.
    ///
    /// # Errors
    /// What `commit` says.
    pub(super) fn erase<T, E>(
        &self,
        people: &[(CustomerKey, &[Contact])],
        commit: impl FnOnce() -> Result<T, E>,
    ) -> Result<(Kept, T), E> {
        self.0.with(|books| {
            let committed = commit()?;
            for (customer, contact) in each(people) {
                books.let_go(customer, contact);
            }
            Ok((books.keep(), committed))
        })
    }

    /// Enters what is reserved under the keys that `name` gives, and gives up what is for somebody for whom it has none. Whoever
    /// begins to use a catalog then says so by [`Volumes::prepare`].
    pub(super) fn name(&self, name: impl Fn(CustomerKey) -> Option<CustomerKey>) {
        self.0.with(|books| books.name(name));
    }

    /// Goes on with books that were kept.
    pub(super) fn restore(&self, kept: Kept) {
        self.0.with(|books| books.restore(kept));
    }

    /// Takes note that contacts of a customer changed, each before and after, when `commit` agrees. Tells whether one took place
    /// after its room had been given back.
    ///
    /// # Errors
    /// What `commit` says.
    pub(super) fn change<E>(
        &self,
        active: &Active,
        customer: CustomerKey,
        changes: &[(Contact, Contact)],
        now: Timestamp,
        commit: impl FnOnce() -> Result<(), E>,
    ) -> Result<bool, E> {
        if !changes.iter().any(|(before, _)| before.in_volumes) {
            return commit().map(|()| false);
        }
        self.0.with(|books| {
            commit()?;
            books.adopt(active, now);
            let is_late = changes.iter().fold(false, |is_late, (before, after)| {
                books.change(customer, Some(before), Some(after), now) || is_late
            });
            Ok(is_late)
        })
    }

    /// Releases the reservations of people who are forgotten, when `commit` agrees. What was decided or reported did happen,
    /// and still counts.
    ///
    /// # Errors
    /// What `commit` says.
    pub(super) fn forget<E>(
        &self,
        people: &[(CustomerKey, &[Contact])],
        commit: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        if !each(people).any(|(_, contact)| contact.in_volumes) {
            return commit();
        }
        self.0.with(|books| {
            commit()?;
            for (customer, contact) in each(people) {
                books.let_go(customer, contact);
            }
            Ok(())
        })
    }
}

fn each<'a>(people: &'a [(CustomerKey, &'a [Contact])]) -> impl Iterator<Item = (CustomerKey, &'a Contact)> {
    let of =
        |&(customer, contacts): &(CustomerKey, &'a [Contact])| contacts.iter().map(move |contact| (customer, contact));
    people.iter().flat_map(of)
}
