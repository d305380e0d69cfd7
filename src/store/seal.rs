//! Sealing: what is written about a person is readable with the person's own key only.
//!
//! AES-128-GCM by `ring`, which checks as well that nothing was changed. A sealed text is the number of the key's slot, a
//! nonce, and the ciphertext with its tag; slot and purpose are bound to it, so that no text is taken for another kind.
//!
//! A nonce is 96 bits: a random number drawn when the process started, plus how many nonces it gave out. Within a process none
//! repeats because it is counted; between processes (after a crash that cut off the end of the journal, or two copies of a
//! folder served at once) the ranges would have to overlap, by chance once in 2^50 for a million starts that wrote a trillion
//! texts each. So a nonce need not be derived from a record's number, which a cut end gives out twice.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};

/// The length of a key, in bytes. A key seals some thousands of texts of one person, so that 128 bits are plenty.
pub const KEY_BYTES: usize = 16;
/// How many bytes a seal takes in front of a customer in memory: the slot and the key.
pub const SEAL_BYTES: usize = size_of::<u32>() + KEY_BYTES;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
/// The number of no slot: somebody who was not written yet, or where nothing is.
pub const NO_SLOT: u32 = 0;

/// The system has no random numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no random numbers")]
pub struct NoRandom;

/// Fills bytes with random numbers of the system that nobody can guess.
///
/// # Errors
/// When the system has none.
pub fn random(bytes: &mut [u8]) -> Result<(), NoRandom> {
    SystemRandom::new().fill(bytes).map_err(|_| NoRandom)
}

/// What a text is, so that none is taken for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A record of the journal.
    Record,
    /// A customer in a checkpoint.
    Block,
}

/// A person's key, and where it is kept.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Seal {
    slot: u32,
    key: [u8; KEY_BYTES],
}

impl fmt::Debug for Seal {
    /// Tells the slot, never the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Seal({})", self.slot)
    }
}

impl Default for Seal {
    fn default() -> Self {
        Self::NONE
    }
}

impl Seal {
    /// The seal of somebody of whom nothing was written.
    pub const NONE: Self = Self {
        slot: NO_SLOT,
        key: [0; KEY_BYTES],
    };

    /// Puts a key and its slot together.
    #[must_use]
    pub const fn new(slot: u32, key: [u8; KEY_BYTES]) -> Self {
        Self { slot, key }
    }

    /// Returns the number of the key's slot; [`NO_SLOT`] when there is none.
    #[must_use]
    pub const fn slot(&self) -> u32 {
        self.slot
    }

    /// Returns the key.
    #[must_use]
    pub const fn key(&self) -> &[u8; KEY_BYTES] {
        &self.key
    }

    /// Tells whether there is no key.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.slot == NO_SLOT
    }

    /// Appends itself, as it stands in front of a customer in memory.
    pub(super) fn pack(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.slot.to_le_bytes());
        bytes.extend_from_slice(&self.key);
    }

    /// Reads what [`Seal::pack`] wrote, and returns what follows.
    pub(super) fn unpack(bytes: &[u8]) -> (Self, &[u8]) {
        let read = || {
            let (slot, rest) = bytes.split_first_chunk()?;
            let (key, rest) = rest.split_first_chunk()?;
            Some((Self::new(u32::from_le_bytes(*slot), *key), rest))
        };
        read().unwrap_or_default()
    }

    /// Appends a text, sealed.
    pub fn seal(&self, nonces: &Nonces, purpose: Purpose, text: &[u8], sealed: &mut Vec<u8>) {
        let nonce = nonces.next();
        sealed.extend_from_slice(&self.slot.to_le_bytes());
        sealed.extend_from_slice(&nonce);
        let from = sealed.len();
        sealed.extend_from_slice(text);
        // A text of gigabytes alone could not be sealed, and a record is far shorter: nothing readable is left then.
        let tag = self
            .cipher()
            .and_then(|cipher| {
                let nonce = Nonce::assume_unique_for_key(nonce);
                cipher
                    .seal_in_place_separate_tag(nonce, self.bound(purpose), &mut sealed[from..])
                    .ok()
            })
            .map(|tag| sealed.extend_from_slice(tag.as_ref()));
        if tag.is_none() {
            sealed.truncate(from);
        }
    }

    /// Opens what was sealed, from the slot's number on; `None` when it was not sealed with this key for this purpose.
    #[must_use]
    pub fn open(&self, purpose: Purpose, sealed: &[u8]) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        self.open_into(purpose, sealed, &mut text)?;
        Some(text)
    }

    /// Does the same in room that is used again: `text` is what was sealed, or nothing to rely on with `None`.
    #[must_use]
    pub fn open_into(&self, purpose: Purpose, sealed: &[u8], text: &mut Vec<u8>) -> Option<()> {
        let (_, rest) = sealed.split_first_chunk::<{ size_of::<u32>() }>()?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE_BYTES>()?;
        text.clear();
        text.extend_from_slice(rest);
        let nonce = Nonce::assume_unique_for_key(*nonce);
        self.cipher()?.open_in_place(nonce, self.bound(purpose), text).ok()?;
        text.truncate(text.len() - TAG_BYTES);
        Some(())
    }

    fn cipher(&self) -> Option<LessSafeKey> {
        UnboundKey::new(&AES_128_GCM, &self.key).ok().map(LessSafeKey::new)
    }

    fn bound(&self, purpose: Purpose) -> Aad<[u8; 5]> {
        let [a, b, c, d] = self.slot.to_le_bytes();
        Aad::from([purpose as u8, a, b, c, d])
    }
}

