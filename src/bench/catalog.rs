//! The catalogs that the benches decide on: the size of a bank's, in any number of offers.
//!
//! Everything but the offers is written in `catalog.yaml`. An offer has an eligibility and a suitability condition of its
//! own besides those of its group, from ten forms with differing numbers, so that 100 offers have 200 conditions, no two
//! neighbours alike. Nearly every customer passes nearly all of them: what is measured is the full work, not the lucky
//! way out. Or an offer has ten conditions, from the templates of [`super::templates`].

use std::fmt::Write as _;

use clap::ValueEnum;
use serde::Serialize;

use super::templates;
use crate::catalog::CatalogFiles;

/// Everything but offers and model.
const FRAME: &str = include_str!("catalog.yaml");

/// The groups, in the order in which offers are dealt to them.
const GROUPS: [&str; 7] = [
    "savings",
    "fund",
    "travel_insurance",
    "credit_card",
    "loan",
    "mortgage",
    "foreign_exchange",
];

/// The forms of eligibility conditions; `#` is a number from 0 to 9 that differs from offer to offer.
const ELIGIBILITY: [&str; 5] = [
    "profile.age >= 18 && profile.age < 109.#",
    "profile.monthly_income >= 31#",
    "profile.credit_score > 30# || !(\"loan\" in profile.holdings)",
    "!profile.is_employee || profile.balance >= #",
    "profile.segment in [\"mass\", \"affluent\", \"young\", \"private\"] && profile.debt_ratio <= 0.9#",
];

/// The forms of suitability conditions.
const SUITABILITY: [&str; 5] = [
    "profile.balance + profile.savings_balance >= offer.minimum_amount * 0.0#",
    "profile.children <= 7 || profile.monthly_income > 40#",
    "behaviour.logins_30d < 50# && intent.fund <= 3",
    "!(\"mortgage\" in profile.holdings && profile.age < 18.#)",
    "profile.card_spend_month < 590# || offer.risk < 5",
];

/// How many offers stand in one file: a file holds at most 8 MiB.
const OFFERS_PER_FILE: usize = 2_000;

/// Which conditions offers have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Conditions {
    /// Two of an offer's own, which nearly every customer passes.
    #[default]
    Two,
    /// Ten of an offer's own, which nearly every customer passes.
    Ten,
    /// Ten of an offer's own; a customer passes those of a few of a hundred offers.
    TenSelective,
}

impl Conditions {
    /// Says how many they are and who passes.
    #[must_use]
    pub const fn phrase(self) -> &'static str {
        match self {
            Self::Two => "two conditions",
            Self::Ten => "ten conditions",
            Self::TenSelective => "ten selective conditions",
        }
    }
}

/// Writes a catalog with so many offers with these conditions, and with the model of this name and manifest.
#[must_use]
pub fn files(offers: usize, conditions: Conditions, manifest: Option<(&str, &str)>) -> CatalogFiles {
    let mut files = CatalogFiles::default();
    let mut frame = FRAME.to_owned();
    if let Some((name, manifest)) = manifest {
        frame.push_str("\nmodels: [");
        frame.push_str(name);
        frame.push_str("]\n");
        files.models.insert(name.to_owned(), manifest.to_owned());
    }
    files.rules.insert("bench/frame.yaml".to_owned(), frame);
    for first in (0..offers).step_by(OFFERS_PER_FILE) {
        let mut text = "offers:\n".to_owned();
        for number in first..offers.min(first + OFFERS_PER_FILE) {
            write_offer(&mut text, number, conditions);
        }
        let name = if first == 0 {
            "bench/offers.yaml".to_owned()
        } else {
            format!("bench/offers_{first}.yaml")
        };
        files.rules.insert(name, text);
    }
    files
}

fn write_offer(text: &mut String, number: usize, conditions: Conditions) {
    let group = GROUPS[number % GROUPS.len()];
    let digit = (number * 7 % 10).to_string();
    let condition = |forms: &[&str; 5], step: usize| forms[number / step % 5].replace('#', &digit);
    let rate = number * 37 % 300;
    let (minimum, term, risk) = (number * 613 % 50_000, number * 11 % 61 * 6, 1 + number % 7);
    let value = 20 + number * 29 % 180;
    let _ = write!(
        text,
        "  - id: offer_{number:05}
    group: {group}
    name: Offer {number}
    value: {value}
    lever: 1.{digit}
    attributes: {{annual_rate: {}.{}, minimum_amount: {minimum}, term_months: {term}, risk: {risk}}}
    treatments:
      web: {{title: Offer {number}, link: 'https://bank.example/offer/{number}'}}
      mobile: {{title: Offer {number}}}
      call_centre: {{script: Have you heard of offer {number}?}}
      campaign: {{subject: Offer {number} is for you}}
",
        rate / 10,
        rate % 10,
    );
    if conditions != Conditions::Two {
        templates::write_conditions(text, number, conditions == Conditions::TenSelective);
        return;
    }
    let _ = write!(
        text,
        "    eligibility: [{{id: terms, when: '{}', because: the terms of offer {number}}}]
    suitability: [{{id: means, when: '{}'}}]
",
        condition(&ELIGIBILITY, 1),
        condition(&SUITABILITY, 3),
    );
}
