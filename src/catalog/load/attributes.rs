//! The schema: attributes of customers, offers, requests and events, as values and as variables of conditions.

use std::collections::HashSet;

use super::super::read::{Item, Listed, Sources};
use super::super::{Attribute, AttributeType, Channel, EventType, Schema, source};
use super::{ITEMS_MAX, Loader};
use crate::catalog::document::At;
use crate::domain::symbol::{SET_VALUES_MAX, Symbol};
use crate::rules::{Kind, Space, Variable};

/// The longest value of a category or set, in bytes.
pub(super) const VALUE_BYTES_MAX: usize = 128;

/// The schemas of everything that conditions read.
pub(super) struct Schemas {
    pub(super) profile: Schema,
    pub(super) offer: Schema,
    pub(super) context: Schema,
    pub(super) events: Vec<EventType>,
}

impl Loader {
    pub(super) fn schemas(&mut self, sources: &Sources<'_>, channels: &[Channel], places: &[Symbol]) -> Schemas {
        let channel_values = channels
            .iter()
            .map(|channel| (channel.id.clone(), channel.symbol))
            .collect();
        let channel = self.built_in("channel", "The channel.", channel_values);
        let place_values = places
            .iter()
            .map(|&place| (self.symbols.name(place).into(), place))
            .collect();
        let place = self.built_in("place", "The page, branch or screen.", place_values);
        let mut profile = Schema::default();
        self.attributes(&mut profile, &sources.profile, &[], Space::Profile);
        let mut offer = Schema::default();
        self.attributes(&mut offer, &sources.offer_attributes, &[], Space::Offer);
        let mut context = Schema::default();
        context.add(channel.clone(), &self.symbols);
        self.attributes(&mut context, &sources.context, &["channel"], Space::Context);
        let channels_in_doubt = !sources.channels.faulty.is_empty() || sources.channels.incomplete;
        let places_in_doubt = !sources.places.faulty.is_empty() || sources.places.incomplete;
        for (in_doubt, name) in [
            (channels_in_doubt, "context.channel"),
            (channels_in_doubt, "event.channel"),
            (places_in_doubt, "event.place"),
        ] {
            if in_doubt {
                self.doubtful.names.insert(name.to_owned());
            }
        }
        let events = sources
            .events
            .items
            .iter()
            .map(|item| self.event_type(item, [&channel, &place]))
            .collect();
        Schemas {
            profile,
            offer,
            context,
            events,
        }
    }

    /// Adds the attributes of one space to its schema.
    fn attributes(
        &mut self,
        schema: &mut Schema,
        listed: &Listed<'_, source::Attribute>,
        built_in: &[&str],
        space: Space,
    ) {
        self.doubtful
            .add(space, &listed.directory("attribute", |each| &each.id));
        for Item { at, source } in &listed.items {
            if built_in.contains(&source.id.as_str()) {
                let hint = "choose another id, or remove it";
                self.report
                    .error_with_hint(at.key("id"), format!("`{space}.{}` is always there", source.id), hint);
                self.doubtful.spaces.insert(space.name());
                continue;
            }
            if let Some(attribute) = self.attribute(*at, source) {
                schema.add(attribute, &self.symbols);
            } else {
                self.doubtful.names.insert(format!("{space}.{}", source.id));
            }
        }
    }

    fn event_type(&mut self, item: &Item<'_, source::EventType>, built_in: [&Attribute; 2]) -> EventType {
        let mut schema = Schema::default();
        let mut known = HashSet::new();
        for (index, source) in item.source.attributes.iter().enumerate() {
            let at = item.at.key("attributes").item(index);
            crate::catalog::read::check_name(at.key("id"), "event attribute", &source.id, &mut self.report);
            if built_in.iter().any(|attribute| *attribute.id == *source.id) {
                let hint = "choose another id, or remove it";
                self.report
                    .error_with_hint(at.key("id"), format!("`event.{}` is always there", source.id), hint);
                self.doubtful.spaces.insert(Space::Event.name());
            } else if !known.insert(source.id.as_str()) {
                self.report.error(
                    at.key("id"),
                    format!("there are two attributes `{}` of this event type", source.id),
                );
                self.doubtful.spaces.insert(Space::Event.name());
            } else if let Some(attribute) = self.attribute(at, source) {
                schema.add(attribute, &self.symbols);
            } else {
                self.doubtful.names.insert(format!("event.{}", source.id));
            }
        }
        for attribute in built_in {
            schema.add(attribute.clone(), &self.symbols);
        }
        EventType {
            id: item.source.id.as_str().into(),
            symbol: self.symbols.intern(&item.source.id),
            schema,
            feeds_aggregates: Vec::new(),
            feeds_intents: Vec::new(),
        }
    }

