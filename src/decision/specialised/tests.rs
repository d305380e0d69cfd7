//! Factorised scores against a plain walk through the trees, and parts against rows.

use std::sync::{Arc, LazyLock};

use proptest::prelude::*;

use super::super::facts::Layout;
use super::super::features::Rows;
use super::super::features_tests::{OFFERS, plan, somebody};
use super::super::testing::{T0, catalog_with};
use super::*;
use crate::decision::features;
use crate::domain::time::Millis;

/// Numbers among which ties are likely, with those right beside and those at the ends.
const NUMBERS: [f32; 14] = [
    -3.0,
    -1.0,
    -0.0,
    0.0,
    1e-35,
    0.5,
    1.0,
    1.000_000_1,
    2.0,
    7.0,
    f32::MAX,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::NAN,
];

/// A stream of choices from a seed.
pub(crate) struct Choices(pub(crate) u64);

impl Choices {
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end
    }

    pub(crate) fn number(&mut self) -> f32 {
        NUMBERS[self.below(NUMBERS.len())]
    }

    fn test(&mut self) -> Test {
        let threshold = loop {
            let number = self.number();
            if number > f32::NEG_INFINITY {
                break number;
            }
        };
        let tests = [
            Test::AtMost,
            Test::Below,
            Test::AtLeast,
            Test::Above,
            Test::Equals,
            Test::Differs,
        ];
        tests[self.below(tests.len())](threshold)
    }

    /// Grows a tree: bushy, or one long branch.
    fn tree(&mut self, features: usize, leaves: usize, is_chain: bool) -> Tree {
        let mut nodes = vec![Node::Leaf(0.0)];
        let mut ends = vec![0];
        while ends.len() < leaves {
            let at = if is_chain {
                ends.len() - 1
            } else {
                self.below(ends.len())
            };
            let end = ends.swap_remove(at);
            let (one, other) = (nodes.len(), nodes.len() + 1);
            let is_turned = self.below(2) == 0;
            nodes[end] = Node::Split {
                column: self.below(features),
                test: self.test(),
                missing_holds: self.below(2) == 0,
                holds: if is_turned { other } else { one },
                fails: if is_turned { one } else { other },
            };
            nodes.extend([Node::Leaf(0.0); 2]);
            ends.extend([one, other]);
        }
        for end in ends {
            nodes[end] = Node::Leaf(self.below(2_000) as f32 / 1_000.0 - 1.0);
        }
        Tree { nodes }
    }

    pub(crate) fn ensemble(&mut self, features: usize, leaves_max: usize) -> Formula {
        let trees = (0..=self.below(12)).map(|_| {
            let leaves = 1 + self.below(leaves_max);
            let is_chain = self.below(4) == 0;
            self.tree(features, if is_chain { leaves.min(60) } else { leaves }, is_chain)
        });
        Formula {
            body: Body::Trees(Ensemble {
                trees: trees.collect(),
                divisor: (self.below(3) == 0).then_some(3.0),
                base: self.below(100) as f32 / 100.0,
            }),
            ..self.around(features)
        }
    }

    fn sum(&mut self, features: usize) -> Formula {
        let weights = (0..features).map(|_| self.below(200) as f32 / 100.0 - 1.0);
        Formula {
            body: Body::Linear(Linear {
                weights: weights.collect(),
                bias: 0.25,
            }),
            ..self.around(features)
        }
    }

    fn around(&mut self, features: usize) -> Formula {
        let adjust = |choices: &mut Self| match choices.below(6) {
            0 => Adjust::Impute(1.0),
            1 => Adjust::Scale {
                offset: 0.5,
                scale: 2.0,
            },
            2 => Adjust::ImputeAndScale {
                imputed: 2.0,
                offset: 1.0,
                scale: -1.0,
            },
            _ => Adjust::Keep,
        };
        let finishes = [
            vec![],
            vec![Finish::Logistic],
            vec![Finish::Negate, Finish::Logistic],
            vec![Finish::Complement],
        ];
        Formula {
            adjust: (0..features).map(|_| adjust(self)).collect(),
            body: Body::Linear(Linear {
                weights: Vec::new(),
                bias: 0.0,
            }),
            finish: finishes[self.below(finishes.len())].clone(),
        }
    }
}

