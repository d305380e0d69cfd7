//! Models: which groups they score, and where each input column comes from in this catalog.

use super::super::manifest::{self, Manifest};
use super::super::read::{Directory, Item, Sources};
use super::super::values::hint;
use super::super::{Aggregate, Attribute, AttributeType, Column, ColumnSource, Encoding, Group, ModelPlan, Schema};
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

impl Loader {
    /// Resolves the models, and notes at each group which one scores it. Returns the names of those that are in use.
    pub(super) fn models<'a>(
        &mut self,
        sources: &'a Sources<'_>,
        files: &CatalogFiles,
        known: &Known<'_>,
        groups: &mut [Group],
    ) -> (Vec<ModelPlan>, Vec<&'a str>) {
        let mut plans = Vec::new();
        let mut used = Vec::new();
        for Item { at, source: name } in &sources.models.items {
            let Some(text) = files.models.get(name) else {
                let names = files.models.keys().map(String::as_str);
                let message = format!("there is no model `{name}`: no `models/{name}/manifest.json`");
                self.report.error_with_hint(*at, message, hint(name, names));
                continue;
            };
            used.push(name.as_str());
            let file = format!("models/{name}/manifest.json");
            let document = Document::read(&file, text, &mut Report::default());
            if let Some(plan) = self.model(name, text, &document, known, groups, plans.len()) {
                plans.push(plan);
            }
        }
        (plans, used)
    }

    fn model(
        &mut self,
        name: &str,
        text: &str,
        document: &Document<'_>,
        known: &Known<'_>,
        groups: &mut [Group],
        position: usize,
    ) -> Option<ModelPlan> {
        let manifest = match Manifest::parse(text) {
            Ok(manifest) => manifest,
            Err(faults) => {
                for fault in faults {
                    let span = Span {
                        line: fault.line,
                        column: fault.column,
                        width: 1,
                    };
                    self.report.add(document, span, Severity::Error, fault.message, None);
                }
                return None;
            }
        };
        let top = document.top();
        for (index, group) in manifest.groups.iter().enumerate() {
            let at = top.key("groups").item(index);
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
        let columns: Vec<Option<Column>> = manifest
            .columns
            .iter()
            .enumerate()
            .map(|(index, column)| self.column(top.key("columns").item(index), column, known))
            .collect();
        let columns: Vec<Column> = columns.into_iter().collect::<Option<_>>()?;
        let golden = Golden {
            known,
            manifest: &manifest,
            columns: &columns,
        };
        golden.check(top.key("golden"), &self.symbols, &mut self.report);
        Some(ModelPlan {
            name: name.into(),
            version: manifest.version.as_str().into(),
            columns,
            by_offer: Vec::new(),
        })
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
