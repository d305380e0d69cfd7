//! The numbers of one server.
//!
//! Handles are made once, so recording one is an addition, or a value more in a list for a histogram. What has names that a
//! catalog gives (channels, groups, limits, models) has its handles by position, made when the catalog comes into force.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use arc_swap::ArcSwap;
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use tonic::Code;

use super::calls::Calls;
use super::exporter::{Exporter, Line};
use super::in_force::{InForce, Labels};
use super::open::Open;
use super::{Stopwatch, state::State};
use crate::domain::contact::Counted;
use crate::domain::decision::{Decision, Rung, Stage};
use crate::domain::request::OffersRequest;
use crate::domain::time::Timestamp;
use crate::engine::{Active, CancelReceipt, Erasure, EventsReceipt, OutcomeReceipt, Step, Watched};

/// Of how many decisions one has its stages timed and its stops counted, unless somebody says otherwise.
pub const WATCHED_EVERY: u32 = 64;

/// The numbers of one server.
#[derive(Debug)]
pub struct Meters {
    exporter: Arc<Exporter>,
    /// Of the calls, by their method.
    pub calls: Calls,
    /// What is looked up when somebody asks.
    pub state: State,
    in_force: ArcSwap<InForce>,
    labels: Labels,
    open: Open,
    watched_every: AtomicU32,
    decisions: [[Counter; 2]; Rung::ALL.len()],
    replayed: Counter,
    fallbacks: Counter,
    withheld: [Counter; STAGES.len()],
    decision_seconds: Histogram,
    stages: [Histogram; STAGE_NAMES.len()],
    events: Counter,
    repeated_events: Counter,
    reserved: Counter,
    confirmed: Counter,
    timed_out: Counter,
    open_contacts: Gauge,
    outcomes: [Counter; Counted::ALL.len()],
    repeated_outcomes: Counter,
    late_outcomes: Counter,
    cancelled_contacts: Counter,
    refused: [Counter; 2],
    refused_callers: [Counter; REFUSED_CALLERS.len()],
    refused_connections: Counter,
    refused_bodies: Counter,
    overloads: [Counter; OVERLOADS.len()],
    renewals: [Counter; 2],
    erasures: [Counter; 3],
    watchers: Gauge,
    campaign_customers: Counter,
    campaign_runs: Gauge,
    reloads: [Counter; 3],
    every: Gauge,
}

/// Why the gate lets a call not in: the last is that there is nothing at its address.
const REFUSED_CALLERS: [(Code, &str); 3] = [
    (Code::Unauthenticated, "unauthenticated"),
    (Code::PermissionDenied, "permission_denied"),
    (Code::Unimplemented, "unimplemented"),
];
/// The classes of calls in the order of their importance, as the server's table has them.
const OVERLOADS: [&str; 4] = ["vital", "report", "page", "bulk"];
const CACHED: [&str; 2] = ["false", "true"];
const STAGES: [(Stage, &str); 6] = [
    (Stage::HardSuppression, "hard_suppression"),
    (Stage::Eligibility, "eligibility"),
    (Stage::Applicability, "applicability"),
    (Stage::Suitability, "suitability"),
    (Stage::ContactPolicy, "contact_policy"),
    (Stage::Placement, "placement"),
];

/// The stage before the engine's: making a request of a message.
pub const CONVERT: &str = "convert";
/// The stage after the engine's: making a message of a decision.
pub const ANSWER: &str = "answer";

/// All stages, in the order in which a decision passes them.
pub const STAGE_NAMES: [&str; Step::ALL.len() + 2] = {
    let mut names = [CONVERT; Step::ALL.len() + 2];
    let mut at = 0;
    while at < Step::ALL.len() {
        names[at + 1] = Step::ALL[at].name();
        at += 1;
    }
    names[Step::ALL.len() + 1] = ANSWER;
    names
};

/// What came of a reload, as its counter names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reloaded {
    /// Another version is in force.
    Applied,
    /// Nothing had changed.
    Unchanged,
    /// There were faults.
    Refused,
}

impl Meters {
    /// Makes all numbers of a server that answers these methods, as in `nbo.v1.DecisionService/GetOffers`.
    #[must_use]
    pub fn new(methods: Vec<String>) -> Self {
        let exporter = Arc::new(Exporter::new());
        exporter.within(|| Self::within(Arc::clone(&exporter), methods))
    }