/// The plain definition: from the root to a leaf, tree after tree.
#[expect(clippy::float_cmp, reason = "that is what the modes are")]
fn walk(formula: &Formula, row: &[f32]) -> f32 {
    let Body::Trees(ensemble) = &formula.body else {
        panic!("a weighted sum has no trees");
    };
    let mut sum = 0.0;
    for tree in &ensemble.trees {
        let mut at = 0;
        sum += loop {
            match tree.nodes[at] {
                Node::Leaf(value) => break value,
                Node::Split {
                    column,
                    test,
                    missing_holds,
                    holds,
                    fails,
                } => {
                    let number = formula.adjust[column].apply(row[column]);
                    let is_so = match test {
                        Test::AtMost(threshold) => number <= threshold,
                        Test::Below(threshold) => number < threshold,
                        Test::AtLeast(threshold) => number >= threshold,
                        Test::Above(threshold) => number > threshold,
                        Test::Equals(threshold) => number == threshold,
                        Test::Differs(threshold) => number != threshold,
                    };
                    at = if is_so || (number.is_nan() && missing_holds) {
                        holds
                    } else {
                        fails
                    };
                }
            }
        };
    }
    let sum = ensemble.divisor.map_or(sum, |divisor| sum / divisor) + ensemble.base;
    formula.finish.iter().fold(sum, |score, finish| finish.apply(score))
}

/// A catalog with one model whose columns are of every kind.
static CATALOG: LazyLock<Catalog> = LazyLock::new(|| catalog(None));

/// The same with many offers, of which none tells its days: those of a group lie side by side.
static MANY: LazyLock<Catalog> = LazyLock::new(|| {
    let offer = |number: usize| {
        let (group, kind) = (
            ["savings", "fund"][number % 7 / 4],
            ["plain", "green", "star"][number % 3],
        );
        format!(
            "  - {{ id: o{number}, group: {group}, name: O, attributes: {{ rate: {}, kind: {kind} }}, treatments: {{ web: {{ t: x }} }} }}\n",
            number % 11
        )
    };
    let offers: String = (0..90).map(offer).collect();
    let mut catalog = Arc::into_inner(catalog_with(&format!("{}\n{offers}", OFFERS.trim_end()))).unwrap();
    let mut model = plan(&catalog);
    model.columns.retain(|column| column.encoding != Encoding::DaysSince);
    with_model(&mut catalog, model);
    catalog
});

/// Catalogs with one model of so many columns.
static WIDE: LazyLock<Vec<(usize, Catalog)>> =
    LazyLock::new(|| [1, 6, 10, 40].map(|width| (width, catalog(Some(width)))).into());

pub(crate) fn catalog(width: Option<usize>) -> Catalog {
    let mut catalog = Arc::into_inner(catalog_with(OFFERS)).unwrap();
    let mut model = plan(&catalog);
    if let Some(width) = width {
        model.columns = vec![model.columns[0].clone(); width];
    }
    with_model(&mut catalog, model);
    catalog
}

fn with_model(catalog: &mut Catalog, mut model: ModelPlan) {
    model.by_offer.clear();
    model.encode_offers(&catalog.offers);
    catalog.models.push(model);
    for group in &mut catalog.groups {
        group.model = Some(0);
    }
}

/// Asserts that every row has the score of a plain walk.
#[track_caller]
fn check_rows(formula: &Formula, choices: &mut Choices) {
    let features = formula.features();
    let (_, catalog) = WIDE.iter().find(|(width, _)| *width == features).unwrap();
    let specialised = Specialised::new(formula, catalog, 0).unwrap();
    let mut scratch = Scratch::default();
    for _ in 0..40 {
        let row: Vec<f32> = (0..features).map(|_| choices.number()).collect();
        let (score, expected) = (specialised.score_row(&row, &mut scratch), walk(formula, &row));
        let is_same = (score - expected).abs() <= 0.0 || score.to_bits() == expected.to_bits();
        assert!(
            is_same || (score.is_nan() && expected.is_nan()),
            "{score} {expected} for {row:?} by {formula:?}"
        );
    }
}