    /// Makes an attribute; nothing when its values or its range are faulty.
    fn attribute(&mut self, at: At<'_>, source: &source::Attribute) -> Option<Attribute> {
        let errors = self.report.errors();
        let symbol = self.symbols.intern(&source.id);
        let has_values = matches!(source.attribute_type, AttributeType::Category | AttributeType::Set);
        if has_values && source.values.is_empty() {
            self.report.error(
                at.key("values"),
                format!("`{}` needs `values`: the list of what it can be", source.id),
            );
        }
        if !has_values && !source.values.is_empty() {
            let hint = "remove them, or make it a category or a set";
            let message = format!("`{}` is no category or set, so it has no `values`", source.id);
            self.report.error_with_hint(at.name_of("values"), message, hint);
        }
        let limit = if source.attribute_type == AttributeType::Set {
            SET_VALUES_MAX
        } else {
            ITEMS_MAX
        };
        if has_values && source.values.len() > limit {
            let message = format!(
                "`{}` has {} values; at most {limit} are allowed",
                source.id,
                source.values.len()
            );
            self.report.error(at.name_of("values"), message);
        }
        let values = if has_values {
            self.values(at.key("values"), source, symbol)
        } else {
            Vec::new()
        };
        let range = source.range.map(|[low, high]| (low, high));
        match range {
            Some(_) if source.attribute_type != AttributeType::Number => {
                self.report.error(
                    at.name_of("range"),
                    format!("`{}` is not a number, so it has no `range`", source.id),
                );
            }
            Some((low, high)) if low > high => {
                let hint = "write the lowest number first";
                self.report.error_with_hint(
                    at.key("range"),
                    format!("the range from {low} to {high} is empty"),
                    hint,
                );
            }
            _ => {}
        }
        (self.report.errors() == errors).then(|| Attribute {
            id: source.id.as_str().into(),
            symbol,
            attribute_type: source.attribute_type,
            description: source.description.as_str().into(),
            values,
            range,
        })
    }

    fn values(&mut self, at: At<'_>, source: &source::Attribute, symbol: Symbol) -> Vec<(std::sync::Arc<str>, Symbol)> {
        let mut known = HashSet::new();
        let mut values = Vec::new();
        for (index, value) in source.values.iter().enumerate().take(ITEMS_MAX) {
            let at = at.item(index);
            let printable =
                !value.is_empty() && value.trim() == value && !value.contains(|each: char| each.is_control());
            if !printable || value.len() > VALUE_BYTES_MAX {
                let message = format!("a value has 1 to {VALUE_BYTES_MAX} printable bytes and no blanks around it");
                self.report.error(at, message);
            } else if !known.insert(value) {
                self.report.error(at, format!("the value `{value}` stands here twice"));
            } else {
                let value_symbol = self.symbols.intern(value);
                let is_set = source.attribute_type == AttributeType::Set && source.values.len() <= SET_VALUES_MAX;
                if is_set && self.symbols.set_bit(symbol, value_symbol).is_none() {
                    let hint =
                        "values that were removed keep their places while the engine runs; use a new attribute id";
                    let message = format!("`{}` had {SET_VALUES_MAX} other values already", source.id);
                    self.report.error_with_hint(at, message, hint);
                }
                values.push((value.as_str().into(), value_symbol));
            }
        }
        values
    }

    fn built_in(&mut self, id: &str, description: &str, values: Vec<(std::sync::Arc<str>, Symbol)>) -> Attribute {
        Attribute {
            id: id.into(),
            symbol: self.symbols.intern(id),
            attribute_type: AttributeType::Category,
            description: description.into(),
            values,
            range: None,
        }
    }
}

impl Schema {
    /// Adds an attribute and its variable.
    pub(super) fn add(&mut self, attribute: Attribute, symbols: &crate::domain::symbol::Symbols) {
        self.positions.insert(attribute.symbol, self.attributes.len());
        self.variables.push(attribute.variable(symbols));
        self.attributes.push(attribute);
    }
}

impl Attribute {
    /// Returns the attribute as conditions see it.
    pub(super) fn variable(&self, symbols: &crate::domain::symbol::Symbols) -> Variable {
        let named = |&(ref name, symbol): &(std::sync::Arc<str>, Symbol)| (name.as_ref().to_owned(), symbol);
        // A value that an earlier version had keeps its bit, but has no name any more.
        let bits = |&symbol: &Symbol| {
            let is_value = self.values.iter().any(|(_, value)| *value == symbol);
            let name = if is_value { symbols.name(symbol) } else { "(removed)" };
            (name.to_owned(), symbol)
        };
        let (kind, values) = match self.attribute_type {
            AttributeType::Number => (Kind::Number, Vec::new()),
            AttributeType::Boolean => (Kind::Boolean, Vec::new()),
            AttributeType::Date => (Kind::Time, Vec::new()),
            AttributeType::Category => (Kind::Category, self.values.iter().map(named).collect()),
            AttributeType::Set => (Kind::Set, symbols.set_values(self.symbol).iter().map(bits).collect()),
        };
        Variable {
            name: self.id.as_ref().to_owned(),
            kind,
            values,
        }
    }
}
