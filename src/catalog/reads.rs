//! What a ranking reads of a profile and a request.

use crate::domain::symbol::Symbol;
use crate::rules::Space;

use super::{AggregateKind, Catalog, ColumnSource, Stages};

/// What the ranked list of a customer can depend on: what a condition of a group or an offer, a column of a model, or a context weight reads.
/// Whatever else changes leaves a cached list as it is, except contacts: which of those a column counts is asked where they
/// change. (What stops an offer later, such as limits and consent, is asked in every
/// decision and is no part of the list.)
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    /// By the attribute's position in [`Catalog::profile`].
    pub attributes: Vec<bool>,
    /// By the aggregate's position.
    pub aggregates: Vec<bool>,
    /// By the intent's position.
    pub intents: Vec<bool>,
    /// The positions of the context variables, in order.
    pub context: Vec<usize>,
    /// Whether one of the aggregates counts sessions, which every event with a session feeds.
    pub sessions: bool,
}

impl Reads {
    pub(super) fn of(catalog: &Catalog) -> Self {
        let mut reads = Self {
            attributes: vec![false; catalog.profile.attributes.len()],
            aggregates: vec![false; catalog.aggregates.len()],
            intents: vec![false; catalog.intents.len()],
            ..Self::default()
        };
        let mut context = vec![false; catalog.context.attributes.len()];
        let mut note = |space: Space, at: usize| {
            let read = match space {
                Space::Profile => &mut reads.attributes,
                Space::Behaviour => &mut reads.aggregates,
                Space::Intent => &mut reads.intents,
                Space::Context => &mut context,
                // Known when the catalog is loaded, and before a profile is changed.
                Space::Offer | Space::Event => return,
            };
            read[at] = true;
        };
        let groups = catalog.groups.iter().map(|group| &group.stages);
        let stages = groups.chain(catalog.offers.iter().map(|offer| &offer.stages));
        for &(space, at) in stages.flat_map(Stages::rules).flat_map(|rule| rule.condition.reads()) {
            note(space, usize::from(at));
        }
        for column in catalog.models.iter().flat_map(|model| &model.columns) {
            match column.from {
                ColumnSource::Profile(at) => note(Space::Profile, at),
                ColumnSource::Behaviour(at) => note(Space::Behaviour, at),
                ColumnSource::Intent(at) => note(Space::Intent, at),
                ColumnSource::Context(at) => note(Space::Context, at),
                // Which contacts a model counts is asked where they change.
                ColumnSource::Offer(_) | ColumnSource::Contacts { .. } => {}
            }
        }
        for &(at, _) in catalog.worth.weights.iter().flatten() {
            note(Space::Intent, at);
        }
        let mut aggregates = catalog.aggregates.iter().zip(&reads.aggregates);
        reads.sessions = aggregates.any(|(aggregate, &is_read)| is_read && aggregate.kind == AggregateKind::Sessions);
        reads.context = (0..context.len()).filter(|&at| context[at]).collect();
        reads
    }
}

impl Catalog {
    /// Tells whether a list may depend on the attribute; not on one that this catalog does not have.
    #[must_use]
    pub fn reads_attribute(&self, attribute: Symbol) -> bool {
        let position = self.profile.positions.get(attribute);
        position.is_some_and(|at| self.reads.attributes[at])
    }
}
