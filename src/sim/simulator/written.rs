//! A blueprint as a catalog's files.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::catalog::CatalogFiles;
use crate::domain::decision::Stage;

use super::almanac::ZONES;
use super::blueprint::{Blueprint, CHANNELS, Column, GROUPS, INTENTS, LABELS, PLACEMENTS, Rule, STRENGTH_MAX};
use super::condition::ZONE;
use super::rulebook::{DIRECTIONS, Policy};

impl Blueprint {
    /// Writes the version as a catalog's files.
    pub(super) fn files(&self) -> CatalogFiles {
        let mut text = String::new();
        let _ = self.write(&mut text);
        CatalogFiles {
            rules: BTreeMap::from([("rules/simulated.yaml".to_owned(), text)]),
            models: BTreeMap::from([("linear".to_owned(), self.manifest())]),
            ..CatalogFiles::default()
        }
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        self.write_settings(text)?;
        self.write_groups(text)?;
        self.write_offers(text)?;
        self.gates.write(text)?;
        self.write_limits(text)
    }

    fn write_groups(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "groups:")?;
        for (at, (group, id)) in self.groups.iter().zip(GROUPS).enumerate() {
            write!(
                text,
                "  - {{id: {id}, start_propensity: 0.1, labels: [{}]{}{}, intents: {{",
                names(&group.labels, &LABELS),
                policy(group.policy),
                self.gates.of_group(at)
            )?;
            for (weight, intent) in group.intents.iter().zip(INTENTS) {
                if let Some(weight) = weight {
                    write!(text, "{intent}: {weight}, ")?;
                }
            }
            writeln!(text, "}}{}}}", stages(&group.rules))?;
        }
        Ok(())
    }

    fn write_offers(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "offers:")?;
        for offer in &self.offers {
            write!(
                text,
                "  - {{id: {}, group: {}, name: N, labels: [{}]{}{}",
                offer.id.name(),
                GROUPS[offer.group],
                names(&offer.labels, &LABELS),
                policy(offer.policy),
                self.gates.of_offer(offer.id)
            )?;
            write!(
                text,
                ", start_propensity: {}, value: {}, lever: {}",
                offer.start_propensity, offer.value, offer.lever
            )?;
            let days = [("from", offer.days.0), ("until", offer.days.1)];
            let valid: Vec<String> = days
                .iter()
                .filter_map(|(key, day)| Some(format!("{key}: '{}'", (*day)?)))
                .collect();
            write!(text, ", valid: {{{}}}", valid.join(", "))?;
            if let Some(rate) = offer.rate {
                write!(text, ", attributes: {{rate: {rate}}}")?;
            }
            let treated = offer.treatments.iter().zip(CHANNELS).filter(|(treated, _)| **treated);
            let treatments: Vec<String> = treated
                .map(|(_, (channel, ..))| format!("{channel}: {{title: T}}"))
                .collect();
            writeln!(
                text,
                ", treatments: {{{}}}{}}}",
                treatments.join(", "),
                stages(&offer.rules)
            )?;
        }
        Ok(())
    }

    fn write_settings(&self, text: &mut String) -> std::fmt::Result {
        let [propensity, context_weight, value, lever] = self.switches;
        let unknown = if self.begins_unknown { "begin" } else { "fallback_only" };
        writeln!(
            text,
            "catalog:\n  name: simulated\n  time_zone: {ZONE}\n  unknown_customer: {unknown}"
        )?;
        writeln!(text, "  week_starts: {}", WEEKDAYS[self.week_starts])?;
        if self.own_zones {
            writeln!(text, "  time_zone_attribute: zone")?;
        }
        writeln!(
            text,
            "  factors: {{propensity: {propensity}, context_weight: {context_weight}, value: {value}, lever: {lever}}}"
        )?;
        writeln!(text, "models: [linear]\nchannels:")?;
        for (at, ((id, reservation, _), outbound)) in CHANNELS.iter().zip(self.outbound).enumerate() {
            let direction = DIRECTIONS[usize::from(outbound)];
            let quiet = self.gates.of_channel(at);
            writeln!(
                text,
                "  - {{id: {id}, direction: {direction}, reservation: {reservation}{quiet}}}"
            )?;
        }
        writeln!(text, "{}", SCHEMA.replace("ZONES", &ZONES.join(", ")))?;
        if self.spending {
            writeln!(
                text,
                "  - {{id: spent_2d, keep: sum, of: payment, attribute: amount, within: 2d, step: 1h}}"
            )?;
        }
        writeln!(text, "intents:")?;
        for (at, intent) in INTENTS.iter().enumerate() {
            let [one, other] = self.weights[at].map(|thousandths| f64::from(thousandths) / 1_000.0);
            let second = ["search, where: event.results > 10", "payment, where: event.abroad"][at];
            writeln!(text, "  - id: {intent}\n    strength_max: {STRENGTH_MAX}\n    from:")?;
            writeln!(
                text,
                "      - {{event: search, where: 'event.category == \"{intent}\"', weight: {one}}}"
            )?;
            writeln!(text, "      - {{event: {second}, weight: {other}}}\n    decay:")?;
            for (until, keep) in self.decay[at] {
                writeln!(text, "      - {{until: {}s, keep: {keep}}}", until.get() / 1_000)?;
            }
        }
        writeln!(text, "placements:")?;
        for placement in PLACEMENTS {
            write!(text, "  - {{id: {}, count_max: 20", placement.id)?;
            if let Some(group) = placement.group {
                write!(text, ", groups: [{}]", GROUPS[group])?;
            }
            if let Some(label) = placement.label {
                write!(text, ", labels: [{}]", LABELS[label])?;
            }
            if let Some(most) = placement.per_group_max {
                write!(text, ", per_group_max: {most}")?;
            }
            writeln!(text, "}}")?;
        }
        Ok(())
    }

    fn manifest(&self) -> String {
        let columns: Vec<String> = self.columns.iter().map(|column| column.manifest().to_owned()).collect();
        let row: Vec<&str> = self.columns.iter().map(|column| column.when_unknown()).collect();
        format!(
            r#"{{"format": 1, "name": "linear", "version": "1", "description": "For the simulator.", "data": "none",
            "file": "none.onnx", "sha256": "{}", "groups": ["savings"],
            "input": {{"name": "x", "features": {}}}, "output": {{"name": "y", "column": 0}},
            "columns": [{}], "golden": [{{"inputs": {{}}, "row": [{}], "score": 0.5}}], "tolerance": 0.00001}}"#,
            "0".repeat(64),
            columns.len(),
            columns.join(", "),
            row.join(", "),
        )
    }
}

