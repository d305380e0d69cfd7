//! Random draws that are the same everywhere for ever: one named generator, and arithmetic written out here, so that no
//! library's next version changes a population.

use rand::Rng;
use rand_pcg::Pcg64;

/// A stream of draws. Two streams with different seeds or stream numbers have nothing to do with each other.
#[derive(Clone, Debug)]
pub struct Draw(Pcg64);

impl Draw {
    /// Begins the stream of this seed and number.
    #[must_use]
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut generator = Pcg64::new(u128::from(seed), u128::from(stream));
        // Nearby seeds and streams begin alike; a few steps drive them apart.
        for _ in 0..4 {
            generator.next_u64();
        }
        Self(generator)
    }

    /// Draws 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Draws evenly from 0 to just below 1.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Draws evenly from 0 to `count - 1`; 0 when `count` is 0.
    pub fn below(&mut self, count: usize) -> usize {
        let wide = u128::from(self.bits()) * count as u128;
        usize::try_from(wide >> 64).unwrap_or(0)
    }

    /// Draws true with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Draws from 0 to `count - 1`, the first more often: number `i` has the weight 1 / (i + 1.5).
    pub fn skewed(&mut self, count: usize) -> usize {
        let weight = |at: usize| 1.0 / (at as f64 + 1.5);
        let mut left = self.unit() * (0..count).map(weight).sum::<f64>();
        for at in 0..count {
            left -= weight(at);
            if left < 0.0 {
                return at;
            }
        }
        count.saturating_sub(1)
    }

    /// Draws from the triangular distribution between `lowest` and `highest` with its peak at `mode`.
    pub fn triangular(&mut self, lowest: f64, mode: f64, highest: f64) -> f64 {
        let width = highest - lowest;
        let peak = if width > 0.0 { (mode - lowest) / width } else { 0.0 };
        let unit = self.unit();
        if unit < peak {
            lowest + width * (unit * peak).sqrt()
        } else {
            highest - width * ((1.0 - unit) * (1.0 - peak)).sqrt()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_and_stream_draw_the_same_numbers_for_ever() {
        let mut draw = Draw::new(7, 1);
        assert_eq!(
            [draw.bits(), draw.bits()],
            [9_567_901_904_923_108_464, 16_364_278_647_694_089_004]
        );
    }

    #[test]
    fn another_stream_of_the_same_seed_draws_other_numbers() {
        assert_ne!(Draw::new(7, 1).bits(), Draw::new(7, 2).bits());
        assert_ne!(Draw::new(7, 1).bits(), Draw::new(8, 1).bits());
    }

    #[test]
    fn draws_stay_within_what_was_asked_for() {
        let mut draw = Draw::new(1, 1);
        for _ in 0..10_000 {
            assert!((0.0..1.0).contains(&draw.unit()));
            assert!(draw.below(3) < 3);
            assert!(draw.skewed(5) < 5);
            assert!((18.0..=95.0).contains(&draw.triangular(18.0, 40.0, 95.0)));
        }
        assert_eq!(
            (draw.below(0), draw.skewed(0), draw.triangular(4.0, 4.0, 4.0)),
            (0, 0, 4.0)
        );
    }

    #[test]
    fn a_triangular_draw_peaks_where_it_was_told_to() {
        let mut draw = Draw::new(3, 1);
        let drawn: Vec<f64> = (0..20_000).map(|_| draw.triangular(0.0, 20.0, 100.0)).collect();
        let mean = drawn.iter().sum::<f64>() / drawn.len() as f64;
        assert!((mean - 40.0).abs() < 1.0, "the mean of (0, 20, 100) is 40, not {mean}");
    }
}
