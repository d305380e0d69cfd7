//! Latencies in a histogram of constant relative precision: every value up to a minute, to three digits.

use std::time::Duration;

use hdrhistogram::{CreationError, Histogram};

use super::figures::Quantiles;

/// The longest latency that is told apart, in nanoseconds; longer ones count as this.
const LATENCY_NS_MAX: u64 = 60_000_000_000;
/// Latencies are kept to this many decimal digits.
const DIGITS: u8 = 3;

#[derive(Clone, Debug)]
pub(super) struct Latencies(Histogram<u64>);

impl Latencies {
    pub(super) fn new() -> Result<Self, CreationError> {
        Histogram::new_with_bounds(1, LATENCY_NS_MAX, DIGITS).map(Self)
    }

    pub(super) fn add(&mut self, latency: Duration) {
        self.0
            .saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(LATENCY_NS_MAX).max(1));
    }

    pub(super) fn quantiles(&self) -> Quantiles {
        let at = |quantile| self.0.value_at_quantile(quantile) as f64 / 1_000.0;
        let max = self.0.max() as f64 / 1_000.0;
        Quantiles {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p99_9: at(0.999),
            max,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_told_in_microseconds_to_three_digits() {
        let mut latencies = Latencies::new().unwrap();
        for micros in 1..=1_000 {
            latencies.add(Duration::from_micros(micros));
        }
        let Quantiles {
            p50,
            p90,
            p99,
            p99_9,
            max,
        } = latencies.quantiles();
        for (measured, expected) in [(p50, 500.0), (p90, 900.0), (p99, 990.0), (p99_9, 999.0), (max, 1_000.0)] {
            assert!(
                (measured - expected).abs() <= expected / 1_000.0,
                "{measured} for {expected}"
            );
        }
    }

    #[test]
    fn a_latency_of_hours_is_kept_as_a_minute() {
        let mut latencies = Latencies::new().unwrap();
        latencies.add(Duration::from_hours(2));
        assert!(latencies.quantiles().max >= 59e6);
    }
}
