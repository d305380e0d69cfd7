//! Offers as a large bank has them: copied from templates and adapted, with ten conditions each.
//!
//! Most numbers in conditions are round, so offers of different templates share them; the amounts and terms of an offer are
//! its own, and conditions calculate with them. Some conditions read the clock, some join alternatives. In a generous catalog
//! nearly every customer passes nearly all conditions, so that what comes after the gate has the full work; in a selective
//! one a customer passes a few of a hundred offers, as in life.

use std::fmt::Write as _;

/// How many templates there are: offers of one template differ in few numbers.
const TEMPLATES: usize = 40;

/// The products that a condition asks for.
const PRODUCTS: [&str; 6] = ["savings", "fund", "travel_insurance", "credit_card", "loan", "mortgage"];

/// Lists of segments.
const SEGMENTS: [&str; 5] = [
    r#"["mass", "affluent", "young", "private"]"#,
    r#"["affluent", "private"]"#,
    r#"["mass", "young"]"#,
    r#"["mass", "affluent", "private"]"#,
    r#"["young"]"#,
];

/// Lists of regions.
const REGIONS: [&str; 4] = [
    r#"["north", "south", "east", "west", "islands"]"#,
    r#"["north", "east"]"#,
    r#"["south", "west", "islands"]"#,
    r#"["islands"]"#,
];

/// The numbers of one offer's conditions.
struct Numbers {
    template: usize,
    copy: usize,
    is_selective: bool,
}

impl Numbers {
    /// Picks from a range in steps: the value of the template, moved by the copy. A generous catalog keeps to the value that
    /// lets everybody pass.
    fn step(&self, salt: usize, generous: usize, step: usize, steps: usize) -> usize {
        if self.is_selective {
            generous + step * ((self.template * (salt + 3) + self.copy * (salt % 3)) % steps)
        } else {
            generous + (self.template * (salt + 3) + self.copy * (salt % 3)) % steps
        }
    }

    /// Picks from a list, whose first entry lets everybody pass.
    fn of<'a>(&self, salt: usize, list: &[&'a str]) -> &'a str {
        let at = if self.is_selective {
            self.template + salt * self.copy
        } else {
            0
        };
        list[at % list.len()]
    }

    fn eligibility(&self) -> [String; 4] {
        let income = if self.is_selective {
            300 + 100 * self.step(2, 0, 1, 25)
        } else {
            self.step(2, 250, 2, 25)
        };
        [
            format!(
                "profile.age >= {}",
                self.step(0, 18, 3, if self.is_selective { 5 } else { 1 })
            ),
            format!("profile.monthly_income >= {income}"),
            format!("profile.segment in {}", self.of(0, &SEGMENTS)),
            format!(
                r#"profile.credit_score > {} || !("loan" in profile.holdings)"#,
                self.step(1, 280, 20, 20)
            ),
        ]
    }

    fn applicability(&self) -> [String; 3] {
        let product = PRODUCTS[self.template % PRODUCTS.len()];
        let owned = if self.is_selective {
            format!(r#"!("{product}" in profile.holdings)"#)
        } else {
            format!(
                r#"!("{product}" in profile.holdings) || size(profile.holdings) <= {}"#,
                7 + self.template % 3
            )
        };
        let days = [0, 30, 60, 90, 180, 365][if self.is_selective { self.template % 6 } else { 0 }];
        [
            owned,
            format!("profile.region in {}", self.of(1, &REGIONS)),
            format!(r#"now - profile.customer_since >= duration("{days}d")"#),
        ]
    }

    fn suitability(&self) -> [String; 3] {
        let share = if self.is_selective { "0.05" } else { "0" };
        let years = if self.is_selective { 80 } else { 160 };
        let last = match self.template % 3 {
            0 => r#"profile.risk_profile != "cautious" || offer.risk <= 7"#.to_owned(),
            1 => format!("behaviour.logins_30d < {} && intent.fund <= 3", self.step(2, 40, 10, 5)),
            _ => r#"!profile.is_abroad || now.getHours("Europe/Madrid") >= 1"#.to_owned(),
        };
        [
            format!("profile.balance + profile.savings_balance >= offer.minimum_amount * {share}"),
            format!(
                "profile.debt_ratio <= 1.{} && profile.age + offer.term_months / 12 <= {years}",
                self.template % 5
            ),
            last,
        ]
    }
}

/// Writes the ten conditions of offer number `number`, as the three lists of rules.
pub(super) fn write_conditions(text: &mut String, number: usize, is_selective: bool) {
    let numbers = Numbers {
        template: number % TEMPLATES,
        copy: number / TEMPLATES,
        is_selective,
    };
    let stages: [(&str, Vec<String>); 3] = [
        ("eligibility", numbers.eligibility().into()),
        ("applicability", numbers.applicability().into()),
        ("suitability", numbers.suitability().into()),
    ];
    for (stage, conditions) in stages {
        let _ = writeln!(text, "    {stage}:");
        for (at, condition) in conditions.iter().enumerate() {
            let letter = &stage[..1];
            let _ = writeln!(text, "      - {{id: {letter}{at}, when: '{condition}'}}");
        }
    }
}
