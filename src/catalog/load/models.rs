//! Models: which groups they score, and where each input column comes from in this catalog.

use super::super::manifest::{self, Manifest};
use super::super::read::{Directory, Item, Sources};
use super::super::values::hint;
use super::super::{
    Aggregate, Attribute, AttributeType, Column, ColumnSource, Encoding, Group, ModelPlan, Schema, Shortlist,
};
use super::golden::Golden;
use super::{CatalogFiles, Loader};
use crate::catalog::diagnostic::Severity;
use crate::catalog::document::{At, Document, Report};
use crate::catalog::yaml::Span;
use crate::rules::Space;

/// What columns may name.
pub(super) struct Known<'a> {
    pub(super) profile: &'a Schema,
    pub(super) offer: &'a Schema,
    pub(super) context: &'a Schema,
    /// The aggregates, as attributes and as they are.
    pub(super) behaviour: &'a Schema,
    pub(super) aggregates: &'a [Aggregate],
    pub(super) intents: &'a Directory,
    pub(super) groups: &'a Directory,
}

/// What the value of a column is.
enum Origin<'a> {
    Attribute(&'a Attribute),
    Number,
}

/// A manifest that is in use.
struct Written<'a> {
    /// The model's name: its folder.
    name: &'a str,
    file: String,
    text: &'a str,
    /// Nothing when it has faults, which are told already.
    manifest: Option<Manifest>,
    /// Whether the catalog names it; otherwise it is only another's first stage.
    is_listed: bool,
}