    /// Counts a decision, what it shows, and the time that it took, conversion included.
    pub fn decided(&self, active: &Active, request: &OffersRequest, decision: &Decision, took: Stopwatch) {
        self.decision_seconds.record(took.seconds());
        self.decisions[decision.rung as usize][usize::from(decision.cached)].increment(1);
        let in_force = self.in_force.load();
        // Who began before a reload counts in what has no names of the catalog.
        let named = (in_force.generation == active.generation).then_some(&**in_force);
        if let Some(named) = named {
            named.channels[request.channel].increment(1);
        }
        for filled in &decision.placements {
            if filled.fallback {
                self.fallbacks.increment(1);
            }
            for offer in &filled.offers {
                if let Some(named) = named {
                    named.shown(&active.catalog, offer);
                }
            }
        }
        for reason in &decision.withheld {
            self.withheld[reason.stage as usize].increment(1);
        }
        self.reserved(active, request, decision);
    }

    /// Counts what a decision reserved, if it did: one of a campaign run as well as one of a call.
    pub fn reserved(&self, active: &Active, request: &OffersRequest, decision: &Decision) {
        if decision.id.is_some() {
            let shown: usize = decision.placements.iter().map(|filled| filled.offers.len()).sum();
            self.reserved.increment(shown as u64);
            let due = decision.decided_at + active.catalog.channels[request.channel].reservation;
            self.open.add(due, shown as u64);
        }
    }

    /// Tells whether a decision is one of those that are watched, by a number that is drawn for it.
    #[must_use]
    pub fn is_watched(&self, drawn: u32) -> bool {
        drawn.is_multiple_of(self.watched_every.load(Ordering::Relaxed))
    }

    /// Watches one decision of so many from now on; 1 is all of them.
    pub fn watch_every(&self, decisions: u32) {
        self.watched_every.store(decisions.max(1), Ordering::Relaxed);
        self.every.set(f64::from(decisions.max(1)));
    }

    /// Counts what was seen of a decision: the seconds of converting and answering, and what the engine was busy with.
    pub fn watched(&self, active: &Active, convert: f64, seen: &Watched, answer: f64) {
        let [before, stages @ .., after] = &self.stages;
        before.record(convert);
        let mut spent = [None; Step::ALL.len()];
        for lap in &seen.laps {
            let nanos = lap.until.saturating_sub(lap.from);
            *spent[lap.step as usize].get_or_insert(0) += nanos;
        }
        for (stage, spent) in stages.iter().zip(spent) {
            if let Some(nanos) = spent {
                stage.record(nanos as f64 / 1e9);
            }
        }
        after.record(answer);
        let in_force = self.in_force.load();
        if in_force.generation == active.generation {
            let weight = u64::from(self.watched_every.load(Ordering::Relaxed));
            for stop in &seen.stops {
                in_force.stopped(*stop, weight);
            }
        }
    }

    /// Says what is in force now.
    pub fn in_force(&self, active: &Active) {
        let before = self.in_force.load();
        let new = self.exporter.within(|| InForce::new(active, &before, &self.labels));
        self.in_force.store(Arc::new(new));
    }

    /// Counts an answer that was given again to a repeated call.
    pub fn replayed(&self) {
        self.replayed.increment(1);
    }

    /// Counts recorded events.
    pub fn recorded(&self, receipt: &EventsReceipt) {
        self.events.increment(receipt.applied as u64);
        self.repeated_events.increment(receipt.duplicates as u64);
    }

    /// Counts a reported outcome.
    pub fn reported(&self, outcome: Counted, receipt: &OutcomeReceipt) {
        if !receipt.recorded {
            self.repeated_outcomes.increment(1);
            return;
        }
        self.outcomes[outcome.index()].increment(1);
        if receipt.late {
            self.late_outcomes.increment(1);
        }
        self.confirmed.increment(receipt.confirmed as u64);
        if let Some(due) = receipt.due.filter(|_| receipt.confirmed > 0) {
            self.open.take(due, receipt.confirmed as u64);
        }
    }

    /// Counts the contacts that a cancellation released.
    pub fn cancelled(&self, receipt: &CancelReceipt) {
        self.cancelled_contacts.increment(receipt.cancelled as u64);
        if let Some(due) = receipt.due.filter(|_| receipt.cancelled > 0) {
            self.open.take(due, receipt.cancelled as u64);
        }
    }

    /// Counts a refused call or item; `by_caller` tells whether the caller can do something about it.
    pub fn refused(&self, by_caller: bool) {
        self.refused[usize::from(!by_caller)].increment(1);
    }

    /// Counts a call that the gate did not let in.
    pub fn refused_caller(&self, code: Code) {
        let at = REFUSED_CALLERS.iter().position(|(known, _)| *known == code);
        self.refused_callers[at.unwrap_or(REFUSED_CALLERS.len() - 1)].increment(1);
    }

    /// Counts a connection for which its address had no place.
    pub fn refused_connection(&self) {
        self.refused_connections.increment(1);
    }

    /// Counts a request for which there was no room in memory.
    pub fn refused_body(&self) {
        self.refused_bodies.increment(1);
    }

    /// Counts a call for which there was no room, by its class; 0 is the most important.
    pub fn refused_by_overload(&self, class: usize) {
        self.overloads[class].increment(1);
    }

