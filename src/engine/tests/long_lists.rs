//! Lists longer than what is kept in order.

use std::fmt::Write as _;

use super::*;
use crate::decision::rank::LISTED;

/// The small catalog with so many savings offers before the funds, and a placement for funds only.
fn bench(savings: usize) -> Bench {
    let mut lines = "placements: [{ id: funds, count_max: 5, groups: [fund] }]\noffers:\n".to_owned();
    for number in 0..savings {
        let value = 1_000 + number;
        let _ = writeln!(
            lines,
            "  - {{ id: more_{number}, group: savings, name: M, value: {value}, treatments: {{ web: {{ t: x }} }} }}"
        );
    }
    Bench::new(catalog_with(&lines))
}

fn ask_for(bench: &Bench, placement: &str, explain: bool) -> Decision {
    let found = bench.catalog.placements.iter().position(|each| &*each.id == placement);
    let request = OffersRequest {
        placements: vec![PlacementRequest {
            placement: found.unwrap(),
            count: 3,
        }],
        preview: true,
        explain,
        ..bench.request()
    };
    bench.ask(&request, T0)
}

#[test]
fn what_stands_behind_the_end_of_a_cut_list_is_still_found() {
    let bench = bench(LISTED + 50);
    assert_eq!(bench.names(&ask_for(&bench, "funds", false)), ["fund_a"]);
    assert!(ask_for(&bench, "funds", false).cached, "the whole list is kept then");
    let best = ask_for(&bench, "top", false);
    assert!(best.cached);
    let names = [1, 2, 3].map(|before| format!("more_{}", LISTED + 50 - before));
    assert_eq!(bench.names(&best), names.each_ref().map(String::as_str));
}

#[test]
fn a_cut_list_is_cached_and_made_whole_when_more_is_asked_for() {
    let bench = bench(LISTED + 50);
    let fresh = ask_for(&bench, "top", false);
    let cached = ask_for(&bench, "top", false);
    assert_eq!((fresh.cached, cached.cached), (false, true));
    assert_eq!(cached.placements, fresh.placements);
    let funds = ask_for(&bench, "funds", false);
    assert_eq!((bench.names(&funds), funds.cached), (vec!["fund_a"], false));
    assert!(ask_for(&bench, "funds", false).cached);
}

#[test]
fn an_explanation_speaks_of_every_offer_of_a_long_list() {
    let bench = bench(LISTED + 50);
    ask_for(&bench, "top", false);
    let decision = ask_for(&bench, "top", true);
    let mut named: Vec<usize> = decision.withheld.iter().map(|reason| reason.offer).collect();
    named.extend(decision.placements[0].offers.iter().map(|shown| shown.offer));
    named.sort_unstable();
    named.dedup();
    assert_eq!(named.len(), bench.catalog.offers.len());
}
