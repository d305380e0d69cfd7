//! NBO, a real-time next-best-offer decision engine.

pub mod domain;
