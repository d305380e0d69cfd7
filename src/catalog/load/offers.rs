//! Groups and offers: conditions, factors, attributes, treatments.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::tz::TimeZone;

use super::super::convert::{midnight, parse_date};
use super::super::read::{Item, Sources, check_name};
use super::super::values::hint;
use super::super::{Catalog, ContactPolicy, Group, Offer, Rule, Schema, Stages, source};
use super::{Allowed, Loader, Names};
use crate::catalog::document::At;
use crate::domain::symbol::{OfferTraits, Symbol};
use crate::domain::time::Timestamp;
use crate::domain::value::Value;
use crate::rules::{Condition, Index, IndexBuilder, Scope, Space, Variable};

/// The longest text of a treatment or fallback, in bytes: it travels in every answer.
pub(super) const CONTENT_BYTES_MAX: usize = 4_096;

/// What the conditions of offers may read.
pub(super) struct Spaces<'a> {
    pub(super) profile: &'a [Variable],
    pub(super) offer: &'a [Variable],
    pub(super) behaviour: &'a [Variable],
    pub(super) intent: &'a [Variable],
    pub(super) context: &'a [Variable],
}

impl Spaces<'_> {
    fn scope(&self) -> Scope<'_> {
        Scope::new()
            .with(Space::Profile, self.profile)
            .with(Space::Offer, self.offer)
            .with(Space::Behaviour, self.behaviour)
            .with(Space::Intent, self.intent)
            .with(Space::Context, self.context)
    }
}

/// The rules of the three stages as they are written.
type Written<'a> = [(&'static str, &'a [source::Rule]); 3];

