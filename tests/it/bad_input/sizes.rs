//! Too much of anything.

use nbo::server::wire;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::served::{Served, customer, hero};

#[tokio::test]
async fn an_oversized_message_is_refused_with_the_limit() {
    let served = Served::start().await;
    let request = wire::GetOffersRequest {
        channel: "w".repeat(5_000_000),
        ..hero("anna")
    };
    let status = served.decisions().get_offers(request).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange);
    assert!(status.message().contains("limit is: 1048576 bytes"), "{status:?}");
    served.decisions().get_offers(hero("anna")).await.unwrap();
}

#[tokio::test]
async fn a_flood_of_faults_still_gets_a_readable_answer() {
    let served = Served::start().await;
    let events: Vec<_> = (0..100)
        .map(|number| wire::Event {
            r#type: "ß".repeat(1_000),
            id: format!("e{number}"),
            ..Default::default()
        })
        .collect();
    let request = wire::RecordEventsRequest {
        customer: Some(customer("anna")),
        events,
        offers: None,
    };
    let told = ("events[19].type", "`ßßß");
    let status = served.behaviour().record_events(request).await.unwrap_err();
    let details = status.get_details_bad_request().unwrap();
    assert_eq!(details.field_violations.len(), 20);
    let last = &details.field_violations[19];
    assert!(last.field == told.0 && last.description.contains(told.1), "{last:?}");
    assert!(status.message().ends_with("and 97 more"), "{}", status.message());
}
