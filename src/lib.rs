//! NBO, a real-time next-best-offer decision engine: it keeps every customer's profile in memory, hears every behaviour,
//! and answers which offers to show this customer, here and now, with the reason for each offer shown or withheld.
//!
//! # One decision
//!
//! ```text
//! request ─ convert ─ one catalog snapshot, one `now`
//!                        │   under one customer's lock, synchronously:
//!                        ├─ fold the events of the call into the profile
//!                        ├─ gate:  hard suppression → eligibility → applicability → suitability
//!                        ├─ features → score (one batch per model or stage) → priority → total order (or the cached list)
//!                        ├─ fill the placements, best first, within opt-outs and caps
//!                        └─ reserve what is shown, in the journal first
//! answer ─ offers, factors, reasons, versions, `valid_until`
//! ```
//!
//! Priority = propensity × context weight × value × lever. An offer that fails a stage can never win, whatever its score.
//!
//! **The ordered list is kept for the next call** and holds until its own `valid_until`, another catalog, another value of what it
//! reads of a request ([`catalog::Reads`]), or a change of what it reads of the customer: an event that feeds no aggregate or intent
//! which a condition, a model or a weight looks at leaves it as it was. Where it is made anew, each condition is asked once, through
//! the index, and a model that was taken apart only when it sees something else than before, or for offers that were not in the list. What
//! stops an offer for reasons of contact (caps, consent, quiet hours) is no part of the list and asked each time.
//!
//! # The layers, lowest first; imports go up this list only
//!
//! * [`audit`]: recounts exported contacts. It names no other layer, since it judges them.
//! * [`domain`]: nouns. Ids, time, values, events, profiles, contacts, entries, decisions, reasons.
//! * [`rules`]: conditions. CEL text → checked → compiled → evaluated with three truth values, one by one or all at once by an
//!   index.
//! * [`catalog`]: one immutable, validated version of schema, offers, rules, intents, caps, placements, model columns.
//! * [`decision`]: verbs, all pure. Fold, facts, gate, features, models taken apart for a catalog, rank, policy, fill.
//! * [`model`]: reads model files, tries those that were taken apart against ONNX Runtime, and scores with it all others.
//! * [`store`]: all customers, sharded and packed.
//! * [`journal`]: every change in order, on disk before it counts; and all customers as of a moment.
//! * [`engine`]: the conductor, one function per kind of request.
//! * [`campaign`]: the same for many customers at once, within limits over all of them.
//! * [`whatif`]: recorded decisions, made again by another catalog.
//! * The shell, the only part with async, I/O and a clock: [`clock`], [`config`], [`telemetry`], [`server`], [`sim`], [`load`],
//!   [`import`], [`bench`], [`cli`].
//!
//! # Invariants, most of them absences
//!
//! * Up to [`decision`] nothing reads a clock, does I/O, locks, waits, or draws a random number. `now` is an argument.
//! * State is the fold of entries: [`decision::fold`] is the only code that changes a profile.
//! * A decision is a function of (catalog, scores, profile, request, `now`): the same inputs give the same bytes. Behaviour
//!   is seen in time steps, so an answer is exact until its `valid_until`.
//! * What changes a customer is in the journal before it is in the store, in the books over all customers, or in an answer. A
//!   checkpoint and the records behind it give back exactly that ([`engine::Recovery`]).
//! * What is written about a person is sealed with the person's own key, and no log names anybody. To erase a person is to destroy
//!   the key ([`engine::Engine::erase_customer`], [`journal::keys`]).
//! * A visitor who is joined to a customer is the customer, wherever either is named; what each had stays apart, so that parting
//!   them is exact ([`decision::unite`]).
//! * A cap is checked and reserved under one lock in one synchronous call. No lock is held over an `.await`, and no second
//!   customer is touched under a customer's lock.
//! * Profiles hold symbols, never positions in a catalog, so they survive any reload.
//! * Wire types stop in [`server`]; input is validated there once, and the core cannot fail.
//! * A scoring fault lowers the rung, never fails the call.
//! * Whoever calls is judged before anything of the call is read, by one table that has a row for each method; what has none is
//!   refused ([`server::access`]).
//!
//! [`bench`]: mod@bench

pub mod audit;
pub mod bench;
pub mod campaign;
pub mod catalog;
pub mod cli;
pub mod clock;
pub mod config;
pub mod decision;
pub mod domain;
pub mod engine;
pub mod import;
pub mod journal;
pub mod load;
pub mod model;
pub mod rules;
pub mod server;
pub mod sim;
pub mod store;
pub mod telemetry;
pub mod whatif;
