//! The customers of a checkpoint, opened with their keys.

use std::collections::HashSet;

use super::{NO_KEY, Tail, WRONG_KEY};
use crate::domain::profile::Profile;
use crate::journal::{Found, Table};
use crate::store::record::Who;
use crate::store::seal::{self, NO_SLOT, Purpose, Seal};
use crate::store::{Store, packed};

/// Takes in the customers of a checkpoint.
pub(super) struct Blocks<'a> {
    pub(super) store: &'a Store,
    pub(super) keys: &'a Table,
    pub(super) is_sealed: bool,
    /// The slots whose people have to be known.
    pub(super) named: &'a HashSet<u32>,
    /// The slots of those who may have visitors.
    pub(super) joined: &'a HashSet<u32>,
    pub(super) tail: &'a mut Tail,
    pub(super) is_good: bool,
    /// A slot without its key, and what is wrong with it.
    pub(super) fault: Option<(u32, &'static str)>,
}

impl Blocks<'_> {
    pub(super) fn take(&mut self, number: u64, block: &[u8]) {
        if !self.is_sealed {
            let key = self.store.restore(Seal::NONE, block);
            self.is_good &= key.is_some();
            if let Some(taken) = key.and_then(|key| self.tail.taken.get_mut(&Who::Key(key))) {
                *taken = number;
            }
            return;
        }
        let Some(slot) = seal::slot_of(block) else {
            self.is_good = false;
            return;
        };
        let opened = match self.keys.find(slot) {
            Found::Live(seal) => (seal, seal.open(Purpose::Block, block)),
            Found::Destroyed => {
                self.tail.unreadable += 1;
                return;
            }
            Found::Unknown => {
                self.fault = Some((slot, NO_KEY));
                return;
            }
        };
        let (seal, Some(block)) = opened else {
            self.fault = Some((slot, WRONG_KEY));
            return;
        };
        let key = self.store.restore(seal, &block);
        self.is_good &= key.is_some();
        if let Some(taken) = self.tail.taken.get_mut(&Who::Slot(slot)) {
            *taken = number;
        }
        if let Some(key) = key.filter(|_| self.named.contains(&slot)) {
            self.tail.names.insert(slot, key);
        }
        if let Some(key) = key.filter(|_| self.joined.contains(&slot)) {
            self.tail.joined.push(key);
            let mut profile = Profile::default();
            packed::unpack(&block, &mut profile);
            for joined in profile.joined.iter().filter(|joined| joined.slot != NO_SLOT) {
                self.tail.names.insert(joined.slot, joined.visitor.key());
            }
        }
    }
}
