//! NBO, a real-time next-best-offer decision engine.

pub mod catalog;
pub mod domain;
pub mod model;
pub mod rules;