    /// Counts a change of the files with certificates, tokens and keys, by whether it came into force.
    pub fn renewed(&self, is_applied: bool) {
        self.renewals[usize::from(!is_applied)].increment(1);
    }

    /// Counts an erasure that was asked for; `None` when it was refused.
    pub fn erased(&self, erasure: Option<&Erasure>) {
        self.erasures[erasure.map_or(2, |erasure| usize::from(!erasure.existed))].increment(1);
    }

    /// Says how many watch.
    pub fn watching(&self, watchers: usize) {
        self.watchers.set(watchers as f64);
    }

    /// Counts customers that campaign runs asked for.
    pub fn campaigned(&self, customers: u64) {
        self.campaign_customers.increment(customers);
    }

    /// Says how many campaign runs are under way.
    pub fn campaign_runs(&self, runs: usize) {
        self.campaign_runs.set(runs as f64);
    }

    /// Counts a reload.
    pub fn reloaded(&self, result: Reloaded) {
        self.reloads[result as usize].increment(1);
    }

    /// Does what has to be done every few seconds: what histograms were told is drained, and reservations end.
    pub fn upkeep(&self, now: Timestamp) {
        self.timed_out.increment(self.open.end(now));
        self.open_contacts.set(self.open.len() as f64);
        self.exporter.upkeep();
    }

    /// Returns all numbers as text, as of now.
    #[must_use]
    pub fn render(&self, now: Timestamp) -> String {
        self.upkeep(now);
        let in_force = self.in_force.load();
        let mut lines = in_force.lines();
        lines.push(Line::info("nbo_journal_info", vec![self.state.level()]));
        let version = env!("CARGO_PKG_VERSION");
        lines.push(Line::info("nbo_build_info", vec![version, std::env::consts::ARCH]));
        self.exporter.render(&lines)
    }

    fn within(exporter: Arc<Exporter>, methods: Vec<String>) -> Self {
        let stage = |stage: &'static str| histogram!("nbo_stage_seconds", "stage" => stage);
        let every = gauge!("nbo_watched_decisions_every");
        every.set(f64::from(WATCHED_EVERY));
        Self {
            calls: Calls::new(Arc::clone(&exporter), methods),
            exporter,
            state: State::new(),
            in_force: ArcSwap::from_pointee(InForce::none()),
            labels: Labels::default(),
            open: Open::default(),
            watched_every: AtomicU32::new(WATCHED_EVERY),
            decisions: Rung::ALL.map(|rung| {
                CACHED.map(|cached| counter!("nbo_decisions_total", "rung" => rung.name(), "cached" => cached))
            }),
            stages: std::array::from_fn(|at| stage(STAGE_NAMES[at])),
            replayed: counter!("nbo_replayed_answers_total"),
            fallbacks: counter!("nbo_fallbacks_total"),
            withheld: STAGES.map(|(_, stage)| counter!("nbo_withheld_offers_total", "stage" => stage)),
            decision_seconds: histogram!("nbo_decision_seconds"),
            events: counter!("nbo_events_total", "repeated" => "false"),
            repeated_events: counter!("nbo_events_total", "repeated" => "true"),
            reserved: counter!("nbo_reserved_contacts_total"),
            confirmed: counter!("nbo_confirmed_contacts_total"),
            timed_out: counter!("nbo_timed_out_contacts_total"),
            open_contacts: gauge!("nbo_open_contacts"),
            outcomes: Counted::ALL.map(|outcome| counter!("nbo_outcomes_total", "outcome" => outcome.name())),
            repeated_outcomes: counter!("nbo_repeated_outcomes_total"),
            late_outcomes: counter!("nbo_late_outcomes_total"),
            cancelled_contacts: counter!("nbo_cancelled_contacts_total"),
            refused_callers: REFUSED_CALLERS.map(|(_, code)| counter!("nbo_refused_callers_total", "code" => code)),
            refused_connections: counter!("nbo_refused_connections_total"),
            refused_bodies: counter!("nbo_refused_bodies_total"),
            overloads: OVERLOADS.map(|class| counter!("nbo_overload_refused_total", "class" => class)),
            renewals: ["applied", "refused"].map(|result| counter!("nbo_secrets_reloads_total", "result" => result)),
            refused: ["caller", "server"].map(|by| counter!("nbo_refused_total", "because_of" => by)),
            erasures: ["erased", "unknown", "refused"].map(|result| counter!("nbo_erasures_total", "result" => result)),
            watchers: gauge!("nbo_watchers"),
            campaign_customers: counter!("nbo_campaign_customers_total"),
            campaign_runs: gauge!("nbo_campaign_runs"),
            reloads: ["applied", "unchanged", "refused"]
                .map(|result| counter!("nbo_reloads_total", "result" => result)),
            every,
        }
    }
}
