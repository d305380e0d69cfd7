//! The same job as another team would do it with what there is: a CEL interpreter over every condition of every offer, the
//! survivors in one batch to ONNX Runtime, then a sort.
//!
//! It asks all conditions of each offer, those of its group among them, as they are written; whoever sees that most of a group's do not
//! depend on the offer would ask them once a customer, which saves a third at 100 offers and a tenth at 10,000. Otherwise it is given the
//! better of each choice: each text is parsed once, the names and functions of CEL are set up once, the values of
//! offers are made once, and those of a customer once for all offers; profiles lie unpacked; counts of behaviour, the rows of the
//! model and the factors are made by our code. It does less than we do: nobody's contacts are counted, no placement is
//! filled, nothing is reserved or kept.
//!
//! Our conditions are CEL but for two points. All our numbers are of one kind, so a fraction is added to whole numbers; and a duration
//! may be in days. Times are milliseconds here, since the interpreter's own times cannot tell the hour of a place any faster.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::{anyhow, ensure};
use cel::common::types::{CelBool, CelDouble, CelList, CelMap, CelMapKey, CelString};
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;
use cel::extractors::This;
use cel::{Context, Env, ExecutionError, Program};
use jiff::tz::TimeZone;

use crate::bench::scorers::TREES;
use crate::catalog::{Catalog, Offer};
use crate::decision::facts::Layout;
use crate::decision::{features, gate, rank};
use crate::domain::decision::{Ranked, Rung};
use crate::domain::profile::Profile;
use crate::domain::request::OffersRequest;
use crate::domain::time::Timestamp;
use crate::domain::value::Value;
use crate::model::Scorer;
use crate::rules::{Scratch, Variable};

/// Milliseconds of a day.
const DAY_MS: f64 = 86_400_000.0;

/// What is made once for a catalog, and what is used again from customer to customer.
pub(super) struct Rival {
    catalog: Arc<Catalog>,
    model: Arc<dyn Scorer>,
    /// The functions that all conditions share.
    root: Context<'static, 'static>,
    /// By the offer's position.
    offers: Vec<Listed>,
    layout: Layout,
    survivors: Vec<u16>,
    rows: features::Rows,
    weights: Vec<f32>,
    ranked: Vec<Ranked>,
}

/// An offer with its own conditions and those of its group.
struct Listed {
    conditions: Vec<Arc<Program>>,
    attributes: Box<dyn Val>,
}

impl VariableResolver for Listed {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        (variable == "offer").then(|| CowVal::Borrowed(&*self.attributes))
    }
}

/// What is known of one customer.
struct Known<'a> {
    profile: Box<dyn Val + 'a>,
    behaviour: Box<dyn Val + 'a>,
    intent: Box<dyn Val + 'a>,
    now: CelDouble,
}

impl VariableResolver for Known<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        match variable {
            "profile" => Some(CowVal::Borrowed(&*self.profile)),
            "behaviour" => Some(CowVal::Borrowed(&*self.behaviour)),
            "intent" => Some(CowVal::Borrowed(&*self.intent)),
            "now" => Some(CowVal::Borrowed(&self.now)),
            _ => None,
        }
    }
}

impl Rival {
    /// Parses all conditions of a catalog whose model is the trees.
    ///
    /// # Errors
    /// When there is no ONNX Runtime, or a condition is not to the interpreter's liking.
    pub(super) fn new(catalog: &Arc<Catalog>) -> anyhow::Result<Self> {
        let env = Arc::new(Env::stdlib());
        let mut parsed: HashMap<String, Arc<Program>> = HashMap::new();
        let mut program = |source: &str| -> anyhow::Result<Arc<Program>> {
            let text = with_fractions(source);
            if let Some(known) = parsed.get(&text) {
                return Ok(Arc::clone(known));
            }
            let made = env.compile(&text).map_err(|error| anyhow!("`{text}`: {error}"))?;
            let made = Arc::new(made);
            parsed.insert(text, Arc::clone(&made));
            Ok(made)
        };
        let mut listed = |offer: &Offer| {
            let rules = catalog.groups[offer.group].stages.rules().chain(offer.stages.rules());
            let conditions = rules.map(|rule| program(rule.condition.source()));
            Ok(Listed {
                conditions: conditions.collect::<anyhow::Result<_>>()?,
                attributes: numbers(&catalog.offer_schema.variables, &offer.attributes),
            })
        };
        let offers = catalog.offers.iter().map(&mut listed);
        let offers = offers.collect::<anyhow::Result<_>>()?;
        Ok(Self {
            catalog: Arc::clone(catalog),
            model: TREES.load_in_runtime(1, catalog)?,
            root: with_functions(env)?,
            offers,
            layout: Layout::default(),
            survivors: Vec::new(),
            rows: features::Rows::default(),
            weights: Vec::new(),
            ranked: Vec::new(),
        })
    }