impl Loader {
    pub(super) fn groups(&mut self, sources: &Sources<'_>, names: &Names, spaces: &Spaces<'_>) -> Vec<Group> {
        let mut groups = Vec::new();
        for Item { at, source } in &sources.groups.items {
            self.number(
                at.key("start_propensity"),
                "start_propensity",
                source.start_propensity,
                Allowed::Share,
            );
            self.number(at.key("value"), "value", source.value, Allowed::NotNegative);
            self.number(at.key("lever"), "lever", source.lever, Allowed::Positive);
            self.weights(at.key("intents"), &source.intents, names);
            self.labels(at.key("labels"), &source.labels);
            let written: Written<'_> = [
                ("eligibility", &source.eligibility),
                ("applicability", &source.applicability),
                ("suitability", &source.suitability),
            ];
            groups.push(Group {
                id: source.id.as_str().into(),
                symbol: self.symbols.intern(&source.id),
                name: source.name.as_str().into(),
                stages: self.stages(*at, &source.id, &written, spaces),
                purpose: self.purpose(*at, source.purpose.as_ref(), names),
                model: None,
            });
        }
        groups
    }

    pub(super) fn offers(
        &mut self,
        sources: &Sources<'_>,
        names: &Names,
        spaces: &Spaces<'_>,
        schema: &Schema,
        zone: &TimeZone,
    ) -> Vec<Offer> {
        let mut offers = Vec::new();
        for item in &sources.offers.items {
            let group = names
                .groups
                .find(item.at.key("group"), &item.source.group, &mut self.report);
            let group = group.and_then(|at| Some((at, &sources.groups.items.get(at)?.source)));
            offers.push(self.offer(item, group, names, spaces, schema, zone));
        }
        offers
    }

    fn offer(
        &mut self,
        item: &Item<'_, source::Offer>,
        group: Option<(usize, &source::Group)>,
        names: &Names,
        spaces: &Spaces<'_>,
        schema: &Schema,
        zone: &TimeZone,
    ) -> Offer {
        let Item { at, source } = item;
        let (position, group) = group.unzip();
        let written: Written<'_> = [
            ("eligibility", &source.eligibility),
            ("applicability", &source.applicability),
            ("suitability", &source.suitability),
        ];
        self.labels(at.key("labels"), &source.labels);
        self.weights(at.key("intents"), &source.intents, names);
        let propensity = source
            .start_propensity
            .or(group.map(|group| group.start_propensity))
            .unwrap_or_default();
        if source.start_propensity.is_some() {
            self.number(
                at.key("start_propensity"),
                "start_propensity",
                propensity,
                Allowed::Share,
            );
        }
        let value = source.value.or(group.map(|group| group.value)).unwrap_or(1.0);
        if source.value.is_some() {
            self.number(at.key("value"), "value", value, Allowed::NotNegative);
        }
        let lever = source.lever.or(group.map(|group| group.lever)).unwrap_or(1.0);
        if source.lever.is_some() {
            self.number(at.key("lever"), "lever", lever, Allowed::Positive);
        }
        let contact_policy = source.contact_policy.or(group.and_then(|group| group.contact_policy));
        let (valid_from, valid_until) = self.validity(at.key("valid"), &source.valid, zone);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a propensity is 0 to 1 and scored in 32 bits"
        )]
        let start_propensity = propensity as f32;
        Offer {
            id: source.id.as_str().into(),
            symbol: self.symbols.intern(&source.id),
            name: source.name.as_str().into(),
            group: position.unwrap_or_default(),
            labels: self.joined_labels(group, source),
            contact_policy: contact_policy.unwrap_or_default(),
            valid_from,
            valid_until,
            attributes: self.offer_attributes(at.key("attributes"), &source.attributes, schema),
            start_propensity,
            value,
            lever,
            intents: joined_weights(group, source, names),
            stages: self.stages(*at, &source.id, &written, spaces),
            treatments: self.treatments(item, names),
            purpose: self
                .purpose(*at, source.purpose.as_ref(), names)
                .or_else(|| inherited(group, names)),
            control: self.control(*at, &source.control),
        }
    }

    /// Notes what contacts with the offers count by, for the day when they leave the catalog.
    pub(super) fn note_traits(&mut self, groups: &[Group], offers: &[Offer]) {
        for offer in offers {
            let Some(group) = groups.get(offer.group) else { continue };
            let traits = OfferTraits {
                group: group.symbol,
                labels: offer.labels.clone(),
                is_uncounted: offer.contact_policy == ContactPolicy::ExemptUncounted,
            };
            self.symbols.note_offer(offer.symbol, traits);
        }
    }

    fn stages(&mut self, at: At<'_>, owner: &str, written: &Written<'_>, spaces: &Spaces<'_>) -> Stages {
        let mut known = BTreeSet::new();
        let [eligibility, applicability, suitability] = written.map(|(stage, rules)| {
            let mut compiled = Vec::new();
            for (index, rule) in rules.iter().enumerate() {
                let at = at.key(stage).item(index);
                check_name(at.key("id"), "rule", &rule.id, &mut self.report);
                if !known.insert(rule.id.as_str()) {
                    let hint = "explanations name rules by `<group or offer>.<rule>`";
                    let message = format!("there are two rules `{}` in `{owner}`", rule.id);
                    self.report.error_with_hint(at.key("id"), message, hint);
                }
                let Some(condition) = self.compiled(at.key("when"), &rule.when, spaces) else {
                    continue;
                };
                compiled.push(Rule {
                    id: format!("{owner}.{}", rule.id).into(),
                    condition,
                    because: rule.because.as_str().into(),
                });
            }
            compiled
        });
        Stages {
            eligibility,
            applicability,
            suitability,
        }
    }

    /// Compiles the condition of a rule, unless another rule has the same.
    fn compiled(&mut self, at: At<'_>, text: &str, spaces: &Spaces<'_>) -> Option<Arc<Condition>> {
        if let Some(known) = self.compiled.get(text) {
            return Some(Arc::clone(known));
        }
        let condition = Arc::new(self.condition(at, text, &spaces.scope())?);
        self.compiled.insert(text.to_owned(), Arc::clone(&condition));
        Some(condition)
    }

    fn labels(&mut self, at: At<'_>, labels: &[String]) {
        for (index, label) in labels.iter().enumerate() {
            check_name(at.item(index), "label", label, &mut self.report);
        }
    }

    fn joined_labels(&mut self, group: Option<&source::Group>, offer: &source::Offer) -> Vec<Symbol> {
        let inherited = group.into_iter().flat_map(|group| &group.labels);
        let labels: BTreeSet<Symbol> = inherited
            .chain(&offer.labels)
            .map(|label| self.symbols.intern(label))
            .collect();
        labels.into_iter().collect()
    }

    fn weights(&mut self, at: At<'_>, weights: &BTreeMap<String, f64>, names: &Names) {
        for (intent, weight) in weights {
            names.intents.find(at.name_of(intent), intent, &mut self.report);
            self.number(at.key(intent), intent, *weight, Allowed::NotNegative);
        }
    }

    fn validity(&mut self, at: At<'_>, valid: &source::Validity, zone: &TimeZone) -> (Timestamp, Timestamp) {
        let mut day = |key: &str, text: &Option<String>| {
            let text = text.as_deref()?;
            let date = parse_date(text);
            if date.is_none() {
                let message = format!("`{text}` is not a date");
                self.report
                    .error_with_hint(at.key(key), message, "write it as `YYYY-MM-DD`, as in `2026-03-31`");
            }
            date
        };
        let (from, until) = (day("from", &valid.from), day("until", &valid.until));
        if let (Some(from), Some(until)) = (from, until)
            && from > until
        {
            let message = format!("the offer ends on {until}, before it begins on {from}");
            self.report.error(at.key("until"), message);
        }
        let begin = from
            .and_then(|date| midnight(date, zone))
            .unwrap_or(Timestamp::FAR_PAST);
        let day_after = until.and_then(|date| date.tomorrow().ok());
        let end = day_after
            .and_then(|date| midnight(date, zone))
            .unwrap_or(Timestamp::FAR_FUTURE);
        (begin, end)
    }

    fn offer_attributes(
        &mut self,
        at: At<'_>,
        given: &BTreeMap<String, serde_json::Value>,
        schema: &Schema,
    ) -> Vec<Value> {
        let mut values = vec![Value::Missing; schema.attributes.len()];
        for (id, json) in given {
            let Some(position) = schema.attributes.iter().position(|attribute| *attribute.id == **id) else {
                if !self.doubtful.concerns(&format!("offer.{id}")) {
                    let names = schema.attributes.iter().map(|attribute| &*attribute.id);
                    let hint = hint(id, names);
                    self.report
                        .error_with_hint(at.name_of(id), format!("offers have no attribute `{id}`"), hint);
                }
                continue;
            };
            match schema.attributes[position].json(json, &self.symbols) {
                Ok(value) => values[position] = value,
                Err(fault) => self.misfit(at.key(id), id, fault),
            }
        }
        values
    }

    fn treatments(
        &mut self,
        item: &Item<'_, source::Offer>,
        names: &Names,
    ) -> Vec<Option<BTreeMap<Arc<str>, Arc<str>>>> {
        let at = item.at.key("treatments");
        if item.source.treatments.is_empty() {
            let hint = "write the texts for at least one channel";
            let message = format!(
                "the offer `{}` has no treatment, so it can never be shown",
                item.source.id
            );
            self.report.error_with_hint(at, message, hint);
        }
        let mut treatments = vec![None; names.channels.len()];
        for (channel, content) in &item.source.treatments {
            let at_channel = at.key(channel);
            if content.is_empty() {
                self.report
                    .error(at_channel, format!("the treatment for `{channel}` has no content"));
            }
            let content = self.content(at_channel, content);
            if let Some(position) = names.channels.find(at.name_of(channel), channel, &mut self.report) {
                treatments[position] = Some(content);
            }
        }
        treatments
    }

    /// Checks the texts of a treatment or of a placement's fallback.
    pub(super) fn content(&mut self, at: At<'_>, content: &BTreeMap<String, String>) -> BTreeMap<Arc<str>, Arc<str>> {
        for (key, text) in content {
            if text.len() > CONTENT_BYTES_MAX {
                let message = format!(
                    "the text has {} bytes; at most {CONTENT_BYTES_MAX} are allowed",
                    text.len()
                );
                self.report.error(at.key(key), message);
            }
            if text.contains(|each: char| each.is_control() && each != '\n') {
                self.report
                    .error(at.key(key), "the text has a character that cannot be printed");
            }
        }
        content
            .iter()
            .map(|(key, text)| (key.as_str().into(), text.as_str().into()))
            .collect()
    }
}

