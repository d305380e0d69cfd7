//! Aggregates and intents: what is kept of behaviour, and which events feed it.

use std::collections::HashMap;

use super::super::read::{Item, Sources};
use super::super::values::hint;
use super::super::{
    Aggregate, AggregateKind, Attribute, AttributeType, EventType, Intent, Schema, Signal, duration, source,
};
use super::{Allowed, ITEMS_MAX, Loader, Names};
use crate::catalog::document::At;
use crate::domain::symbol::Symbol;
use crate::domain::time::Millis;
use crate::rules::{Condition, Kind, Scope, Space, Variable};

/// The most steps that make up a window: each costs memory for every customer who is active in it.
pub(super) const STEPS_MAX: i64 = 64;

/// The shortest step: a ranking holds at most that long once a feature with this step matters.
pub(super) const STEP_MIN: Millis = Millis::MINUTE;

/// The compiled aggregates.
pub(super) struct Aggregates {
    pub(super) aggregates: Vec<Aggregate>,
    /// The same as attributes, for model columns; parallel.
    pub(super) attributes: Schema,
}

/// The compiled intents.
pub(super) struct Intents {
    pub(super) intents: Vec<Intent>,
    pub(super) variables: Vec<Variable>,
}

/// The time settings of an aggregate.
#[derive(Clone, Copy)]
struct Window {
    step: Millis,
    steps: i64,
}

impl Loader {
    /// Compiles the aggregates, spreads them out by their categories, and notes at each event type what it feeds.
    pub(super) fn aggregates(
        &mut self,
        sources: &Sources<'_>,
        mut events: Vec<EventType>,
        names: &Names,
    ) -> (Aggregates, Vec<EventType>) {
        self.doubtful.add(
            Space::Behaviour,
            &sources.aggregates.directory("aggregate", |each| &each.id),
        );
        let mut compiled = Aggregates {
            aggregates: Vec::new(),
            attributes: Schema::default(),
        };
        let mut places: HashMap<String, At<'_>> = HashMap::new();
        for item in &sources.aggregates.items {
            let errors = self.report.errors();
            let event = self.event_of(item, names);
            let made = self.aggregate(item, event.and_then(|at| events.get(at)));
            if self.report.errors() > errors || made.is_empty() {
                self.doubtful.names.insert(format!("behaviour.{}", item.source.id));
                if item.source.by.is_some() {
                    self.doubtful.spaces.insert(Space::Behaviour.name());
                }
            }
            for (aggregate, attribute) in made {
                let id = aggregate.id.as_ref().to_owned();
                if let Some(earlier) = places.insert(id, item.at) {
                    let message = format!("there are two aggregates `{}`", aggregate.id);
                    let hint = format!("the other comes from {}:{}", earlier.file(), earlier.line());
                    self.report.error_with_hint(item.at.key("id"), message, hint);
                }
                let position = compiled.aggregates.len();
                match event {
                    Some(at) => events[at].feeds_aggregates.push(position),
                    None => events
                        .iter_mut()
                        .for_each(|event| event.feeds_aggregates.push(position)),
                }
                compiled.aggregates.push(aggregate);
                compiled.attributes.add(attribute, &self.symbols);
            }
        }
        if compiled.aggregates.len() > ITEMS_MAX {
            let message = format!(
                "there are {} aggregates; at most {ITEMS_MAX} are allowed",
                compiled.aggregates.len()
            );
            self.report.file_error("(all files)", message, None);
        }
        (compiled, events)
    }

    /// Returns the position of the event type that feeds an aggregate; nothing for `sessions` or when it is faulty.
    fn event_of(&mut self, item: &Item<'_, source::Aggregate>, names: &Names) -> Option<usize> {
        let source = &item.source;
        match (&source.of, source.keep) {
            (Some(_), AggregateKind::Sessions) => {
                let hint = "every event with a session id counts; remove `of`";
                self.report
                    .error_with_hint(item.at.name_of("of"), "`sessions` is not kept of one event type", hint);
                None
            }
            (None, AggregateKind::Sessions) => None,
            (Some(event), _) => names.events.find(item.at.key("of"), event, &mut self.report),
            (None, _) => {
                self.report.error(
                    item.at.key("keep"),
                    "the key `of` is missing here: the event type that is kept",
                );
                None
            }
        }
    }

