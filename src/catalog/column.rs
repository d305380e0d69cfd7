//! From a value to the number that a model sees.

use super::{Column, ColumnSource, Encoding, ModelPlan, Offer, OfferCells};
use crate::domain::time::{Millis, Timestamp};
use crate::domain::value::Value;

impl Column {
    /// Returns the number that the model sees for `value` at `now`: the value as [`Encoding`] says, clipped, then
    /// `ln(1 + x)` when asked for, all in 64 bits, and rounded to 32 at the end. A value that is not known, or not of the
    /// encoding's type, is [`Column::missing`] as it stands.
    #[must_use]
    pub fn encode(&self, value: Value, now: Timestamp) -> f32 {
        let Some(number) = self.number(value, now) else {
            return self.missing;
        };
        let clipped = self.clip.map_or(number, |(low, high)| number.clamp(low, high));
        let finished = if self.log1p { clipped.ln_1p() } else { clipped };
        #[expect(clippy::cast_possible_truncation, reason = "the model's numbers are 32-bit floats")]
        let rounded = finished as f32;
        rounded
    }

    fn number(&self, value: Value, now: Timestamp) -> Option<f64> {
        match (&self.encoding, value) {
            (Encoding::Number, Value::Number(number)) => Some(number),
            (Encoding::Number, Value::Boolean(yes)) => Some(f64::from(yes)),
            (Encoding::Equals(wanted), Value::Category(given)) => Some(f64::from(*wanted == given)),
            (Encoding::Contains(bit), Value::Set(bits)) => Some(f64::from(bits & bit != 0)),
            (Encoding::Ordinal { codes, unknown }, Value::Category(given)) => {
                let code = codes.iter().find(|(category, _)| *category == given);
                Some(f64::from(code.map_or(*unknown, |(_, code)| *code)))
            }
            (Encoding::DaysSince, Value::Time(date)) => Some((now - date).get().div_euclid(Millis::DAY.get()) as f64),
            _ => None,
        }
    }
}

impl ModelPlan {
    /// Encodes what the columns read of each offer, as far as it stays the same for every decision.
    pub(crate) fn encode_offers(&mut self, offers: &[Offer]) {
        let columns = self.columns.iter().enumerate();
        let by_offer = columns.filter_map(|(at, column)| {
            let ColumnSource::Offer(position) = column.from else {
                return None;
            };
            if column.encoding == Encoding::DaysSince {
                return None;
            }
            // No other encoding looks at the time.
            let cell = |offer: &Offer| column.encode(offer.attributes[position], Timestamp::default());
            Some(OfferCells {
                column: at,
                cells: offers.iter().map(cell).collect(),
            })
        });
        self.by_offer = by_offer.collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::symbol::Symbol;

    const NOW: Timestamp = Timestamp::from_millis(10 * Millis::DAY.get() + 5);

    fn check(encoding: Encoding, value: Value, expected: f32) {
        let column = Column {
            from: ColumnSource::Profile(0),
            encoding,
            missing: -1.0,
            clip: None,
            log1p: false,
        };
        assert_eq!(
            column.encode(value, NOW).to_bits(),
            expected.to_bits(),
            "{value:?} as {:?}",
            column.encoding
        );
    }

    #[test]
    fn each_encoding_makes_the_number_that_it_says() {
        let (red, blue) = (Symbol::from_packed(1), Symbol::from_packed(2));
        let ordinal = || Encoding::Ordinal {
            codes: vec![(red, 0.0), (blue, 1.0)],
            unknown: 9.0,
        };
        check(Encoding::Number, Value::Number(2.5), 2.5);
        check(Encoding::Number, Value::Boolean(true), 1.0);
        check(Encoding::Number, Value::Category(red), -1.0);
        check(Encoding::Equals(red), Value::Category(red), 1.0);
        check(Encoding::Equals(red), Value::Category(blue), 0.0);
        check(Encoding::Equals(red), Value::Missing, -1.0);
        check(Encoding::Contains(4), Value::Set(5), 1.0);
        check(Encoding::Contains(4), Value::Set(3), 0.0);
        check(ordinal(), Value::Category(blue), 1.0);
        check(ordinal(), Value::Category(Symbol::from_packed(3)), 9.0);
        check(Encoding::DaysSince, Value::Time(Timestamp::from_millis(0)), 10.0);
        check(Encoding::DaysSince, Value::Time(NOW + Millis::new(1)), -1.0);
    }

    #[test]
    fn a_number_is_clipped_before_the_logarithm_and_a_missing_one_is_neither() {
        let column = Column {
            from: ColumnSource::Profile(0),
            encoding: Encoding::Number,
            missing: f32::NAN,
            clip: Some((0.0, 10.0)),
            log1p: true,
        };
        assert_eq!(column.encode(Value::Number(-5.0), NOW).to_bits(), 0.0_f32.to_bits());
        assert_eq!(
            column.encode(Value::Number(99.0), NOW).to_bits(),
            2.397_895_3_f32.to_bits()
        );
        assert!(column.encode(Value::Missing, NOW).is_nan());
    }
}
