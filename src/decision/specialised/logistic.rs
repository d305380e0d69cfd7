//! The logistic function, the same bits on every machine.
//!
//! The standard library's `exp` is the system's, whose last bit differs from one to the next; a past decision could not
//! be made again elsewhere. Here are additions, multiplications and one division only, each rounded once.

use std::f64::consts::LOG2_E;

/// ln 2 in two parts: the first has zeros at the end, so that a small multiple of it is exact (the method of fdlibm).
const LN_2_HIGH: f64 = 6.931_471_803_691_238e-1;
const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;

/// Beyond it `exp(-number)` vanishes beside 1, or 1 beside it, in 32 bits: `exp(-110)` is below the smallest 32-bit float.
const FAR: f64 = 110.0;

/// Taylor's series, 1 / 13! first; within ±0.35 the first term left out is below 1e-17.
const TAYLOR: [f64; 14] = [
    1.0 / 6_227_020_800.0,
    1.0 / 479_001_600.0,
    1.0 / 39_916_800.0,
    1.0 / 3_628_800.0,
    1.0 / 362_880.0,
    1.0 / 40_320.0,
    1.0 / 5_040.0,
    1.0 / 720.0,
    1.0 / 120.0,
    1.0 / 24.0,
    1.0 / 6.0,
    1.0 / 2.0,
    1.0,
    1.0,
];

/// Returns `1 / (1 + exp(-number))`, computed in 64 bits and rounded once; NaN for NaN.
#[must_use]
#[inline]
pub fn logistic(number: f32) -> f32 {
    let wide = 1.0 / (1.0 + exp(-f64::from(number)));
    #[expect(clippy::cast_possible_truncation, reason = "a propensity has 32 bits")]
    let narrow = wide as f32;
    narrow
}

/// Does the same to each number.
pub(super) fn logistic_all(numbers: &mut [f32]) {
    for number in numbers {
        *number = logistic(*number);
    }
}

/// Returns the exponential function of a number that is first drawn into ±[`FAR`], within some units in the 15th digit; NaN for NaN.
/// There is no branch in it and no call, so that a compiler computes it for several numbers at once.
#[inline]
fn exp(number: f64) -> f64 {
    let number = number.clamp(-FAR, FAR);
    // number = twos * ln 2 + rest, with the rest within ±0.35.
    let twos = rounded(number * LOG2_E);
    let rest = (number - twos * LN_2_HIGH) - twos * LN_2_LOW;
    let sum = TAYLOR.iter().fold(0.0, |sum, term| sum * rest + term);
    // The exponent of a double: 1023 and at most 159 more or less; behind so large a number it stands in the last bits.
    let power = f64::from_bits(((twos + 1023.0) + WHOLE).to_bits() << 52);
    sum * power
}

/// 2^52: from here on a double has no fractions, and the last bits of its form are a whole number.
const WHOLE: f64 = 4_503_599_627_370_496.0;

/// Rounds a number that is far below 2^51 as [`f64::round`] does, halves away from zero, which on many machines is a call.
#[inline]
fn rounded(number: f64) -> f64 {
    const SHIFT: f64 = WHOLE * 1.5;
    // Here halves go to the even neighbour.
    let even = (number + SHIFT) - SHIFT;
    let left = number - even;
    // None is further than a half from the nearest.
    let up = if left >= 0.5 && number > 0.0 { 1.0 } else { 0.0 };
    let down = if left <= -0.5 && number < 0.0 { 1.0 } else { 0.0 };
    even + up - down
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_logistic_function_to_the_last_bits_of_a_32_bit_float() {
        let mut number = -120.0_f32;
        while number < 120.0 {
            let expected = 1.0 / (1.0 + (-f64::from(number)).exp());
            let found = f64::from(logistic(number));
            assert!(
                (found - expected).abs() <= expected * 1e-7 + 1e-38,
                "{number}: {found} {expected}"
            );
            number += 0.037;
        }
    }

    #[test]
    fn the_ends_are_zero_and_one_and_nan_stays_nan() {
        assert_eq!(logistic(0.0).to_bits(), 0.5_f32.to_bits());
        assert_eq!(logistic(f32::INFINITY).to_bits(), 1.0_f32.to_bits());
        assert!(logistic(f32::NEG_INFINITY) < 1e-44);
        assert!(logistic(f32::NAN).is_nan());
    }

    #[test]
    #[expect(clippy::float_cmp, reason = "both are whole numbers")]
    fn halves_are_rounded_away_from_zero_and_all_else_to_the_nearest() {
        let mut number = -170.0_f64;
        while number < 170.0 {
            for near in [number, number.next_up(), number.next_down()] {
                assert_eq!(rounded(near), near.round(), "{near}");
            }
            number += 0.125;
        }
    }

    #[test]
    fn many_numbers_at_once_are_the_same_as_one_by_one() {
        let numbers: Vec<f32> = (0_u16..4_000).map(|number| f32::from(number) * 0.061 - 121.0).collect();
        let mut all = numbers.clone();
        all.push(f32::NAN);
        logistic_all(&mut all);
        assert!(all.pop().is_some_and(f32::is_nan));
        for (number, found) in numbers.iter().zip(all) {
            assert_eq!(logistic(*number).to_bits(), found.to_bits(), "{number}");
        }
    }

    #[test]
    fn the_bits_are_pinned_so_that_a_decision_of_another_machine_comes_out_the_same() {
        for (number, bits) in [
            (1.0, 0x3f3b_26a8_u32),
            (-2.5, 0x3d9b_5b89),
            (0.1, 0x3f06_6509),
            (17.0, 0x3f7f_ffff),
        ] {
            assert_eq!(
                logistic(number).to_bits(),
                bits,
                "{number}: {:#x}",
                logistic(number).to_bits()
            );
        }
    }
}