    /// Compiles one aggregate; several when it is spread out by a category, none when it is faulty.
    fn aggregate(
        &mut self,
        item: &Item<'_, source::Aggregate>,
        event: Option<&EventType>,
    ) -> Vec<(Aggregate, Attribute)> {
        let source = &item.source;
        let window = self.window(item);
        self.refuse_unused_keys(item);
        if source.keep != AggregateKind::Sessions && event.is_none() {
            return Vec::new();
        }
        let attribute = event.and_then(|event| self.kept_attribute(item, event));
        let needs_attribute = matches!(source.keep, AggregateKind::Sum | AggregateKind::Last);
        let condition = self.event_condition(item.at, source.condition.as_deref(), event);
        let by = event.and_then(|event| self.category(item, event));
        let (Some(window), Ok(condition)) = (window, condition) else {
            return Vec::new();
        };
        if (needs_attribute && attribute.is_none()) || (source.by.is_some() && by.is_none()) {
            return Vec::new();
        }
        let kept = attribute.and_then(|at| event.map(|event| &event.schema.attributes[at]));
        let make = |loader: &mut Self, id: String, by: Option<(usize, Symbol)>| {
            loader.one_aggregate(id, source, window, condition.clone(), (attribute, kept), by)
        };
        match by.zip(event) {
            None => vec![make(self, source.id.clone(), None)],
            Some((by, event)) => event.schema.attributes[by]
                .values
                .iter()
                .map(|(name, value)| make(self, format!("{}_{}", source.id, identifier(name)), Some((by, *value))))
                .collect(),
        }
    }

    fn one_aggregate(
        &mut self,
        id: String,
        source: &source::Aggregate,
        window: Window,
        condition: Option<Condition>,
        (attribute, kept): (Option<usize>, Option<&Attribute>),
        by: Option<(usize, Symbol)>,
    ) -> (Aggregate, Attribute) {
        let number = Attribute {
            id: id.as_str().into(),
            symbol: self.symbols.intern(&id),
            attribute_type: AttributeType::Number,
            description: source.description.as_str().into(),
            values: Vec::new(),
            range: None,
        };
        let seen = match kept {
            Some(kept) if source.keep == AggregateKind::Last => Attribute {
                id: number.id,
                description: number.description,
                ..kept.clone()
            },
            _ => number,
        };
        let aggregate = Aggregate {
            symbol: self.symbols.intern(&format!(
                "{id}@{}/{}/{:08x}",
                kind_name(source.keep),
                window.step.get(),
                meaning(source)
            )),
            id: id.into(),
            kind: source.keep,
            condition,
            attribute,
            by,
            step: window.step,
            steps: window.steps,
        };
        (aggregate, seen)
    }

    /// Finds the attribute that is summed or kept.
    fn kept_attribute(&mut self, item: &Item<'_, source::Aggregate>, event: &EventType) -> Option<usize> {
        let source = &item.source;
        let wanted = source.attribute.as_deref()?;
        let position = self.event_attribute(item.at.key("attribute"), event, wanted)?;
        let found = &event.schema.attributes[position];
        if source.keep == AggregateKind::Sum && found.attribute_type != AttributeType::Number {
            let message = format!("`{wanted}` is not a number, so it cannot be summed");
            self.report.error(item.at.key("attribute"), message);
            return None;
        }
        Some(position)
    }

    /// Finds the category by which an aggregate is spread out.
    fn category(&mut self, item: &Item<'_, source::Aggregate>, event: &EventType) -> Option<usize> {
        let wanted = item.source.by.as_deref()?;
        let position = self.event_attribute(item.at.key("by"), event, wanted)?;
        if event.schema.attributes[position].attribute_type != AttributeType::Category {
            let message = format!("`{wanted}` is not a category; only a category has values to keep apart");
            self.report.error(item.at.key("by"), message);
            return None;
        }
        Some(position)
    }

    fn event_attribute(&mut self, at: At<'_>, event: &EventType, wanted: &str) -> Option<usize> {
        let position = event
            .schema
            .attributes
            .iter()
            .position(|attribute| *attribute.id == *wanted);
        if position.is_none() && !self.doubtful.concerns(&format!("event.{wanted}")) {
            let names = event.schema.attributes.iter().map(|attribute| &*attribute.id);
            let message = format!("events of type `{}` have no attribute `{wanted}`", event.id);
            self.report.error_with_hint(at, message, hint(wanted, names));
        }
        position
    }

