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
pub fn logistic(number: f32) -> f32 {
    let wide = 1.0 / (1.0 + exp(-f64::from(number)));
    #[expect(clippy::cast_possible_truncation, reason = "a propensity has 32 bits")]
    let narrow = wide as f32;
    narrow
}

/// Returns the exponential function of a number that is first drawn into ±[`FAR`], within some units in the 15th digit.
fn exp(number: f64) -> f64 {
    if number.is_nan() {
        return number;
    }
    let number = number.clamp(-FAR, FAR);
    // number = twos * ln 2 + rest, with the rest within ±0.35.
    let twos = (number * LOG2_E).round();
    let rest = (number - twos * LN_2_HIGH) - twos * LN_2_LOW;
    let sum = TAYLOR.iter().fold(0.0, |sum, term| sum * rest + term);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the exponent of a double: 1023 and at most 159 more or less"
    )]
    let power = f64::from_bits(((twos + 1023.0) as u64) << 52);
    sum * power
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
