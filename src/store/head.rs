//! What stands in front of a packed customer in memory, and nowhere else.

use super::packed::ContactsAt;
use super::seal::{SEAL_BYTES, Seal};

/// How many bytes it takes.
pub(super) const HEAD_BYTES: usize = SEAL_BYTES + size_of::<u64>();

/// How many bits tell the time from which that of the first contact is counted: thousands of years.
const TIME_BITS: u32 = 48;

/// What stands in front of a customer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) seal: Seal,
    /// Where the contacts begin, so that all that lies before them can be passed over; absent where it is not known, or too far.
    pub(super) contacts_at: Option<ContactsAt>,
}

impl Head {
    pub(super) fn of(seal: Seal) -> Self {
        Self {
            seal,
            contacts_at: None,
        }
    }

    pub(super) fn pack(&self, bytes: &mut Vec<u8>) {
        self.seal.pack(bytes);
        let packed = self.contacts_at.and_then(packed).unwrap_or_default();
        bytes.extend_from_slice(&packed.to_le_bytes());
    }

    /// Reads what [`Head::pack`] wrote, and returns what follows.
    pub(super) fn unpack(bytes: &[u8]) -> (Self, &[u8]) {
        let (seal, rest) = Seal::unpack(bytes);
        let Some((packed, rest)) = rest.split_first_chunk() else {
            return (Self::of(seal), &[]);
        };
        let contacts_at = unpacked(u64::from_le_bytes(*packed));
        (Self { seal, contacts_at }, rest)
    }
}

/// Writes into the head of a block where its contacts begin, counted from the beginning of the block.
pub(super) fn note(contacts_at: ContactsAt, block: &mut [u8]) {
    let packed = contacts_at
        .at
        .checked_sub(HEAD_BYTES)
        .and_then(|at| packed(ContactsAt { at, ..contacts_at }));
    if let Some(place) = block.get_mut(SEAL_BYTES..HEAD_BYTES) {
        place.copy_from_slice(&packed.unwrap_or_default().to_le_bytes());
    }
}

/// The position in 16 bits and the time in 48; position 0, where there is always something else, is nothing.
#[expect(clippy::cast_sign_loss, reason = "the bits of the time are taken as they are")]
fn packed(contacts_at: ContactsAt) -> Option<u64> {
    let ContactsAt { at, time } = contacts_at;
    let at = u64::from(u16::try_from(at).ok()?);
    let upper = 64 - TIME_BITS;
    let fits = time << upper >> upper == time;
    fits.then_some(at << TIME_BITS | time as u64 & ((1 << TIME_BITS) - 1))
}

#[expect(clippy::cast_possible_wrap, reason = "the same bits again")]
fn unpacked(packed: u64) -> Option<ContactsAt> {
    let upper = 64 - TIME_BITS;
    let contacts_at = ContactsAt {
        at: (packed >> TIME_BITS) as usize,
        time: (packed << upper) as i64 >> upper,
    };
    (contacts_at.at > 0).then_some(contacts_at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_as_it_was_written_and_what_does_not_fit_is_not_known() {
        let seal = Seal::new(7, [9; 16]);
        let read = |at, time| {
            let mut block = Vec::new();
            Head::of(seal).pack(&mut block);
            block.extend_from_slice(b"rest");
            note(
                ContactsAt {
                    at: at + HEAD_BYTES,
                    time,
                },
                &mut block,
            );
            let (head, rest) = Head::unpack(&block);
            assert_eq!((head.seal, rest), (seal, &b"rest"[..]));
            let mut again = Vec::new();
            head.pack(&mut again);
            assert_eq!(again, block[..HEAD_BYTES]);
            head.contacts_at
        };
        for time in [0, 1, -1, 1_774_602_000_000, (1 << 47) - 1, -(1 << 47)] {
            for at in [1, 300, 65_535] {
                assert_eq!(read(at, time), Some(ContactsAt { at, time }));
            }
        }
        assert_eq!(read(65_536, 0), None);
        assert_eq!(read(0, 0), None);
        assert_eq!(read(300, 1 << 47), None);
        assert_eq!(read(300, i64::MIN), None);
        assert_eq!(Head::unpack(b"short"), (Head::default(), &b""[..]));
    }
}
