//! Assignments against an exact integer solver, and against first come, first served.

use microlp::{ComparisonOp, OptimizationDirection, Problem};

use super::*;

/// A repeatable stream of numbers.
struct Draws(u64);

impl Draws {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) as usize % end
    }

    /// A priority from 0 to 10, often one of a few, since start propensities are the same for everybody.
    fn priority(&mut self) -> f64 {
        if self.below(3) == 0 {
            [0.5, 1.0, 2.0][self.below(3)]
        } else {
            self.below(10_000) as f64 / 1_000.0
        }
    }
}

struct Case {
    block: Block,
    limits: Limits,
    room: Vec<Room>,
}

fn case(seed: u64, customers: usize, offers: usize, with_at_least: bool) -> Case {
    let mut draws = Draws(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut block = Block::new(1 + draws.below(2));
    for _ in 0..customers {
        let mut choices = Vec::new();
        for offer in 0..offers {
            if draws.below(5) > 0 {
                choices.push(Choice {
                    offer: u16::try_from(offer).unwrap(),
                    priority: draws.priority(),
                });
            }
        }
        block.push(&choices);
    }
    let limits = (0..=draws.below(6)).map(|at| {
        let covered = (0..offers).map(|offer| if at == 0 { offer == 0 } else { draws.below(2) == 0 });
        let offers: Vec<bool> = covered.collect();
        let at_most = draws.below(customers / 2 + 1) as u64;
        let at_least = if with_at_least && at == 0 {
            at_most.min(draws.below(customers / 3) as u64)
        } else {
            0
        };
        Limit {
            offers,
            at_most: Some(at_most),
            at_least,
        }
    });
    let limits = Limits::new(limits.collect(), offers);
    let room = limits.room(&vec![0; limits.all().len()], 1.0);
    Case { block, limits, room }
}

/// The largest sum that keeps every limit; `None` when what must be given cannot be.
fn optimum(case: &Case) -> Option<f64> {
    let mut problem = Problem::new(OptimizationDirection::Maximize);
    let choices = &case.block.choices;
    let variables: Vec<_> = choices
        .iter()
        .map(|choice| problem.add_binary_var(choice.priority))
        .collect();
    for customer in 0..case.block.len() {
        let own: Vec<_> = case.block.range(customer).map(|at| (variables[at], 1.0)).collect();
        if !own.is_empty() {
            problem.add_constraint(&own, ComparisonOp::Le, case.block.count as f64);
        }
    }
    for (limit, room) in case.room.iter().enumerate() {
        let covered = |&at: &usize| {
            case.limits
                .of(choices[at].offer)
                .contains(&u16::try_from(limit).unwrap())
        };
        let own: Vec<_> = (0..choices.len())
            .filter(covered)
            .map(|at| (variables[at], 1.0))
            .collect();
        if own.is_empty() {
            continue;
        }
        problem.add_constraint(&own, ComparisonOp::Le, room.at_most as f64);
        problem.add_constraint(&own, ComparisonOp::Ge, room.at_least as f64);
    }
    Some(problem.solve().ok()?.into_solution().ok()?.objective())
}

/// Gives everybody in turn the best that is left.
fn first_come_first_served(case: &Case) -> f64 {
    let mut used = vec![0; case.room.len()];
    let mut sum = 0.0;
    for customer in 0..case.block.len() {
        let mut choices = case.block.of(customer).to_vec();
        choices.sort_by(|a, b| falling(a.priority, b.priority));
        let mut given = 0;
        for choice in choices {
            let limits = case.limits.of(choice.offer);
            let fits = limits
                .iter()
                .all(|&limit| used[usize::from(limit)] < case.room[usize::from(limit)].at_most);
            if given < case.block.count && fits {
                given += 1;
                sum += choice.priority;
                for &limit in limits {
                    used[usize::from(limit)] += 1;
                }
            }
        }
    }
    sum
}

/// Asserts that a plan is one at all, and returns how many of each limit it gives.
fn check(case: &Case, plan: &Plan<'_>) -> Vec<u64> {
    let mut used = vec![0; case.room.len()];
    for customer in 0..case.block.len() {
        let given: Vec<u16> = plan.of(customer).collect();
        assert!(given.len() <= case.block.count, "customer {customer} gets {given:?}");
        for offer in given {
            case.limits
                .of(offer)
                .iter()
                .for_each(|&limit| used[usize::from(limit)] += 1);
        }
    }
    for (limit, (used, room)) in used.iter().zip(&case.room).enumerate() {
        assert!(
            used <= &room.at_most,
            "limit {limit}: {used} were given, {} allowed",
            room.at_most
        );
    }
    used
}

#[test]
fn limits_are_never_exceeded_and_the_gap_to_the_exact_optimum_is_as_stated() {
    let (mut gaps, mut ours, mut served) = (Vec::new(), 0.0, 0.0);
    for seed in 0..300 {
        let size = usize::try_from(seed % 19).unwrap();
        let case = case(seed, 6 + size, 3 + size % 6, seed % 3 == 0);
        let plan = assign(&case.block, &case.limits, &case.room, &mut Prices::default());
        let used = check(&case, &plan);
        let Some(best) = optimum(&case) else { continue };
        assert!(
            plan.bound >= best - 1e-6,
            "seed {seed}: the bound {} is below the optimum {best}",
            plan.bound
        );
        let meets = used.iter().zip(&case.room).all(|(used, room)| *used >= room.at_least);
        assert!(
            meets,
            "seed {seed}: {used:?} of {:?}, though all could be met",
            case.room
        );
        assert!(
            plan.objective <= best + 1e-6,
            "seed {seed}: {} is above the optimum {best}",
            plan.objective
        );
        let gap = if best > 0.0 { 1.0 - plan.objective / best } else { 0.0 };
        assert!(gap <= GAP_MAX, "seed {seed}: {gap} below the optimum {best}");
        gaps.push(gap);
        ours += plan.objective;
        served += first_come_first_served(&case);
    }
    let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
    let worst = gaps.iter().copied().fold(0.0, f64::max);
    println!(
        "{} cases: mean gap {mean:.5}, worst {worst:.4}, over first come {:.4}",
        gaps.len(),
        ours / served
    );
    assert!(gaps.len() > 250, "only {} cases could be solved", gaps.len());
    assert!(mean <= GAP_MEAN_MAX, "the mean gap is {mean}");
    assert!(
        ours > served * 1.02,
        "{ours} is hardly more than first come, first served with {served}"
    );
}

#[test]
fn a_scarce_offer_goes_to_those_for_whom_it_is_worth_most_whoever_comes_first() {
    let mut block = Block::new(1);
    let plain = Choice {
        offer: 1,
        priority: 0.5,
    };
    for customer in 0..100 {
        let scarce = Choice {
            offer: 0,
            priority: 0.51 + f64::from(customer) / 100.0,
        };
        block.push(&[scarce, plain]);
    }
    let limits = Limits::new(
        vec![Limit {
            offers: vec![true, false],
            at_most: Some(10),
            at_least: 0,
        }],
        2,
    );
    let given = assign(&block, &limits, &limits.room(&[0], 1.0), &mut Prices::default());
    let lucky: Vec<usize> = (0..100).filter(|&customer| given.of(customer).eq([0])).collect();
    assert_eq!(lucky, (90..100).collect::<Vec<_>>());
    assert!((0..90).all(|customer| given.of(customer).eq([1])));
}

#[test]
fn equal_customers_share_out_all_that_there_is() {
    let mut block = Block::new(1);
    for _ in 0..1_000 {
        let both = [1.0, 0.6].into_iter().zip(0..);
        let choices: Vec<Choice> = both.map(|(priority, offer)| Choice { offer, priority }).collect();
        block.push(&choices);
    }
    let limit = |offers: [bool; 2], at_most, at_least| Limit {
        offers: offers.to_vec(),
        at_most,
        at_least,
    };
    let limits = Limits::new(vec![limit([true, false], Some(100), 0)], 2);
    let plan = assign(&block, &limits, &limits.room(&[0], 1.0), &mut Prices::default());
    assert!((plan.objective - 640.0).abs() < 1e-9, "{}", plan.objective);
    let limits = Limits::new(vec![limit([false, true], None, 300)], 2);
    let plan = assign(&block, &limits, &limits.room(&[0], 1.0), &mut Prices::default());
    assert!(
        (plan.objective - 880.0).abs() < 1e-9,
        "at least 300 get the second: {}",
        plan.objective
    );
}

#[test]
fn blocks_together_never_give_more_than_there_is_and_leave_little() {
    let (customers, blocks) = (200, 40);
    let mut used = vec![0_u64];
    let limits = Limits::new(
        vec![Limit {
            offers: vec![true, false],
            at_most: Some(777),
            at_least: 0,
        }],
        2,
    );
    let (mut prices, mut sum, mut all) = (Prices::default(), 0.0, Vec::new());
    for number in 0..blocks {
        let mut draws = Draws(number + 1);
        let mut block = Block::new(1);
        for _ in 0..customers {
            let scarce = draws.priority();
            all.push(scarce);
            block.push(&[Choice {
                offer: 0,
                priority: scarce,
            }]);
        }
        let room = limits.room(&used, 1.0 / f64::from(u32::try_from(blocks - number).unwrap()));
        let plan = assign(&block, &limits, &room, &mut prices);
        used[0] += (0..block.len())
            .map(|customer| plan.of(customer).count() as u64)
            .sum::<u64>();
        sum += plan.objective;
    }
    assert_eq!(used, [777]);
    all.sort_by(|a, b| falling(*a, *b));
    let best: f64 = all.iter().take(777).sum();
    assert!(sum > best * 0.99, "{sum} of {best}");
}

#[test]
fn what_cannot_be_given_in_full_is_given_as_far_as_it_goes_and_the_bound_still_is_one() {
    let mut block = Block::new(1);
    for customer in 0..50 {
        let wanted = Choice {
            offer: 0,
            priority: 0.1,
        };
        let other = Choice {
            offer: 1,
            priority: 1.0,
        };
        let choices = [other, wanted];
        block.push(if customer < 20 { &choices } else { &choices[..1] });
    }
    let limits = Limits::new(
        vec![Limit {
            offers: vec![true, false],
            at_most: None,
            at_least: 40,
        }],
        2,
    );
    let plan = assign(&block, &limits, &limits.room(&[0], 1.0), &mut Prices::default());
    assert_eq!((0..50).filter(|&customer| plan.of(customer).eq([0])).count(), 20);
    assert!((plan.objective - 32.0).abs() < 1e-9, "{}", plan.objective);
    assert!(
        plan.bound >= plan.objective - 1e-9 && plan.bound < 33.0,
        "{}",
        plan.bound
    );
}

#[test]
fn a_limit_of_zero_is_never_and_none_is_no_limit() {
    let mut block = Block::new(2);
    block.push(&[
        Choice {
            offer: 0,
            priority: 5.0,
        },
        Choice {
            offer: 1,
            priority: 0.0,
        },
    ]);
    for (at_most, expected) in [(Some(0), vec![1]), (None, vec![0, 1])] {
        let limits = Limits::new(
            vec![Limit {
                offers: vec![true, false],
                at_most,
                at_least: 0,
            }],
            2,
        );
        let plan = assign(&block, &limits, &limits.room(&[0], 1.0), &mut Prices::default());
        assert_eq!(plan.of(0).collect::<Vec<_>>(), expected);
    }
}
