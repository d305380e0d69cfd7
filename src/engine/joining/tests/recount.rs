//! No cap is exceeded by two who are one: recounted by what a test knows by itself.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::decision::unite;
use crate::domain::entry::Cancellation;
use crate::domain::ids::CustomerKey;

/// What a test knows by itself: who is joined to whom, and what was shown to whom and not taken back.
#[derive(Default)]
struct Witness {
    joined: HashMap<CustomerKey, CustomerKey>,
    shown: Vec<(CustomerKey, Timestamp, usize)>,
}

impl Witness {
    fn is_one(&self, one: CustomerKey, other: CustomerKey) -> bool {
        let person = |key: CustomerKey| self.joined.get(&key).copied().unwrap_or(key);
        person(one) == person(other)
    }

    /// Counts what was shown to somebody, and to whoever is one with them, within the last week.
    fn count(&self, who: CustomerKey, now: Timestamp) -> usize {
        let counts = |(whose, at, _): &&(CustomerKey, Timestamp, usize)| {
            self.is_one(*whose, who) && now - *at < Millis::DAY.times(7)
        };
        self.shown.iter().filter(counts).map(|(_, _, count)| count).sum()
    }
}

#[test]
fn no_cap_is_exceeded_over_all_who_are_one_whatever_is_joined_parted_and_restarted() {
    const CAP: usize = 9;
    for seed in 0..6_u64 {
        let root = tempfile::tempdir().unwrap();
        let (mut engine, _) = open(root.path(), CATALOGS[0]).unwrap();
        let mut state = seed * 2 + 77;
        let mut roll = |sides: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) % sides
        };
        let customers = [anna(), CustomerId::known("berta").unwrap()];
        let mut witness = Witness::default();
        let (mut now, mut stopped, mut at_once) = (T0, 0, 0);
        for _ in 0..500 {
            now = now + Millis::MINUTE.times(i64::try_from(roll(300)).unwrap());
            let visitor = cookie(roll(4));
            let customer = customers[usize::try_from(roll(2)).unwrap()].clone();
            let who = if roll(2) == 0 { &visitor } else { &customer };
            match roll(12) {
                0 => {
                    let merged =
                        engine.merge_customers(&engine.active(), &visitor, &customer, Precedence::Visitor, now);
                    match merged {
                        Ok(Merged { merged: true, .. }) => {
                            witness.joined.insert(visitor.key(), customer.key());
                            at_once += usize::from(witness.count(customer.key(), now) > CAP);
                        }
                        Ok(_) | Err(Rejection::JoinedToAnother) => {}
                        Err(other) => panic!("{other}"),
                    }
                }
                1 => {
                    let parted = engine.unmerge_customers(&engine.active(), &visitor, now).unwrap();
                    assert_eq!(parted.unmerged, witness.joined.remove(&visitor.key()).is_some());
                }
                2 if roll(4) == 0 => engine = again(engine, root.path()),
                2 => drop(engine.checkpoint(&root.path().join("checkpoints"), u64::MAX).unwrap()),
                3 => {
                    let decision = ask(&engine, who, 1, now);
                    if let Some(id) = decision.id {
                        let cancellation = Cancellation {
                            decision: id.number,
                            offer: None,
                            placement: None,
                            at: now,
                        };
                        engine.cancel(&engine.active(), id.customer, &cancellation).unwrap();
                    }
                }
                _ => {
                    let before = witness.count(who.key(), now);
                    let decision = ask(&engine, who, 2, now);
                    let count = shown(&decision);
                    assert_eq!(count, CAP.saturating_sub(before).min(2), "seed {seed}: {before} before");
                    stopped += usize::from(count < 2);
                    if let Some(id) = decision.id {
                        assert!(witness.is_one(id.customer, who.key()));
                        witness.shown.push((id.customer, now, count));
                    }
                }
            }
        }
        assert!(
            stopped > 20 && at_once > 0,
            "seed {seed}: {stopped} stopped, {at_once} full at once"
        );
    }
}

#[test]
fn calls_that_race_with_joining_and_parting_neither_exceed_a_cap_nor_lose_a_contact() {
    let catalog = catalog_with(
        "caps: [{ id: ever, because: w, at_most: 4, of: decided, within: ever }]
volumes: [{ id: all, at_most: 100000, of: decided, per: ever }]",
    );
    let clock = AtomicU64::new(0);
    for round in 0..150_u64 {
        let engine = engine_on(&catalog);
        let (anna, cookie) = (anna(), cookie(round));
        ask(&engine, &anna, 1, T0);
        ask(&engine, &cookie, 1, T0);
        let parts = round % 3 == 0;
        let now = || T0 + Millis::new(clock.fetch_add(1, Ordering::Relaxed).cast_signed());
        let made: Vec<(bool, Decision)> = std::thread::scope(|scope| {
            let (engine, anna, cookie, now) = (&engine, &anna, &cookie, &now);
            scope.spawn(move || {
                std::thread::yield_now();
                merge(engine, cookie, anna).unwrap();
                if parts {
                    unmerge(engine, cookie).unwrap();
                    merge(engine, cookie, anna).unwrap();
                }
            });
            let asking: Vec<_> = (0..3)
                .map(|thread| {
                    scope.spawn(move || {
                        let is_visitor = thread > 0;
                        let who = if is_visitor { cookie } else { anna };
                        let asked = (0..3).map(|_| (is_visitor, ask(engine, who, 1, now())));
                        asked.collect::<Vec<_>>()
                    })
                })
                .collect();
            asking.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        let profile = engine.profile(&anna).unwrap();
        let of_both = unite::contacts(&profile).len();
        let answered: usize = made.iter().map(|(_, decision)| shown(decision)).sum();
        assert_eq!(
            of_both,
            2 + answered,
            "round {round}: each contact stands once with the customer"
        );
        let is_one = |decision: &Decision| decision.id.is_some_and(|id| id.customer == anna.key());
        // Once a call of the visitor was answered as the customer's, all counted all.
        if !parts
            && made
                .iter()
                .any(|(is_visitor, decision)| *is_visitor && is_one(decision))
        {
            assert!(of_both <= 4, "round {round}: {of_both}");
        }
        assert_eq!(shown(&ask(&engine, &cookie, 1, now())), usize::from(of_both < 4));
        assert_eq!(engine.customers(), 1, "round {round}: nobody slipped through");
        let rooms = engine.volume_rooms(&engine.active(), now());
        let counted = unite::contacts(&engine.profile(&anna).unwrap()).len();
        assert_eq!(usize::try_from(rooms.list()[0].count).unwrap(), counted);
    }
}
