//! What a run leaves in the cache of lists that live calls are served from.

use std::sync::atomic::Ordering;

use super::{CUSTOMERS, Tester, id};
use crate::campaign::{Audience, Position};
use crate::decision::testing::T0;
use crate::domain::request::OffersRequest;

/// Customers who asked before the run.
const LIVE: usize = 40;

/// Asks for some customers, and returns how many were served from a cached list.
fn ask_live(tester: &Tester) -> usize {
    let active = tester.engine.active();
    let asked = (0..LIVE).map(|number| {
        let request = OffersRequest {
            customer: Some(id(number)),
            preview: true,
            ..tester.request.clone()
        };
        tester.engine.offers(&active, &request, T0).unwrap()
    });
    asked.filter(|decision| decision.cached).count()
}

#[test]
fn a_run_over_everybody_leaves_the_cached_lists_as_they_were_and_uses_them() {
    let limits = vec![("savings_a", Some(300), 0), ("savings_b", Some(200), 0)];
    for (preview, limits, explain) in [
        (true, Vec::new(), false),
        (true, limits.clone(), false),
        (true, limits.clone(), true),
        (false, Vec::new(), false),
        (false, limits, false),
    ] {
        let mut tester = Tester::new("caps: []");
        tester.request.preview = preview;
        tester.request.explain = explain;
        tester.limits = limits;
        assert_eq!((ask_live(&tester), tester.engine.lists_cached()), (0, LIVE));
        let summary = tester.run(&Audience::Everyone, Position::default()).unwrap();
        assert_eq!(summary.totals.customers, CUSTOMERS as u64);
        assert_eq!((tester.engine.lists_cached(), ask_live(&tester)), (LIVE, LIVE));
        // Who was looked at for a plan is decided for by the list of then.
        let is_planned = !tester.limits.is_empty();
        let cached = if is_planned { CUSTOMERS } else { LIVE };
        assert_eq!(tester.cached.load(Ordering::Relaxed), cached, "{is_planned}");
    }
}
