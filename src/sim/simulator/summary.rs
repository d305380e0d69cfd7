//! What a simulation went through.

/// Makes the summary from its numbers, each with what it is in words, so that none is forgotten anywhere.
macro_rules! summary {
    ($($(#[$doc:meta])* $name:ident: $words:literal,)*) => {
        /// What a simulation went through, so that nobody has to believe that something happened at all.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Summary {
            /// Steps.
            pub steps: u64,
            $($(#[$doc])* pub $name: u64,)*
            /// A hash over all answers: the same for the same seed and steps, on every machine.
            pub digest: u64,
        }

        impl Summary {
            /// Returns what was counted, each with its name.
            #[must_use]
            pub fn counts(&self) -> Vec<(u64, &'static str)> {
                vec![$((self.$name, $words),)*]
            }

            /// Adds another simulation's numbers, and folds its hash in.
            pub fn add(&mut self, other: &Self) {
                self.steps += other.steps;
                $(self.$name += other.$name;)*
                self.digest = self.digest.rotate_left(1) ^ other.digest;
            }
        }
    };
}

summary! {
    /// Decisions that were judged by themselves: one for each question of somebody at an instant. Repetitions, a look before the
    /// call, and what other engines say of later instants are not among them.
    decisions: "decisions judged",
    /// Of them those that reserved something.
    reserved: "of them with a reservation",
    /// Answers that were judged, previews and repetitions included.
    answers: "answers judged",
    /// Offers in them.
    shown: "offers shown",
    /// Answers from a cached list.
    cached: "answers from a cached list",
    /// Answers with no offer at all.
    empty: "answers without an offer",
    /// Reasons that were judged.
    reasons: "reasons judged",
    /// Reasons that were contact limits.
    capped: "of them contact limits",
    /// Of them cool-downs.
    rested: "of these cool-downs",
    /// Of them attempt limits.
    attempts_used: "of these attempt limits",
    /// Of them volumes.
    volumes_used: "of these volumes",
    /// Reasons that were quiet hours.
    quiet: "reasons of quiet hours",
    /// Reasons that were missing consent or an objection.
    refused_purposes: "reasons of consent",
    /// Answers to somebody who is held out.
    held_out: "answers to customers held out",
    /// Offers shown with their control content.
    controls: "offers shown with control content",
    /// Questions without any id.
    nobody: "questions without any id",
    /// Offers shown that no limit can stop.
    exempt: "exempt offers shown",
    /// Steps back of the clock.
    steps_back: "steps back of the clock",
    /// Changes to and from summer time that were met.
    turns: "changes of the clocks met",
    /// Offers shown with the last good score.
    last_good: "offers shown with a last good score",
    /// Later instants at which an answer was compared with itself.
    instants: "later instants looked at",
    /// Events recorded.
    events: "events recorded",
    /// Events recognised as repeated.
    repeated_events: "repeated events recognised",
    /// Outcomes recorded.
    outcomes: "outcomes recorded",
    /// Outcomes after the reservation.
    late_outcomes: "of them late",
    /// Contacts that were cancelled.
    cancelled: "contacts cancelled",
    /// Outcomes of what had been cancelled.
    revived: "contacts reported after they were cancelled",
    /// Calls with an id that got the answer of before.
    repeats: "repeated calls answered as before",
    /// Of them such under a later catalog.
    repeats_later: "of them after a reload",
    /// Calls that were refused since their id stood for another.
    reused_ids: "calls refused for a reused id",
    /// Calls that were refused since the answer of before was gone.
    gone_answers: "calls refused since the answer was gone",
    /// Campaign runs.
    campaigns: "campaign runs",
    /// Of them those that had something scarce to give.
    planned_campaigns: "of them planned within limits",
    /// Of them those in two parts.
    resumed_campaigns: "of them broken off and resumed",
    /// Decisions of campaign runs.
    campaign_decisions: "decisions of campaign runs judged",
    /// Calls that were rejected, as they had to be.
    rejections: "calls rejected",
    /// Calls for which there was no room for another customer.
    turned_away: "calls without room for another customer",
    /// Answers that a full contact history kept empty.
    full_histories: "answers that a full contact history kept empty",
    /// Contacts that a full history dropped.
    dropped_contacts: "contacts dropped from full histories",
    /// Catalog versions put in force.
    reloads: "catalogs put in force",
    /// Customers forgotten.
    forgotten: "customers forgotten",
    /// Pairs of customers with the same events in another order.
    twins: "pairs of twins",
}