impl Column {
    const fn manifest(self) -> &'static str {
        match self {
            Self::Age => r#"{"name": "age", "from": "profile.age", "as": "number", "missing": 7.5, "clip": [18, 60]}"#,
            Self::OwnsFund => {
                r#"{"name": "fund", "from": "profile.holdings", "as": "contains", "value": "fund", "missing": 0.25}"#
            }
            Self::SinceDays => r#"{"name": "since", "from": "profile.since", "as": "days_since", "missing": -1}"#,
            Self::Rate => r#"{"name": "rate", "from": "offer.rate", "as": "number", "missing": 0}"#,
            Self::Searches => {
                r#"{"name": "searches", "from": "behaviour.searches_7d", "as": "number", "missing": 0, "log1p": true}"#
            }
            Self::FundIntent => r#"{"name": "intent", "from": "intent.fund", "as": "number"}"#,
            Self::SeenOfGroup => {
                r#"{"name": "seen", "from": "contacts", "as": "number", "count": "seen", "scope": "group", "within": "30d"}"#
            }
            Self::DecidedAtAll => {
                r#"{"name": "decided", "from": "contacts", "as": "number", "count": "decided", "scope": "all", "within": "2d"}"#
            }
            Self::OnHomePage => {
                r#"{"name": "home", "from": "context.page", "as": "equals", "value": "home", "missing": 0}"#
            }
        }
    }

    const fn when_unknown(self) -> &'static str {
        match self {
            Self::Age => "7.5",
            Self::OwnsFund => "0.25",
            Self::SinceDays => "-1",
            _ => "0",
        }
    }
}

const SCHEMA: &str = r#"attributes:
  profile:
    - {id: age, type: number, range: [0, 120]}
    - {id: segment, type: category, values: [mass, affluent, private]}
    - {id: holdings, type: set, values: [savings, fund, travel]}
    - {id: since, type: date}
    - {id: staff, type: boolean}
    - {id: zone, type: category, values: [ZONES]}
  offer:
    - {id: rate, type: number}
  context:
    - {id: page, type: category, values: [home, funds]}
events:
  - id: search
    attributes:
      - {id: category, type: category, values: [savings, fund, travel]}
      - {id: results, type: number}
  - id: payment
    attributes:
      - {id: amount, type: number}
      - {id: abroad, type: boolean}
  - id: login
aggregates:
  - {id: searches_7d, keep: count, of: search, within: 7d, step: 1d}
  - {id: fund_searches_3h, keep: count, of: search, where: 'event.category == "fund"', within: 3h, step: 10m}
  - {id: searches_1d, keep: count, of: search, by: category, within: 1d, step: 1h}
  - {id: since_search, keep: recency, of: search, step: 6h}
  - {id: last_category, keep: last, of: search, attribute: category, where: event.results > 0}
  - {id: visits_1d, keep: sessions, within: 1d}"#;

pub(super) const WEEKDAYS: [&str; 7] = [
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
];

fn policy(policy: Option<Policy>) -> String {
    policy.map_or_else(String::new, |policy| format!(", contact_policy: {}", policy.name()))
}

pub(super) fn names(positions: &[usize], of: &[&str]) -> String {
    positions.iter().map(|&at| of[at]).collect::<Vec<_>>().join(", ")
}

fn stages(rules: &[Rule]) -> String {
    rules.iter().fold(String::new(), |mut text, rule| {
        let stage = match rule.stage {
            Stage::Eligibility => "eligibility",
            Stage::Applicability => "applicability",
            _ => "suitability",
        };
        let _ = write!(text, ", {stage}: [{{id: {stage}, when: '{}'}}]", rule.condition.text());
        text
    })
}
