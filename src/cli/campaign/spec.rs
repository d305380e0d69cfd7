//! What a campaign run is to do, as a person writes it.
//!
//! ```yaml
//! campaign: spring_savings
//! channel: campaign
//! placement: best_offers
//! count: 1
//! segment: profile.age >= 30 && intent.savings > 0
//! reserve: true
//! limits:
//!   - {offer: savings_easy_access, at_most: 1000}
//!   - {group: fund, at_most: 5000, at_least: 100}
//! ```
//!
//! The shape is checked here, as an import's mapping is. What depends on the catalog in force is judged by the server,
//! and its words are brought back to the lines that they are about ([`misfits`]).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use tonic::Status;
use tonic_types::StatusExt as _;

use crate::catalog::single::Misfit;
use crate::server::wire;
use crate::server::wire::attribute_value::Kind;
use crate::server::wire::customer::Identity;
use crate::server::wire::offer_limit::Scope;
use crate::server::wire::rank_customers_request::Audience;

/// A campaign run.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Spec {
    /// The campaign's name.
    #[serde(default)]
    pub(super) campaign: String,
    /// Where the customers will see the offers.
    pub(super) channel: String,
    /// The placement to fill.
    pub(super) placement: String,
    /// How many offers each customer gets.
    #[serde(default = "one")]
    pub(super) count: u32,
    /// A condition on customers, as in `profile.age >= 30`. Exactly one of this, `customers` and `everyone`.
    pub(super) segment: Option<String>,
    /// A file with one customer id a line, beside the spec unless it says otherwise. A first line `customer` is a header.
    pub(super) customers: Option<PathBuf>,
    /// Every customer.
    #[serde(default)]
    pub(super) everyone: bool,
    /// Whether the offers are reserved; otherwise only looked at.
    #[serde(default)]
    pub(super) reserve: bool,
    /// How many of some offers may and should be given in all.
    #[serde(default)]
    pub(super) limits: Vec<Limit>,
    /// What else is known, by the catalog's context attributes.
    #[serde(default)]
    pub(super) context: BTreeMap<String, Given>,
    /// Whether the list also says why offers are withheld.
    #[serde(default)]
    pub(super) explain: bool,
    /// At most this many customers.
    pub(super) max_customers: Option<u64>,
}

const fn one() -> u32 {
    1
}

/// How many of an offer, or of a group's offers, may and should be given in all.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Limit {
    /// One offer. Exactly one of this and `group`.
    pub(super) offer: Option<String>,
    /// All offers of a group.
    pub(super) group: Option<String>,
    /// Never more than this; 0 is never.
    pub(super) at_most: Option<u64>,
    /// This many, if there are customers who may have them.
    pub(super) at_least: Option<u64>,
}

/// A value of the context.
#[derive(Clone, Debug)]
pub(super) struct Given(Kind);

impl JsonSchema for Given {
    fn schema_name() -> Cow<'static, str> {
        "Given".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "number", "boolean", "array"] })
    }
}

impl<'de> Deserialize<'de> for Given {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;
        let wanted = || D::Error::custom("a text, a number, true or false, or a list of texts is wanted");
        let kind = match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(text) => Kind::Text(text),
            serde_json::Value::Bool(truth) => Kind::Boolean(truth),
            serde_json::Value::Number(number) => Kind::Number(number.as_f64().ok_or_else(wanted)?),
            serde_json::Value::Array(values) => {
                let values = values.into_iter().map(|value| match value {
                    serde_json::Value::String(text) => Ok(text),
                    _ => Err(wanted()),
                });
                Kind::Set(wire::TextSet {
                    values: values.collect::<Result<_, _>>()?,
                })
            }
            _ => return Err(wanted()),
        };
        Ok(Self(kind))
    }
}

impl Spec {
    /// Returns what is wrong without asking anybody.
    #[must_use]
    pub(super) fn faults(&self) -> Vec<Misfit> {
        let mut faults = Vec::new();
        let mut fault = |path: &[&str], message: &str, hint: &str| {
            faults.push(Misfit {
                path: path.iter().map(|&key| key.to_owned()).collect(),
                message: message.to_owned(),
                hint: Some(hint.to_owned()),
            });
        };
        let ways = [self.segment.is_some(), self.customers.is_some(), self.everyone];
        let given = ways.iter().filter(|given| **given).count();
        if given != 1 {
            let second = if self.customers.is_some() {
                "customers"
            } else {
                "everyone"
            };
            let path: &[&str] = if given > 1 { &[second] } else { &[] };
            let message = if given > 1 {
                "the audience is given more than once"
            } else {
                "no audience is given"
            };
            fault(
                path,
                message,
                "give exactly one of `segment`, `customers` (a file) and `everyone: true`",
            );
        }
        for (at, limit) in self.limits.iter().enumerate() {
            if limit.offer.is_some() == limit.group.is_some() {
                let at = at.to_string();
                fault(
                    &["limits", &at],
                    "a limit is about one `offer` or one `group`",
                    "give exactly one of the two",
                );
            }
        }
        faults
    }

