//! How single numbers, symbols, times and values are written in a packed customer, and read again.
//!
//! Reading is bounds-checked: beyond the end of the bytes everything is 0, so that even a damaged block cannot panic.

use crate::domain::ids::CustomerKey;
use crate::domain::profile::EventDigest;
use crate::domain::symbol::Symbol;
use crate::domain::time::Timestamp;
use crate::domain::value::Value;

use super::packed::ContactsAt;

/// The first time in a block is stored as the difference to this instant: 2024-01-01T00:00:00Z.
pub(super) const EPOCH: i64 = 1_704_067_200_000;

mod tag {
    pub(super) const FALSE: u8 = 0;
    pub(super) const TRUE: u8 = 1;
    pub(super) const WHOLE: u8 = 2;
    pub(super) const HUNDREDTHS: u8 = 3;
    pub(super) const DOUBLE: u8 = 4;
    pub(super) const CATEGORY: u8 = 5;
    pub(super) const SET: u8 = 6;
    pub(super) const DAYS: u8 = 7;
    pub(super) const MILLIS: u8 = 8;
    pub(super) const MISSING: u8 = 9;
    pub(super) const COUNT: u64 = 10;
}

pub(super) const MILLIS_PER_DAY: i64 = 86_400_000;

pub(super) struct Writer<'a> {
    bytes: &'a mut Vec<u8>,
    /// The time written last.
    pub(super) time: i64,
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "bit fiddling of varints"
)]
impl<'a> Writer<'a> {
    pub(super) fn new(bytes: &'a mut Vec<u8>) -> Self {
        Self { bytes, time: EPOCH }
    }

    /// Returns where the contacts begin that are written next.
    pub(super) const fn contacts_at(&self) -> ContactsAt {
        ContactsAt {
            at: self.bytes.len(),
            time: self.time,
        }
    }

    pub(super) fn unsigned(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.bytes.push(number as u8);
    }

    pub(super) fn signed(&mut self, number: i64) {
        self.unsigned(((number << 1) ^ (number >> 63)) as u64);
    }

    pub(super) fn fixed(&mut self, number: u64) {
        self.bytes.extend_from_slice(&number.to_le_bytes());
    }

    pub(super) fn length(&mut self, length: usize) {
        self.unsigned(length as u64);
    }

    /// Writes a customer's key.
    pub(super) fn key(&mut self, key: CustomerKey) {
        self.bytes.extend_from_slice(&key.get().to_le_bytes());
    }

    /// Writes bytes of their own, which count their times from the beginning, with their length before them.
    pub(super) fn block(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut block = Vec::new();
        write(&mut block);
        self.length(block.len());
        self.bytes.extend_from_slice(&block);
    }

    pub(super) fn instant(&mut self, time: Timestamp) {
        self.signed(time.as_millis().wrapping_sub(self.time));
        self.time = time.as_millis();
    }

    /// Writes a symbol as the difference to `before`, which becomes this one.
    pub(super) fn symbol(&mut self, symbol: Symbol, before: &mut u32) {
        self.signed(i64::from(symbol.get()) - i64::from(*before));
        *before = symbol.get();
    }

    pub(super) fn option(&mut self, symbol: Option<Symbol>) {
        self.unsigned(symbol.map_or(0, |symbol| u64::from(symbol.get()) + 1));
    }

    /// Writes how far a symbol of an ascending list lies above the one before, together with a tag.
    pub(super) fn tagged(&mut self, above: u32, tag: u8) {
        self.unsigned(u64::from(above) * tag::COUNT + u64::from(tag));
    }