    /// Ranks all offers that a customer may have, best first.
    ///
    /// # Errors
    /// When the model fails.
    pub(super) fn decide(
        &mut self,
        profile: &Profile,
        request: &OffersRequest,
        now: Timestamp,
    ) -> anyhow::Result<&[Ranked]> {
        let catalog = &*self.catalog;
        self.layout.fill(catalog, profile, now);
        self.find_survivors(now);
        let (catalog, plan) = (&*self.catalog, &self.catalog.models[0]);
        let (context, survivors) = (&request.context, &self.survivors);
        let rows = &mut self.rows;
        features::build(catalog, plan, &self.layout, profile, context, survivors, now, rows);
        self.model.score(&rows.cells, &mut rows.scores)?;
        rank::context_weights(catalog, &self.layout.intent, &mut self.weights);
        let scored = survivors.iter().zip(&rows.scores);
        self.ranked.clear();
        self.ranked
            .extend(scored.map(|(&offer, &score)| rank::ranked(catalog, offer, score, Rung::Model, &self.weights)));
        self.ranked.sort_by(|one, other| {
            other
                .priority
                .total_cmp(&one.priority)
                .then(one.offer.cmp(&other.offer))
        });
        Ok(&self.ranked)
    }

    fn find_survivors(&mut self, now: Timestamp) {
        let catalog = &*self.catalog;
        let known = Known {
            profile: values(&catalog.profile.variables, &self.layout.profile, catalog),
            behaviour: values(&catalog.behaviour_variables, &self.layout.behaviour, catalog),
            intent: values(&catalog.intent_variables, &self.layout.intent, catalog),
            now: CelDouble::from(now.as_millis() as f64),
        };
        let mut of_customer = self.root.new_inner_scope();
        of_customer.set_variable_resolver(&known);
        self.survivors.clear();
        for (position, (listed, offer)) in (0..).zip(self.offers.iter().zip(&catalog.offers)) {
            let mut of_offer = of_customer.new_inner_scope();
            of_offer.set_variable_resolver(listed);
            let holds = |condition: &Arc<Program>| condition.execute(&of_offer) == Ok(cel::Value::Bool(true));
            if (offer.valid_from..offer.valid_until).contains(&now) && listed.conditions.iter().all(holds) {
                self.survivors.push(position);
            }
        }
    }

    /// Checks that a customer may have the same offers by our own gate as by the interpreter.
    ///
    /// # Errors
    /// When they are others.
    pub(super) fn check(&mut self, profile: &Profile, request: &OffersRequest, now: Timestamp) -> anyhow::Result<()> {
        self.decide(profile, request, now)?;
        let (mut scratch, mut ours) = (Scratch::default(), Vec::new());
        let (catalog, context) = (&self.catalog, &request.context);
        gate::survivors(catalog, &self.layout, context, now, &mut scratch, &mut ours);
        let differing = ours.iter().find(|offer| !self.survivors.contains(offer));
        let differing = differing.or_else(|| self.survivors.iter().find(|offer| !ours.contains(offer)));
        ensure!(
            differing.is_none(),
            "our gate passes {} offers and the interpreter {}; they differ in {:?}",
            ours.len(),
            self.survivors.len(),
            differing.map(|&offer| &catalog.offers[usize::from(offer)].id)
        );
        Ok(())
    }
}

