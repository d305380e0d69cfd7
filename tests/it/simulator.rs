//! The simulator over the real engine, and many threads over few customers.

mod crowd;
mod entrances;

use std::thread;

use nbo::sim::simulator::{Summary, run};

/// Runs a simulation; a failure tells how to repeat it.
fn simulate(seed: u64, steps: u64) -> Summary {
    match run(seed, steps, |_, _| {}) {
        Ok(summary) => summary,
        Err(failure) => panic!("{failure}"),
    }
}

#[test]
fn whatever_happens_every_answer_is_the_expected_one() {
    let halves = [[1, 2, 3, 4], [5, 6, 7, 8]];
    let runs: Vec<Summary> = thread::scope(|scope| {
        let started = halves.map(|seeds| scope.spawn(move || seeds.map(|seed| simulate(seed, 1_300))));
        started.into_iter().flat_map(|half| half.join().unwrap()).collect()
    });
    // A simulation in which something never happens proves nothing about it.
    for (at, (_, what)) in Summary::default().counts().iter().enumerate() {
        let count: u64 = runs.iter().map(|summary| summary.counts()[at].0).sum();
        // A full history is slow to fill and to judge.
        let least = if what.contains("full contact history") { 1 } else { 6 };
        assert!(count >= least, "{what}: only {count}");
    }
}

#[test]
fn the_same_seed_gives_the_same_answers_to_the_bit() {
    let (one, again, other) = (simulate(9, 150), simulate(9, 150), simulate(10, 150));
    assert_eq!(one, again);
    assert_ne!(one.digest, other.digest);
}
