//! What holds over more customers than are planned at once.

use std::collections::BTreeSet;

use super::Tester;
use crate::campaign::{Audience, BLOCK, Position};
use crate::decision::testing::catalog_after;
use crate::domain::ids::CustomerId;

/// Two blocks, the second of which is looked at while the first is decided.
const CUSTOMERS: usize = BLOCK + 700;

#[test]
fn blocks_that_are_looked_at_ahead_are_decided_once_on_the_catalog_of_then_within_the_limits_of_the_run() {
    let names = (0..CUSTOMERS).map(|number| CustomerId::known(&format!("n-{number}")).unwrap());
    let (audience, _) = Audience::listed(names.collect());
    for renewed in [false, true] {
        let mut tester = Tester::new("caps: []");
        tester.request.preview = false;
        tester.limits = vec![("savings_a", Some(9_000), 0), ("savings_b", Some(7_000), 0)];
        let before = tester.engine.active();
        if renewed {
            let next = catalog_after(
                &before.catalog,
                "volumes: [{id: v, at_most: 8000, of: decided, per: day, offers: [savings_a]}]",
            );
            *tester.next_catalog.lock() = Some(next);
        }
        let summary = tester.run(&audience, Position::default()).unwrap();
        let told = tester.told();
        let everybody: BTreeSet<&CustomerId> = told.iter().map(|(customer, ..)| customer).collect();
        assert_eq!((told.len(), everybody.len()), (CUSTOMERS, CUSTOMERS));
        assert!(told.is_sorted_by_key(|(customer, ..)| customer.key()));
        let given = |name: &str| told.iter().filter(|(_, offers, _)| offers == &[name]).count() as u64;
        assert_eq!(summary.used, [given("savings_a"), given("savings_b")]);
        let most = [if renewed { 8_000 } else { 9_000 }, 7_000];
        for (used, most) in summary.used.iter().zip(most) {
            // In the last block there may be too few customers for all that is left.
            assert!((most - 100..=most).contains(used), "{used} of {most}");
        }
        let reserved = told.iter().filter(|(customer, offers, _)| {
            let profile = tester.engine.profile(customer).unwrap_or_default();
            profile.contacts.len() == offers.len()
        });
        assert_eq!(reserved.count(), CUSTOMERS, "each has what was told, and nothing twice");
    }
}