/// Returns with which slot's key a text is sealed; `None` when it is none.
#[must_use]
pub fn slot_of(sealed: &[u8]) -> Option<u32> {
    sealed.first_chunk().map(|slot| u32::from_le_bytes(*slot))
}

/// Gives out nonces, none of them twice.
#[derive(Debug)]
pub struct Nonces {
    base: u128,
    given: AtomicU64,
}

impl Nonces {
    /// Begins at a random number.
    ///
    /// # Errors
    /// When the system has none.
    pub fn new() -> Result<Self, NoRandom> {
        let mut base = [0; 16];
        random(&mut base)?;
        Ok(Self {
            base: u128::from_le_bytes(base),
            given: AtomicU64::new(0),
        })
    }

    fn next(&self) -> [u8; NONCE_BYTES] {
        let given = self.given.fetch_add(1, Ordering::Relaxed);
        let bytes = self.base.wrapping_add(u128::from(given)).to_le_bytes();
        let mut nonce = [0; NONCE_BYTES];
        nonce.copy_from_slice(&bytes[..NONCE_BYTES]);
        nonce
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(seal: &Seal, nonces: &Nonces, text: &[u8]) -> Vec<u8> {
        let mut sealed = Vec::new();
        seal.seal(nonces, Purpose::Record, text, &mut sealed);
        sealed
    }

    #[test]
    fn what_is_sealed_opens_with_its_key_for_its_purpose_and_unchanged_only() {
        let nonces = Nonces::new().unwrap();
        let seal = Seal::new(7, [3; KEY_BYTES]);
        let text = b"somebody@example.org bought a fund".as_slice();
        let good = sealed(&seal, &nonces, text);
        assert_eq!(slot_of(&good), Some(7));
        assert_eq!(seal.open(Purpose::Record, &good).as_deref(), Some(text));
        assert_eq!(seal.open(Purpose::Block, &good), None, "for another purpose");
        assert_eq!(
            Seal::new(7, [4; KEY_BYTES]).open(Purpose::Record, &good),
            None,
            "another key"
        );
        assert_eq!(
            Seal::new(8, [3; KEY_BYTES]).open(Purpose::Record, &good),
            None,
            "another slot"
        );
        for at in size_of::<u32>()..good.len() {
            let mut bytes = good.clone();
            bytes[at] ^= 1;
            assert_eq!(seal.open(Purpose::Record, &bytes), None, "byte {at}");
            assert_eq!(seal.open(Purpose::Record, &good[..at]), None, "cut at {at}");
        }
        assert!(!good.windows(8).any(|window| window == &text[..8]));
    }

    #[test]
    fn the_same_text_sealed_twice_is_not_the_same() {
        let nonces = Nonces::new().unwrap();
        let seal = Seal::new(7, [3; KEY_BYTES]);
        let all: std::collections::HashSet<_> = (0..1_000).map(|_| sealed(&seal, &nonces, b"same")).collect();
        assert_eq!(all.len(), 1_000);
        let later = Nonces::new().unwrap();
        assert_ne!(later.base, nonces.base, "another process begins elsewhere");
    }
}
