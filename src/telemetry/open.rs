//! How many reserved contacts wait for a report, and how many ended without one.
//!
//! Nothing happens when a reservation's time is over: it just counts no more. So that it can be counted, each is noted here by the
//! slot of time in which it will end, and taken out when it is confirmed or cancelled before. Who they are is not noted. Contacts
//! that were reserved before the start are not known here: their reports take nothing out.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::domain::time::Timestamp;

/// How long one slot is: a contact counts as ended up to so much later, and a reservation of a week has some thousand slots.
const SLOT_MILLIS: i64 = 10_000;

/// The contacts by the slot in which their reservation ends.
#[derive(Debug, Default)]
pub(super) struct Open(Mutex<BTreeMap<i64, u64>>);

const fn slot(due: Timestamp) -> i64 {
    due.as_millis().div_euclid(SLOT_MILLIS)
}

impl Open {
    /// Notes contacts that end unless something is reported before `due`.
    pub(super) fn add(&self, due: Timestamp, contacts: u64) {
        *self.0.lock().entry(slot(due)).or_default() += contacts;
    }

    /// Takes out contacts that were confirmed or cancelled in time.
    pub(super) fn take(&self, due: Timestamp, contacts: u64) {
        let mut slots = self.0.lock();
        if let Some(left) = slots.get_mut(&slot(due)) {
            *left = left.saturating_sub(contacts);
        }
    }

    /// Takes out what has ended by now, and returns how many contacts that were.
    pub(super) fn end(&self, now: Timestamp) -> u64 {
        let mut slots = self.0.lock();
        let later = slots.split_off(&slot(now));
        std::mem::replace(&mut *slots, later).into_values().sum()
    }

    /// Returns how many contacts wait.
    pub(super) fn len(&self) -> u64 {
        self.0.lock().values().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    #[test]
    fn a_contact_ends_once_and_only_when_nothing_was_reported_in_time() {
        let open = Open::default();
        open.add(at(100), 3);
        open.add(at(200), 1);
        open.take(at(100), 1);
        open.take(at(300), 7);
        assert_eq!((open.end(at(99)), open.len()), (0, 3));
        assert_eq!((open.end(at(115)), open.len()), (2, 1));
        assert_eq!((open.end(at(115)), open.end(at(1_000))), (0, 1));
    }
}