    /// Compiles the condition of an aggregate or signal. `Ok(None)` when there is none.
    fn event_condition(
        &mut self,
        at: At<'_>,
        text: Option<&str>,
        event: Option<&EventType>,
    ) -> Result<Option<Condition>, ()> {
        let (Some(text), Some(event)) = (text, event) else {
            return Ok(None);
        };
        let scope = Scope::new().with(Space::Event, &event.schema.variables);
        self.condition(at.key("where"), text, &scope).map(Some).ok_or(())
    }

    fn refuse_unused_keys(&mut self, item: &Item<'_, source::Aggregate>) {
        let source = &item.source;
        let keep = source.keep;
        let has_window = matches!(
            keep,
            AggregateKind::Count | AggregateKind::Sum | AggregateKind::Sessions
        );
        let has_attribute = matches!(keep, AggregateKind::Sum | AggregateKind::Last);
        let unused = [
            ("attribute", source.attribute.is_some() && !has_attribute),
            ("within", source.within.is_some() && !has_window),
            ("step", source.step.is_some() && keep == AggregateKind::Last),
            ("by", source.by.is_some() && keep == AggregateKind::Sessions),
            ("where", source.condition.is_some() && keep == AggregateKind::Sessions),
        ];
        for (key, _) in unused.into_iter().filter(|(_, unused)| *unused) {
            let message = format!("`{key}` has no meaning with `keep: {}`", kind_name(keep));
            self.report.error_with_hint(item.at.name_of(key), message, "remove it");
        }
        if has_attribute && source.attribute.is_none() {
            let message = format!(
                "the key `attribute` is missing here: what `keep: {}` is about",
                kind_name(keep)
            );
            self.report.error(item.at.key("keep"), message);
        }
    }

    fn window(&mut self, item: &Item<'_, source::Aggregate>) -> Option<Window> {
        let source = &item.source;
        let within = match source.within.as_deref() {
            Some(within) => Some(self.span(item.at.key("within"), within)?),
            None => None,
        };
        let step = match source.step.as_deref() {
            Some(step) => self.span(item.at.key("step"), step)?,
            None => natural_step(within.unwrap_or(Millis::DAY)),
        };
        if step < STEP_MIN {
            self.report.error(item.at.key("step"), "a step is at least `1m`");
            return None;
        }
        match (source.keep, within) {
            (AggregateKind::Recency | AggregateKind::Last, _) => Some(Window { step, steps: 0 }),
            (keep, None) => {
                let message = format!(
                    "the key `within` is missing here: the window of `keep: {}`",
                    kind_name(keep)
                );
                self.report
                    .error_with_hint(item.at.key("keep"), message, "as in `within: 7d`");
                None
            }
            (_, Some(within)) => self.steps(item.at, within, step),
        }
    }

    fn steps(&mut self, at: At<'_>, within: Millis, step: Millis) -> Option<Window> {
        let steps = within.get() / step.get();
        if within.get() % step.get() != 0 {
            let hint = "choose a step that fits into `within` a whole number of times";
            self.report
                .error_with_hint(at.key("within"), "the window is not a whole number of steps", hint);
            return None;
        }
        if steps > STEPS_MAX {
            let days = (within.get() / STEPS_MAX + Millis::DAY.get() - 1) / Millis::DAY.get();
            let hint = format!("choose a longer step, as in `step: {days}d`");
            let message = format!("the window has {steps} steps; at most {STEPS_MAX} are kept");
            self.report.error_with_hint(at.key("within"), message, hint);
            return None;
        }
        Some(Window { step, steps })
    }