/// Adds `duration` and `getHours`, by which the conditions of the benches look at times.
fn with_functions(env: Arc<Env>) -> anyhow::Result<Context<'static, 'static>> {
    let mut root = Context::with_env(env);
    root.add_function("duration", |text: Arc<String>| -> Result<f64, ExecutionError> {
        let days = text.strip_suffix('d').and_then(|days| days.parse::<f64>().ok());
        days.map(|days| days * DAY_MS)
            .ok_or_else(|| ExecutionError::function_error("duration", &*text))
    })?;
    let hours = |This(millis): This<f64>, zone: Arc<String>| -> Result<f64, ExecutionError> {
        let failed = |error: jiff::Error| ExecutionError::function_error("getHours", error);
        let zone = TimeZone::get(&zone).map_err(failed)?;
        #[expect(clippy::cast_possible_truncation, reason = "milliseconds of this century")]
        let instant = jiff::Timestamp::from_millisecond(millis as i64).map_err(failed)?;
        Ok(f64::from(zone.to_datetime(instant).hour()))
    };
    root.add_function("getHours", hours)?;
    Ok(root)
}

/// Makes a map of what is known of a customer.
fn values<'a>(variables: &'a [Variable], values: &[Value], catalog: &'a Catalog) -> Box<dyn Val + 'a> {
    let mut map: HashMap<CelMapKey<'a>, Box<dyn Val + 'a>> = HashMap::with_capacity(values.len());
    for (variable, value) in variables.iter().zip(values) {
        let value: Box<dyn Val + 'a> = match *value {
            Value::Missing => continue,
            Value::Boolean(boolean) => Box::new(CelBool::from(boolean)),
            Value::Number(number) => Box::new(CelDouble::from(number)),
            Value::Category(symbol) => Box::new(CelString::from(catalog.symbols.name(symbol))),
            Value::Set(bits) => {
                let names = variable.values.iter().enumerate();
                let names = names.filter(|(bit, _)| bits >> bit & 1 == 1);
                let names = names.map(|(_, (name, _))| Box::new(CelString::from(name.as_str())) as Box<dyn Val + 'a>);
                Box::new(CelList::from(names.collect::<Vec<_>>()))
            }
            Value::Time(time) => Box::new(CelDouble::from(time.as_millis() as f64)),
        };
        map.insert(CelMapKey::from(variable.name.as_str()), value);
    }
    Box::new(CelMap::from(map))
}

/// Makes a map of an offer's attributes, which are numbers in the catalogs of the benches.
fn numbers(variables: &[Variable], values: &[Value]) -> Box<dyn Val> {
    let mut map: HashMap<CelMapKey<'static>, Box<dyn Val>> = HashMap::with_capacity(values.len());
    for (variable, value) in variables.iter().zip(values) {
        if let Value::Number(number) = *value {
            map.insert(
                CelMapKey::from(variable.name.clone()),
                Box::new(CelDouble::from(number)),
            );
        }
    }
    Box::new(CelMap::from(map))
}

/// Writes each whole number outside of quotes with a fraction.
fn with_fractions(source: &str) -> String {
    let mut text = String::with_capacity(source.len() + 8);
    let (mut quote, mut rest) = (None, source);
    while let Some(first) = rest.chars().next() {
        let is_word = |at: char| at.is_alphanumeric() || at == '_' || at == '.';
        let length = match quote {
            None if is_word(first) => rest.find(|at: char| !is_word(at)).unwrap_or(rest.len()),
            _ => first.len_utf8(),
        };
        let (word, behind) = rest.split_at(length);
        text.push_str(word);
        if quote.is_none() && word.bytes().all(|byte| byte.is_ascii_digit()) {
            text.push_str(".0");
        }
        quote = match quote {
            None if first == '"' || first == '\'' => Some(first),
            Some(open) if open == first => None,
            other => other,
        };
        rest = behind;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_get_a_fraction_and_nothing_else_does() {
        assert_eq!(
            with_fractions(r#"profile.age2 >= 18 && offer.rate * 0.5 <= 12 / 3 && duration("30d") < x && "7" in s"#),
            r#"profile.age2 >= 18.0 && offer.rate * 0.5 <= 12.0 / 3.0 && duration("30d") < x && "7" in s"#
        );
    }
}