impl Loader {
    /// Resolves the models, and notes at each group which one scores it. Returns the names of those that are in use.
    ///
    /// A first stage that the catalog's `models` do not name comes along, and scores no groups of its own.
    pub(super) fn models<'a>(
        &mut self,
        sources: &Sources<'_>,
        files: &'a CatalogFiles,
        known: &Known<'_>,
        groups: &mut [Group],
    ) -> (Vec<ModelPlan>, Vec<&'a str>) {
        let mut written = Vec::new();
        for Item { at, source: name } in &sources.models.items {
            let Some((name, text)) = files.models.get_key_value(name) else {
                let names = files.models.keys().map(String::as_str);
                let message = format!("there is no model `{name}`: no `models/{name}/manifest.json`");
                self.report.error_with_hint(*at, message, hint(name, names));
                continue;
            };
            written.push(self.written(name, text, true));
        }
        for at in 0..written.len() {
            let Some(by) = written[at].shortlist().map(|shortlist| &*shortlist.by) else {
                continue;
            };
            if written.iter().any(|each| each.name == by) {
                continue;
            }
            if let Some((name, text)) = files.models.get_key_value(by) {
                written.push(self.written(name, text, false));
            }
        }
        let plans = (0..written.len()).map(|position| self.model(position, &written, files, known, groups));
        let plans: Vec<_> = plans.collect();
        // Positions hold when there is no fault, and otherwise there is no catalog.
        let used = written.iter().map(|each| each.name).collect();
        (plans.into_iter().flatten().collect(), used)
    }

    fn written<'a>(&mut self, name: &'a str, text: &'a str, is_listed: bool) -> Written<'a> {
        let file = format!("models/{name}/manifest.json");
        let manifest = Manifest::parse(text).map_err(|faults| {
            let document = Document::read(&file, text, &mut Report::default());
            for fault in faults {
                let span = Span {
                    line: fault.line,
                    column: fault.column,
                    width: 1,
                };
                self.report.add(&document, span, Severity::Error, fault.message, None);
            }
        });
        Written {
            name,
            file,
            text,
            manifest: manifest.ok(),
            is_listed,
        }
    }

    /// Finds the first stage of a model; `position` is the model's own.
    fn shortlist(
        &mut self,
        at: At<'_>,
        position: usize,
        written: &[Written<'_>],
        files: &CatalogFiles,
    ) -> Option<Shortlist> {
        let model = &written[position];
        let manifest::Shortlist { by, keep } = model.shortlist()?;
        let others = || {
            files
                .models
                .keys()
                .map(String::as_str)
                .filter(|name| *name != model.name)
        };
        let Some(first) = written.iter().position(|each| each.name == by) else {
            let message = format!("there is no model `{by}`: no `models/{by}/manifest.json`");
            self.report.error_with_hint(at.key("by"), message, hint(by, others()));
            return None;
        };
        if first == position {
            let message = format!("the first stage of `{by}` is `{by}` itself, which would save nothing");
            self.report
                .error_with_hint(at.key("by"), message, "name a model that costs less");
        } else if written[first].shortlist().is_some() {
            let message = format!("the first stage `{by}` has a shortlist itself; there are two stages at most");
            let hint = format!(
                "take `shortlist` out of `{}`, or name another model",
                written[first].file
            );
            self.report.error_with_hint(at.key("by"), message, hint);
        }
        Some(Shortlist { by: first, keep: *keep })
    }

    fn model(
        &mut self,
        position: usize,
        all: &[Written<'_>],
        files: &CatalogFiles,
        known: &Known<'_>,
        groups: &mut [Group],
    ) -> Option<ModelPlan> {
        let written = &all[position];
        let manifest = written.manifest.as_ref()?;
        let document = Document::read(&written.file, written.text, &mut Report::default());
        let top = document.top();
        let shortlist = self.shortlist(top.key("shortlist"), position, all, files);
        if written.is_listed {
            let is_first_stage = || {
                let mut shortlists = all.iter().filter_map(Written::shortlist);
                shortlists.any(|shortlist| shortlist.by == written.name)
            };
            if manifest.groups.is_empty() && !is_first_stage() {
                let message = "`groups` is empty; a model scores at least one group, or is the first stage of another";
                self.report.error(top.key("groups"), message);
            }
            self.score_groups(top.key("groups"), manifest, position, known, groups);
        }
        let columns: Vec<Option<Column>> = manifest
            .columns
            .iter()
            .enumerate()
            .map(|(index, column)| self.column(top.key("columns").item(index), column, known))
            .collect();
        let columns: Vec<Column> = columns.into_iter().collect::<Option<_>>()?;
        let golden = Golden {
            known,
            manifest,
            columns: &columns,
        };
        golden.check(top.key("golden"), &self.symbols, &mut self.report);
        Some(ModelPlan {
            name: written.name.into(),
            version: manifest.version.as_str().into(),
            columns,
            shortlist,
            by_offer: Vec::new(),
        })
    }

    fn score_groups(
        &mut self,
        at: At<'_>,
        manifest: &Manifest,
        position: usize,
        known: &Known<'_>,
        groups: &mut [Group],
    ) {
        for (index, group) in manifest.groups.iter().enumerate() {
            let at = at.item(index);
            let Some(group) = known.groups.find(at, group, &mut self.report) else {
                continue;
            };
            let Some(group) = groups.get_mut(group) else { continue };
            if group.model.is_some() {
                let hint = "take it out of one manifest's `groups`, or one model out of the catalog's `models`";
                self.report
                    .error_with_hint(at, format!("two models score the group `{}`", group.id), hint);
            }
            group.model = Some(position);
        }
    }

    fn column(&mut self, at: At<'_>, written: &manifest::Column, known: &Known<'_>) -> Option<Column> {
        let from_at = at.key("from");
        let mut attribute = |space: Space, schema: &Schema, name: &str| {
            let position = schema.attributes.iter().position(|attribute| *attribute.id == *name);
            if position.is_none() && !self.doubtful.concerns(&format!("{space}.{name}")) {
                let names = schema.attributes.iter().map(|attribute| &*attribute.id);
                let message = format!(
                    "the column `{}` reads `{space}.{name}`, which the catalog has not",
                    written.name
                );
                self.report.error_with_hint(from_at, message, hint(name, names));
            }
            position
        };
        let from = match &written.source {
            manifest::Source::Profile(name) => ColumnSource::Profile(attribute(Space::Profile, known.profile, name)?),
            manifest::Source::Offer(name) => ColumnSource::Offer(attribute(Space::Offer, known.offer, name)?),
            manifest::Source::Behaviour(name) => {
                ColumnSource::Behaviour(attribute(Space::Behaviour, known.behaviour, name)?)
            }
            manifest::Source::Context(name) => ColumnSource::Context(attribute(Space::Context, known.context, name)?),
            manifest::Source::Intent(name) => {
                ColumnSource::Intent(known.intents.find(from_at, name, &mut self.report)?)
            }
            manifest::Source::Contacts { counted, scope, within } => ColumnSource::Contacts {
                counted: *counted,
                scope: *scope,
                within: *within,
            },
        };
        let encoding = self.encoding(at, written, known.origin(from)?)?;
        let clip = written.clip.map(|[low, high]| (low, high));
        Some(Column {
            from,
            encoding,
            missing: written.missing,
            clip,
            log1p: written.log1p,
        })
    }

    fn encoding(&mut self, at: At<'_>, written: &manifest::Column, origin: Origin<'_>) -> Option<Encoding> {
        let attribute = match (origin, &written.encoding) {
            (Origin::Number, manifest::Encoding::Number) => return Some(Encoding::Number),
            (Origin::Number, _) => {
                let message = format!(
                    "the column `{}` reads a number; only `number` can encode it",
                    written.name
                );
                self.report.error(at.key("as"), message);
                return None;
            }
            (Origin::Attribute(attribute), _) => attribute,
        };
        match (&written.encoding, attribute.attribute_type) {
            (manifest::Encoding::Number, AttributeType::Number)
            | (manifest::Encoding::Boolean, AttributeType::Boolean) => Some(Encoding::Number),
            (manifest::Encoding::DaysSince, AttributeType::Date) => Some(Encoding::DaysSince),
            (manifest::Encoding::Equals(value), AttributeType::Category) => {
                self.value(at.key("value"), attribute, value).map(Encoding::Equals)
            }
            (manifest::Encoding::Contains(value), AttributeType::Set) => {
                let symbol = self.value(at.key("value"), attribute, value)?;
                let bit = self
                    .symbols
                    .set_values(attribute.symbol)
                    .iter()
                    .position(|value| *value == symbol)?;
                Some(Encoding::Contains(1 << bit))
            }
            (manifest::Encoding::Ordinal { order, unknown }, AttributeType::Category) => {
                let codes = order.iter().enumerate().map(|(index, value)| {
                    let symbol = self.value(at.key("order").item(index), attribute, value)?;
                    Some((symbol, index as f32))
                });
                let codes: Vec<Option<_>> = codes.collect();
                Some(Encoding::Ordinal {
                    codes: codes.into_iter().collect::<Option<_>>()?,
                    unknown: *unknown,
                })
            }
            (_, found) => {
                let message = format!(
                    "the column `{}` reads {}, which this cannot encode",
                    written.name,
                    phrase(found)
                );
                self.report
                    .error_with_hint(at.key("as"), message, format!("use {}", encodings(found)));
                None
            }
        }
    }

    fn value(&mut self, at: At<'_>, attribute: &Attribute, value: &str) -> Option<crate::domain::symbol::Symbol> {
        let found = attribute.values.iter().find(|(name, _)| **name == *value);
        if found.is_none() {
            let names = attribute.values.iter().map(|(name, _)| &**name);
            let message = format!("`{}` has no value `{value}`", attribute.id);
            self.report.error_with_hint(at, message, hint(value, names));
        }
        found.map(|(_, symbol)| *symbol)
    }
}

impl Written<'_> {
    fn shortlist(&self) -> Option<&manifest::Shortlist> {
        self.manifest.as_ref()?.shortlist.as_ref()
    }
}

impl<'a> Known<'a> {
    fn origin(&self, from: ColumnSource) -> Option<Origin<'a>> {
        let (schema, at) = match from {
            ColumnSource::Profile(at) => (self.profile, at),
            ColumnSource::Offer(at) => (self.offer, at),
            ColumnSource::Behaviour(at) => (self.behaviour, at),
            ColumnSource::Context(at) => (self.context, at),
            ColumnSource::Intent(_) | ColumnSource::Contacts { .. } => return Some(Origin::Number),
        };
        schema.attributes.get(at).map(Origin::Attribute)
    }
}

const fn phrase(found: AttributeType) -> &'static str {
    match found {
        AttributeType::Number => "a number",
        AttributeType::Boolean => "a boolean",
        AttributeType::Category => "a category",
        AttributeType::Set => "a set",
        AttributeType::Date => "a date",
    }
}

const fn encodings(found: AttributeType) -> &'static str {
    match found {
        AttributeType::Number => "`number`",
        AttributeType::Boolean => "`boolean`",
        AttributeType::Category => "`equals` or `ordinal`",
        AttributeType::Set => "`contains`",
        AttributeType::Date => "`days_since`",
    }
}