    /// Compiles the intents, and notes at each event type what it feeds.
    pub(super) fn intents(&mut self, sources: &Sources<'_>, events: &mut [EventType], names: &Names) -> Intents {
        self.doubtful.add(Space::Intent, &names.intents);
        let mut compiled = Intents {
            intents: Vec::new(),
            variables: Vec::new(),
        };
        for (position, item) in sources.intents.items.iter().enumerate() {
            let source = &item.source;
            self.number(
                item.at.key("strength_max"),
                "strength_max",
                source.strength_max,
                Allowed::Positive,
            );
            if source.from.is_empty() {
                self.report.error(
                    item.at.key("from"),
                    format!("no event shows the intent `{}`", source.id),
                );
            }
            let mut signals = Vec::new();
            for (index, signal) in source.from.iter().enumerate() {
                let at = item.at.key("from").item(index);
                if let Some((event, signal)) = self.signal(at, signal, events, names) {
                    events[event].feeds_intents.push((position, signals.len()));
                    signals.push(signal);
                }
            }
            compiled.variables.push(Variable {
                name: source.id.clone(),
                kind: Kind::Number,
                values: Vec::new(),
            });
            compiled.intents.push(Intent {
                id: source.id.as_str().into(),
                symbol: self.symbols.intern(&source.id),
                signals,
                decay: self.decay(item),
                strength_max: source.strength_max,
            });
        }
        compiled
    }

    fn signal(
        &mut self,
        at: At<'_>,
        source: &source::IntentSignal,
        events: &[EventType],
        names: &Names,
    ) -> Option<(usize, Signal)> {
        self.number(at.key("weight"), "weight", source.weight, Allowed::Weight);
        let event = names.events.find(at.key("event"), &source.event, &mut self.report)?;
        let condition = self
            .event_condition(at, source.condition.as_deref(), events.get(event))
            .ok()?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked: above 0, at most 1,000"
        )]
        let weight_thousandths = (source.weight * 1_000.0).round() as u32;
        if weight_thousandths == 0 && source.weight > 0.0 {
            self.report.error(at.key("weight"), "`weight` must be at least 0.001");
        }
        Some((
            event,
            Signal {
                condition,
                weight_thousandths,
            },
        ))
    }

    fn decay(&mut self, item: &Item<'_, source::Intent>) -> Vec<(Millis, f64)> {
        let mut decay: Vec<(Millis, f64)> = Vec::new();
        if item.source.decay.is_empty() {
            let hint = "as in `decay: [{until: 1d, keep: 1}, {until: 7d, keep: 0.5}]`";
            self.report
                .error_with_hint(item.at.key("decay"), "`decay` needs at least one step", hint);
        }
        for (index, step) in item.source.decay.iter().enumerate() {
            let at = item.at.key("decay").item(index);
            self.number(at.key("keep"), "keep", step.keep, Allowed::Share);
            let Ok(until) = duration::parse(&step.until) else {
                self.span(at.key("until"), &step.until);
                continue;
            };
            if decay.last().is_some_and(|(earlier, _)| *earlier >= until) {
                let hint = "the ages of the steps must grow";
                let message = format!("`{}` is not older than the step before", step.until);
                self.report.error_with_hint(at.key("until"), message, hint);
            }
            decay.push((until, step.keep));
        }
        decay
    }
}

/// Returns the longest of day, hour and minute that makes up the window a whole number of times.
fn natural_step(within: Millis) -> Millis {
    let fits = |step: &Millis| within.get() % step.get() == 0;
    [Millis::DAY, Millis::HOUR, Millis::MINUTE]
        .into_iter()
        .find(fits)
        .unwrap_or(Millis::MINUTE)
}

const fn kind_name(kind: AggregateKind) -> &'static str {
    match kind {
        AggregateKind::Count => "count",
        AggregateKind::Sum => "sum",
        AggregateKind::Recency => "recency",
        AggregateKind::Last => "last",
        AggregateKind::Sessions => "sessions",
    }
}

/// Makes a value part of an aggregate's id: conditions know letters, digits and `_` only.
fn identifier(value: &str) -> String {
    let plain = |each: char| {
        if each.is_ascii_alphanumeric() {
            each.to_ascii_lowercase()
        } else {
            '_'
        }
    };
    value.chars().map(plain).collect()
}

/// Returns 32 bits that change when what feeds the aggregate does, so that what was gathered before is left behind.
fn meaning(source: &source::Aggregate) -> u32 {
    let parts = [&source.of, &source.condition, &source.attribute, &source.by];
    let text = parts.map(|part| part.as_deref().unwrap_or("")).join("\n");
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&blake3::hash(text.as_bytes()).as_bytes()[..4]);
    u32::from_be_bytes(bytes)
}
