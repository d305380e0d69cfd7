//! Bytes that nobody meant: whatever still decodes is converted or refused with a reason, and never breaks anything.

use nbo::catalog::Catalog;
use nbo::domain::symbol::Symbols;
use nbo::server::convert::fault::Faults;
use nbo::server::convert::{events, offers, outcomes, profiles};
use nbo::server::wire::attribute_value::Kind;
use nbo::server::wire::{self, Outcome};
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;

use crate::served::{CORNER_BANK, MORNING, aged, catalog, customer, hero, search, text, value};

fn whole_request() -> wire::GetOffersRequest {
    let mut event = search("e1", "fund");
    event.attributes.insert("results".to_owned(), value(Kind::Number(3.0)));
    event.time = Some(super::seconds(-60));
    wire::GetOffersRequest {
        context: [("device".to_owned(), text("phone"))].into(),
        events: vec![event],
        explain: true,
        ..hero("anna")
    }
}

fn whole_change() -> wire::UpsertProfileRequest {
    let holdings = wire::TextSet {
        values: vec!["fund".to_owned()],
    };
    let mut change = aged("anna", 40.0);
    change
        .attributes
        .insert("holdings".to_owned(), value(Kind::Set(holdings)));
    change.attributes.insert("member_since".to_owned(), text("2020-02-29"));
    change.channel_opt_outs.insert("web".to_owned(), true);
    change.consents.push(wire::Consent {
        purpose: "advertising".to_owned(),
        channel: "web".to_owned(),
        granted: Some(false),
    });
    change
}

/// Overwrites bytes of a good message, cuts it, and converts what still decodes.
fn check<M: Message + Default, T>(
    good: &M,
    spoil: &[(usize, u8)],
    cut: usize,
    convert: impl Fn(&M) -> Result<T, Faults>,
) {
    let mut bytes = good.encode_to_vec();
    let len = bytes.len();
    for &(at, byte) in spoil {
        bytes[at % len] = byte;
    }
    bytes.truncate(len - cut % len);
    let Ok(decoded) = M::decode(bytes.as_slice()) else {
        return;
    };
    if let Err(faults) = convert(&decoded) {
        assert!(!faults.listed().is_empty() && !faults.to_string().is_empty());
        for fault in faults.listed() {
            assert!(!fault.field.is_empty() && !fault.description.is_empty(), "{fault:?}");
            assert!(fault.description.len() < 1_000, "{fault:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn spoilt_messages_are_converted_or_refused_with_a_reason(
        spoil in vec((any::<usize>(), any::<u8>()), 0..4),
        cut in prop_oneof![Just(0_usize), any::<usize>()],
    ) {
        thread_local! {
            static CATALOG: std::sync::Arc<Catalog> = catalog(CORNER_BANK, &Symbols::default());
        }
        CATALOG.with(|catalog| {
            check(&whole_request(), &spoil, cut, |given| offers::request(given, catalog, MORNING));
            let recording = wire::RecordEventsRequest {
                customer: Some(customer("anna")),
                events: whole_request().events,
                offers: Some(whole_request()),
            };
            check(&recording, &spoil, cut, |given| events::recording(given, catalog, MORNING));
            check(&whole_change(), &spoil, cut, |given| profiles::change(given, catalog));
            let report = wire::RecordOutcomeRequest {
                decision_id: "0".repeat(40),
                offer_id: "fund_world".to_owned(),
                outcome: Outcome::Seen.into(),
                time: Some(super::seconds(0)),
                placement: "home_hero".to_owned(),
            };
            check(&report, &spoil, cut, |given| outcomes::report(given, catalog, MORNING));
        });
    }
}
