//! Consent: whether the customer wants to be contacted for an offer's purpose.
//!
//! An answer for the channel that asks wins over the answer for all channels. Without any answer the purpose says what
//! holds: it may assume consent until the customer objects, or need it first. An offer without a purpose asks nobody.

use crate::catalog::Purpose;
use crate::domain::profile::Profile;
use crate::domain::symbol::Symbol;

/// The purpose needs the customer's consent, and there is no answer.
pub const NO_CONSENT: &str = "no-consent";
/// The customer objects to the purpose.
pub const OBJECTED: &str = "objected";

/// Returns the rule by which nothing may be shown for the purpose on the channel, if there is one.
#[must_use]
pub fn refusal(purpose: &Purpose, profile: &Profile, channel: Symbol) -> Option<&'static str> {
    match profile.consent(purpose.symbol, channel) {
        Some(true) => None,
        Some(false) => Some(OBJECTED),
        None => purpose.needs_consent.then_some(NO_CONSENT),
    }
}
