//! When a volume has room again, against a search through all moments at which anything can change.

use proptest::prelude::*;

use super::testing::{T0, catalog_with};
use super::volumes::{RELEASES_TOLD, Room, Rooms, window};
use crate::catalog::{Catalog, Volume};
use crate::domain::contact::Counted;
use crate::domain::time::{Millis, Timestamp};

/// What counts at the beginning.
#[derive(Clone, Debug)]
struct Case {
    limit: u32,
    per: &'static str,
    paced: bool,
    counted: u64,
    /// When reservations are over, in minutes from now.
    releases: Vec<i64>,
    chosen: usize,
}

fn case() -> impl Strategy<Value = Case> {
    let per = prop::sample::select(vec!["hour", "day", "ever"]);
    let releases = prop::collection::vec(1..3_000_i64, 0..12);
    (1..8_u32, per, any::<bool>(), 0..8_u64, releases, 0..3_usize).prop_map(
        |(limit, per, paced, counted, releases, chosen)| Case {
            limit,
            per,
            paced: paced && per != "ever",
            counted,
            releases,
            chosen,
        },
    )
}

fn catalog(case: &Case, of: &str) -> std::sync::Arc<Catalog> {
    let pace = if case.paced { ", pace: even" } else { "" };
    catalog_with(&format!(
        "volumes: [{{ id: v, at_most: {}, of: {of}, per: {}{pace} }}]",
        case.limit, case.per
    ))
}

/// The room of the case at an instant, when nothing happens until then; `chosen` reservations are of the call at [`T0`].
fn room_at(catalog: &Catalog, volume: &Volume, case: &Case, chosen: i64, now: Timestamp) -> Room {
    let here = window(catalog, volume, now);
    let counted = if here.contains(T0) { case.counted } else { 0 };
    let mut open: Vec<Timestamp> = case.releases.iter().map(|&at| T0 + Millis::MINUTE.times(at)).collect();
    open.extend((0..chosen).map(|_| T0 + Millis::MINUTE.times(30)));
    open.retain(|&at| now < at);
    open.sort_unstable();
    Room::new(volume, here, counted, now).with_held(volume, open.len() as u64, open.iter().map(|&at| (at, 1)))
}

proptest! {
    #[test]
    fn room_comes_back_at_the_first_moment_at_which_time_alone_makes_any(case in case()) {
        let catalog = catalog(&case, "seen");
        let volume = &catalog.volumes[0];
        let rooms = Rooms::new(vec![room_at(&catalog, volume, &case, 0, T0)]);
        let web = catalog.channels[0].symbol;
        let earlier = vec![(catalog.placements[0].symbol, 0); case.chosen];
        let Some(used) = rooms.used_up(&catalog, &earlier, web, 1).next() else {
            prop_assert!(case.chosen < rooms.list()[0].left as usize);
            return Ok(());
        };
        // All moments at which something can change within three days, to the minute and to the millisecond of the pace.
        let minutes = (0..3 * 24 * 60).map(|minute| T0 + Millis::MINUTE.times(minute));
        let steps = minutes.flat_map(|at| {
            let within = window(&catalog, volume, at);
            let length = (within.end - within.start).get();
            let pace = (0..=i64::from(case.limit)).map(move |number| {
                within.start + Millis::new((number * length + i64::from(case.limit) - 1) / i64::from(case.limit))
            });
            let pace: Vec<_> = if case.paced { pace.collect() } else { Vec::new() };
            [at].into_iter().chain(pace)
        });
        let mut moments: Vec<Timestamp> = steps.filter(|&at| at >= T0).collect();
        moments.sort_unstable();
        moments.dedup();
        let chosen = i64::try_from(case.chosen).unwrap();
        let has_room = |at: &Timestamp| room_at(&catalog, volume, &case, chosen, *at).left > 0;
        let first = moments.into_iter().find(has_room);
        prop_assert_eq!(used.eligible_again_at, first, "{:?}", case);
    }
}

#[test]
fn more_reservations_than_are_told_promise_room_for_when_all_have_run_out() {
    let many = i64::try_from(RELEASES_TOLD).unwrap() + 10;
    let case = Case {
        limit: 2,
        per: "day",
        paced: false,
        counted: 0,
        releases: (1..=many).map(|at| 24 * 60 + at).collect(),
        chosen: 0,
    };
    let catalog = catalog(&case, "seen");
    let volume = &catalog.volumes[0];
    let rooms = Rooms::new(vec![room_at(&catalog, volume, &case, 0, T0)]);
    let used = rooms
        .used_up(&catalog, &[], catalog.channels[0].symbol, 1)
        .next()
        .unwrap();
    // With one still open there is room already: what is said is never too early.
    assert_eq!(used.eligible_again_at, Some(T0 + Millis::MINUTE.times(24 * 60 + many)));
    assert_eq!(used.changes_at, T0 + Millis::HOUR.times(14), "midnight in Madrid");
}

#[test]
fn what_the_same_call_decided_counts_until_the_window_is_over() {
    let case = Case {
        limit: 2,
        per: "day",
        paced: false,
        counted: 1,
        releases: Vec::new(),
        chosen: 1,
    };
    let catalog = catalog(&case, "decided");
    assert_eq!(catalog.volumes[0].counted, Counted::Decided);
    let rooms = Rooms::new(vec![room_at(&catalog, &catalog.volumes[0], &case, 0, T0)]);
    let earlier = [(catalog.placements[0].symbol, 0)];
    let used = rooms
        .used_up(&catalog, &earlier, catalog.channels[0].symbol, 1)
        .next()
        .unwrap();
    assert_eq!((used.count, used.limit), (2, 2));
    assert_eq!(used.eligible_again_at, Some(T0 + Millis::HOUR.times(14)));
}