    /// Makes the request; reads the file of customers, which stands relative to `folder`.
    ///
    /// # Errors
    /// When that file cannot be read.
    pub(super) fn request(&self, folder: &Path, run_id: String) -> Result<wire::RankCustomersRequest> {
        let audience = match (&self.segment, &self.customers) {
            (Some(segment), _) => Audience::Segment(segment.clone()),
            (None, Some(file)) => Audience::Customers(wire::CustomerList {
                customers: customers(&folder.join(file))?,
            }),
            (None, None) => Audience::Everyone(self.everyone),
        };
        let value = |(name, given): (&String, &Given)| {
            let kind = Some(given.0.clone());
            (name.clone(), wire::AttributeValue { kind })
        };
        Ok(wire::RankCustomersRequest {
            audience: Some(audience),
            channel: self.channel.clone(),
            placement: Some(wire::PlacementRequest {
                placement: self.placement.clone(),
                count: self.count,
            }),
            context: self.context.iter().map(value).collect(),
            campaign: self.campaign.clone(),
            reserve: self.reserve,
            run_id,
            explain: self.explain,
            omit_content: true,
            limits: self.limits.iter().map(limit).collect(),
            max_customers: self.max_customers,
            resume_after: String::new(),
        })
    }
}

fn limit(limit: &Limit) -> wire::OfferLimit {
    let offer = limit.offer.clone().map(Scope::OfferId);
    wire::OfferLimit {
        scope: offer.or_else(|| limit.group.clone().map(Scope::Group)),
        at_most: limit.at_most,
        at_least: limit.at_least,
    }
}

/// Reads ids, one a line; empty lines do not count.
fn customers(path: &Path) -> Result<Vec<wire::Customer>> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read the customers from {}", path.display()))?;
    let mut lines = text.lines().map(str::trim).peekable();
    lines.next_if(|first| *first == "customer");
    let ids = lines.filter(|line| !line.is_empty()).map(|line| wire::Customer {
        identity: Some(Identity::Id(line.to_owned())),
    });
    Ok(ids.collect())
}

/// Brings the faults of a refused request back to the keys of the spec; none when it was refused for something else.
#[must_use]
pub(super) fn misfits(status: &Status) -> Vec<Misfit> {
    let violations = status.get_details_bad_request().map(|details| details.field_violations);
    let misfit = |violation: tonic_types::FieldViolation| {
        let path = path(&violation.field);
        let named = path.is_empty();
        let description = violation.description;
        Misfit {
            message: if named {
                format!("{}: {description}", violation.field)
            } else {
                description
            },
            path,
            hint: None,
        }
    };
    violations.unwrap_or_default().into_iter().map(misfit).collect()
}

/// Returns the keys of the spec for a field of the request: `limits[1].offer_id` is at `limits`, `1`, `offer`.
fn path(field: &str) -> Vec<String> {
    let mut keys: Vec<String> = field
        .split(['.', '[', ']', '"'])
        .filter(|part| !part.is_empty())
        .map(|part| if part == "offer_id" { "offer" } else { part }.to_owned())
        .collect();
    match keys.first().map(String::as_str) {
        Some("placement") if keys.len() > 1 => drop(keys.remove(0)),
        // The line of a customer is in another file, and the run's name and token are none of the spec.
        Some("customers" | "run_id" | "resume_after" | "audience") => keys.clear(),
        _ => {}
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::single::Single;

    #[test]
    fn a_field_of_the_request_is_found_in_the_spec() {
        for (field, keys) in [
            ("channel", &["channel"][..]),
            ("placement.count", &["count"]),
            ("placement", &["placement"]),
            ("limits[1].offer_id", &["limits", "1", "offer"]),
            ("limits[0]", &["limits", "0"]),
            ("context[\"device\"]", &["context", "device"]),
            ("customers.customers[3].id", &[]),
        ] {
            assert_eq!(path(field), keys, "{field}");
        }
    }

    #[test]
    fn every_fault_of_a_spec_is_told_at_once_with_its_line() {
        let text = "chanel: web\nplacement: hero\ncount: many\nlimits: [{at_most: -1, offer: a}]\n";
        let faults = Single::<Spec>::read("spec.yaml", text).unwrap_err();
        let told: Vec<String> = faults
            .iter()
            .map(|fault| format!("{}:{} {}", fault.line, fault.column, fault.message))
            .collect();
        assert_eq!(told.len(), 3, "{told:#?}");
        assert!(told[0].starts_with("1:1 unknown key `chanel`"), "{told:#?}");
        assert!(told[1].starts_with("3:8 "), "{told:#?}");
        assert!(told[2].starts_with("4:20 "), "{told:#?}");

        let text = "channel: web\nplacement: hero\neveryone: true\nsegment: 'true'\nlimits:\n  - {at_most: 1}\n";
        let spec = Single::<Spec>::read("spec.yaml", text).unwrap();
        let faults = spec.diagnose(spec.says.faults());
        let places: Vec<(usize, usize)> = faults.iter().map(|fault| (fault.line, fault.column)).collect();
        assert_eq!(places, [(3, 11), (6, 3)], "{faults:#?}");
    }
}
