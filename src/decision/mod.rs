//! The verbs: everything that is decided, as pure functions.
//!
//! * [`fold`] turns an entry into a changed profile.
//! * [`facts`] lays out what is known at one instant, for conditions and features.
//! * [`gate`] finds the offers that pass hard suppression, eligibility, applicability and suitability.
//! * [`features`] builds the model's input rows for them.
//! * [`rank`] multiplies the factors and puts the offers in order.
//! * [`policy`] counts contacts against caps.
//! * [`fill`] picks offers for placements, best first, within the caps.
//! * [`assign`] finds who of many gets the offers that there are not enough of, and [`steer`] brings that into a decision.
//!
//! Nothing here reads a clock, locks, or fails. Each verb also says until when its result stays the same if only time
//! passes, so a result may be kept exactly that long.

pub mod assign;
pub mod facts;
pub mod features;
pub mod fill;
pub mod fold;
pub mod gate;
pub mod policy;
pub mod rank;
pub mod steer;

#[cfg(test)]
mod fold_tests;
#[cfg(test)]
mod policy_tests;
#[cfg(test)]
pub(crate) mod testing;