/// Returns the purpose of an offer that names none: its group's.
fn inherited(group: Option<&source::Group>, names: &Names) -> Option<usize> {
    names.purposes.position(group?.purpose.as_ref()?)
}

/// Joins the group's weights with the offer's, which win; a weight of 0 is as good as none.
fn joined_weights(group: Option<&source::Group>, offer: &source::Offer, names: &Names) -> Vec<(usize, f64)> {
    let mut weights: BTreeMap<usize, f64> = BTreeMap::new();
    let inherited = group.into_iter().flat_map(|group| &group.intents);
    for (intent, weight) in inherited.chain(&offer.intents) {
        weights.extend(names.intents.position(intent).map(|position| (position, *weight)));
    }
    weights.into_iter().filter(|(_, weight)| *weight != 0.0).collect()
}

/// Builds the index over the dates and conditions of all offers, those of their groups among them.
pub(super) fn gate(catalog: &Catalog) -> Index {
    let mut index = IndexBuilder::new(catalog.offers.len());
    for (row, offer) in (0_u16..).zip(&catalog.offers) {
        index.need_between(row, offer.valid_from, offer.valid_until);
        let group = &catalog.groups[offer.group];
        for rule in group.stages.rules().chain(offer.stages.rules()) {
            index.need(row, &rule.condition, &offer.attributes);
        }
    }
    index.build()
}