    /// Writes a value with its symbol; `before` is the symbol of the list's entry before, and becomes this one.
    pub(super) fn value(&mut self, symbol: Symbol, value: Value, before: &mut u32) {
        let above = symbol.get().wrapping_sub(*before);
        *before = symbol.get();
        match value {
            Value::Missing => self.tagged(above, tag::MISSING),
            Value::Boolean(truth) => self.tagged(above, if truth { tag::TRUE } else { tag::FALSE }),
            Value::Number(number) => self.number(above, number),
            Value::Category(category) => {
                self.tagged(above, tag::CATEGORY);
                self.symbol(category, &mut symbol.get());
            }
            Value::Set(bits) => {
                self.tagged(above, tag::SET);
                self.unsigned(bits);
            }
            Value::Time(time) => {
                let millis = time.as_millis();
                if millis % MILLIS_PER_DAY == 0 {
                    self.tagged(above, tag::DAYS);
                    self.signed(millis / MILLIS_PER_DAY);
                } else {
                    self.tagged(above, tag::MILLIS);
                    self.signed(millis);
                }
            }
        }
    }

    pub(super) fn number(&mut self, above: u32, number: f64) {
        let exactly = |scaled: i64, scale: f64| (scaled as f64 / scale).to_bits() == number.to_bits();
        let (whole, hundredths) = (number as i64, (number * 100.0).round() as i64);
        if whole.unsigned_abs() < 1 << 48 && exactly(whole, 1.0) {
            self.tagged(above, tag::WHOLE);
            self.signed(whole);
        } else if hundredths.unsigned_abs() < 1 << 48 && exactly(hundredths, 100.0) {
            self.tagged(above, tag::HUNDREDTHS);
            self.signed(hundredths);
        } else {
            self.tagged(above, tag::DOUBLE);
            self.fixed(number.to_bits());
        }
    }

    /// Writes which of the kept events this was, or else its time and id.
    pub(super) fn origin(&mut self, time: Timestamp, id_hash: u64, events: &[EventDigest]) {
        let kept = events
            .iter()
            .position(|event| event.id_hash == id_hash && event.time == time);
        if let Some(at) = kept {
            self.unsigned(at as u64 + 1);
        } else {
            self.unsigned(0);
            self.instant(time);
            self.fixed(id_hash);
        }
    }
}

pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    /// The next byte to read; beyond the end everything reads as 0.
    pub(super) at: usize,
    /// The time read last.
    pub(super) time: i64,
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "bit fiddling of varints"
)]
impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at, time: EPOCH }
    }

    /// Returns where the contacts begin that are read next.
    pub(super) const fn contacts_at(&self) -> ContactsAt {
        ContactsAt {
            at: self.at,
            time: self.time,
        }
    }

    pub(super) const fn is_at_end(&self) -> bool {
        self.at >= self.bytes.len()
    }

    pub(super) fn byte(&mut self) -> u8 {
        let byte = self.bytes.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        byte
    }

    #[inline]
    pub(super) fn unsigned(&mut self) -> u64 {
        match self.bytes.get(self.at) {
            Some(&only) if only < 0x80 => {
                self.at += 1;
                u64::from(only)
            }
            _ => self.longer(),
        }
    }

    /// Reads a number of several bytes, all at once where eight are left: its length is as good as random, so a branch for
    /// each byte would often be foreseen wrongly.
    #[inline(never)]
    fn longer(&mut self) -> u64 {
        let next = self.bytes.get(self.at..).and_then(<[u8]>::first_chunk);
        let word = next.map_or(u64::MAX, |bytes| u64::from_le_bytes(*bytes));
        // The bit that each last byte lacks; the lowest of them is that of this number's last byte.
        let ends = !word & 0x8080_8080_8080_8080;
        if ends == 0 {
            return self.byte_by_byte();
        }
        self.at += ends.trailing_zeros() as usize / 8 + 1;
        let bits = word & (ends ^ (ends - 1));
        let twos = bits & 0x007f_007f_007f_007f | (bits & 0x7f00_7f00_7f00_7f00) >> 1;
        let fours = twos & 0x0000_3fff_0000_3fff | (twos & 0x3fff_0000_3fff_0000) >> 2;
        fours & 0x0fff_ffff | (fours & 0x0fff_ffff_0000_0000) >> 4
    }

    fn byte_by_byte(&mut self) -> u64 {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte();
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        number
    }

    #[inline]
    pub(super) fn signed(&mut self) -> i64 {
        let number = self.unsigned();
        (number >> 1) as i64 ^ -((number & 1) as i64)
    }

    pub(super) fn fixed(&mut self) -> u64 {
        let bytes = self.bytes.get(self.at..).and_then(<[u8]>::first_chunk);
        self.at += size_of::<u64>();
        bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }

    pub(super) fn length(&mut self) -> usize {
        let left = self.bytes.len().saturating_sub(self.at);
        (self.unsigned() as usize).min(left)
    }

    /// Reads a customer's key.
    pub(super) fn key(&mut self) -> CustomerKey {
        let (low, high) = (self.fixed(), self.fixed());
        CustomerKey::from_packed(u128::from(high) << 64 | u128::from(low))
    }

    /// Reads what [`Writer::block`] wrote, as far as it is there.
    pub(super) fn block(&mut self) -> &'a [u8] {
        let length = self.length();
        let end = self.at.saturating_add(length).min(self.bytes.len());
        let block = self.bytes.get(self.at..end).unwrap_or_default();
        self.at = end;
        block
    }

    /// Reads a number that is no length of what follows.
    pub(super) fn count(&mut self) -> usize {
        self.unsigned() as usize
    }

    pub(super) fn instant(&mut self) -> Timestamp {
        self.time = self.time.wrapping_add(self.signed());
        Timestamp::from_millis(self.time)
    }

    pub(super) fn symbol(&mut self, before: &mut u32) -> Symbol {
        *before = i64::from(*before).wrapping_add(self.signed()) as u32;
        Symbol::from_packed(*before)
    }

    pub(super) fn option(&mut self) -> Option<Symbol> {
        self.unsigned()
            .checked_sub(1)
            .map(|number| Symbol::from_packed(number as u32))
    }

    pub(super) fn value(&mut self, before: &mut u32) -> (Symbol, Value) {
        let number = self.unsigned();
        *before = before.wrapping_add((number / tag::COUNT) as u32);
        let value = match (number % tag::COUNT) as u8 {
            tag::FALSE => Value::Boolean(false),
            tag::TRUE => Value::Boolean(true),
            tag::WHOLE => Value::Number(self.signed() as f64),
            tag::HUNDREDTHS => Value::Number(self.signed() as f64 / 100.0),
            tag::DOUBLE => Value::Number(f64::from_bits(self.fixed())),
            tag::CATEGORY => Value::Category(self.symbol(&mut before.clone())),
            tag::SET => Value::Set(self.unsigned()),
            tag::DAYS => Value::Time(Timestamp::from_millis(self.signed().saturating_mul(MILLIS_PER_DAY))),
            tag::MILLIS => Value::Time(Timestamp::from_millis(self.signed())),
            _ => Value::Missing,
        };
        (Symbol::from_packed(*before), value)
    }

    pub(super) fn origin(&mut self, events: &[EventDigest]) -> (Timestamp, u64) {
        match self.unsigned().checked_sub(1) {
            Some(at) => events
                .get(at as usize)
                .map_or((Timestamp::from_millis(EPOCH), 0), |event| (event.time, event.id_hash)),
            None => (self.instant(), self.fixed()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_length_come_back_at_the_end_of_the_bytes_and_before_others() {
        let around = |bits: u32| {
            [
                (1_u64 << bits) - 1,
                1 << bits,
                (1 << bits) | 0x5555_5555 & ((1 << bits) - 1),
            ]
        };
        let numbers: Vec<u64> = (0..64).flat_map(around).chain([u64::MAX]).collect();
        for followers in 0..10 {
            for &number in &numbers {
                let mut bytes = Vec::new();
                Writer::new(&mut bytes).unsigned(number);
                let length = bytes.len();
                bytes.resize(length + followers, 0xff);
                let mut reader = Reader::new(&bytes, 0);
                assert_eq!(
                    (reader.unsigned(), reader.at),
                    (number, length),
                    "{followers} bytes behind"
                );
            }
        }
    }
}
