//! The verbs: everything that is decided, as pure functions.
//!
//! * [`fold`] turns an entry into a changed profile.
//! * [`unite`] makes one person of a customer and the visitors joined to them.
//! * [`facts`] lays out what is known at one instant, for conditions and features.
//! * [`gate`] finds the offers that pass hard suppression, eligibility, applicability and suitability.
//! * [`features`] computes what the model sees of them, in parts or as input rows.
//! * [`specialised`] scores the parts, with a model that is taken apart for the catalog.
//! * [`rank`] multiplies the factors and puts the offers in order.
//! * [`shortlist`] chooses the best of many by a cheap model, for one that costs too much for all of them.
//! * [`consent`] and [`hold_out`] make up the [`barrier`]: what keeps an offer from a customer whatever else is so.
//! * [`quiet`] asks the quiet hours of a channel.
//! * [`calendar`] knows the hours, days, weeks and months of a time zone.
//! * [`policy`] counts contacts against caps, cool-downs and attempt limits; [`nobody`] says what becomes of a visitor whom they
//!   cannot count.
//! * [`volumes`] sees how much room the limits over all customers have.
//! * [`fill`] picks offers for placements, best first, within the contact policy and the volumes.
//! * [`assign`] finds who of many gets the offers that there are not enough of, and [`steer`] brings that into a decision.
//!
//! Nothing here reads a clock, locks, or fails. Each verb also says until when its result stays the same if only time
//! passes, so a result may be kept exactly that long.

pub mod assign;
pub mod barrier;
pub mod calendar;
pub mod consent;
pub mod facts;
pub mod features;
pub mod fill;
pub mod fold;
pub mod gate;
pub mod hold_out;
pub mod nobody;
pub mod policy;
pub mod quiet;
pub mod rank;
pub mod shortlist;
pub mod specialised;
pub mod steer;
pub mod unite;
pub mod volumes;

#[cfg(test)]
mod barrier_tests;
#[cfg(test)]
mod features_tests;
#[cfg(test)]
mod fold_tests;
#[cfg(test)]
mod policy_tests;
#[cfg(test)]
mod quiet_tests;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod unite_tests;
#[cfg(test)]
mod volumes_tests;