/// Asserts that what is scored in parts has the bits of its row, whichever offers are asked for.
fn check_parts(formula: &Formula, catalog: &Catalog, choices: &mut Choices) {
    let specialised = Specialised::new(formula, catalog, 0).unwrap();
    let (mut scratch, mut scores) = (Scratch::default(), Vec::new());
    for days in [0, 1, 6, 40] {
        let now = T0 + Millis::DAY.times(days);
        let profile = somebody(catalog);
        let (mut layout, mut rows) = (Layout::default(), Rows::default());
        layout.fill(catalog, &profile, now);
        let few = 1 + choices.below(4);
        let offers: Vec<u16> = (0..catalog.offers.len())
            .filter(|_| choices.below(5) >= few)
            .map(|offer| u16::try_from(offer).unwrap())
            .collect();
        features::build(
            catalog,
            &catalog.models[0],
            &layout,
            &profile,
            &[],
            &offers,
            now,
            &mut rows,
        );
        specialised.score(&rows.parts, catalog, &offers, &mut scratch, &mut scores);
        assert_eq!(scores.len(), offers.len());
        for (row, score) in rows.cells.chunks(specialised.features()).zip(&scores) {
            let alone = specialised.score_row(row, &mut scratch);
            assert!(alone.to_bits() == score.to_bits() || (alone.is_nan() && score.is_nan()));
        }
    }
}

proptest! {
    #[test]
    fn trees_score_as_a_plain_walk_does_whatever_is_missing_tied_or_endless(seed: u64) {
        let mut choices = Choices(seed);
        for (features, leaves) in [(1, 5), (6, 32), (6, 64), (40, 300)] {
            let formula = choices.ensemble(features, leaves);
            check_rows(&formula, &mut choices);
        }
    }

    #[test]
    fn an_offer_scores_the_same_bits_in_parts_and_as_a_row(seed: u64) {
        let mut choices = Choices(seed);
        for catalog in [&*CATALOG, &*MANY] {
            let features = catalog.models[0].columns.len();
            for leaves in [2, 32, 200] {
                let formula = choices.ensemble(features, leaves);
                check_parts(&formula, catalog, &mut choices);
            }
            let formula = choices.sum(features);
            check_parts(&formula, catalog, &mut choices);
        }
    }
}

#[test]
fn a_way_of_more_than_63_questions_is_refused_and_one_of_63_is_not() {
    let mut choices = Choices(1);
    let formula = |leaves: usize, choices: &mut Choices| Formula {
        adjust: vec![Adjust::Keep; 10],
        body: Body::Trees(Ensemble {
            trees: vec![choices.tree(10, leaves, true)],
            divisor: None,
            base: 0.0,
        }),
        finish: Vec::new(),
    };
    check_rows(&formula(64, &mut choices), &mut choices);
    let deep = Specialised::new(&formula(80, &mut choices), &CATALOG, 0);
    assert_eq!(deep.err(), Some(Unfit::Deep));
}

#[test]
fn a_formula_for_another_number_of_columns_is_refused() {
    let formula = Choices(1).sum(3);
    let unfit = Specialised::new(&formula, &CATALOG, 0).unwrap_err();
    assert_eq!(unfit.to_string(), "it reads 3 columns, the catalog has 10 for it");
}

#[test]
fn every_column_is_worked_in_where_its_value_belongs() {
    let split = Specialised::new(&Choices(1).sum(10), &CATALOG, 0).unwrap().split();
    let expected = Split {
        shared: 3,
        group: 1,
        offer: 4,
        pair: 2,
    };
    assert_eq!(split, expected);
}
