//! Seeded stand-ins for real customers and real traffic, for demonstrations, load tests and benches.
//!
//! Everything here is a function of a seed, a catalog and a stated `now`: the same three give the same customers and
//! the same calls, on every machine.

pub mod draw;
pub mod population;
pub mod simulator;
