//! Profiles and imports.

use nbo::server::wire;
use nbo::server::wire::attribute_value::Kind;
use tokio_stream::StreamExt as _;
use tonic::Code;

use super::events;
use crate::served::{self, Served, aged, customer, search, value};

fn rows(rows: Vec<wire::UpsertProfileRequest>) -> wire::ImportProfilesRequest {
    let rows = wire::ImportRows { first_row: 2, rows };
    wire::ImportProfilesRequest {
        part: Some(wire::import_profiles_request::Part::Rows(rows)),
    }
}

async fn import(served: &Served, messages: Vec<wire::ImportProfilesRequest>) -> Vec<wire::ImportProfilesResponse> {
    let answers = served
        .profiles()
        .import_profiles(tokio_stream::iter(messages))
        .await
        .unwrap();
    answers.into_inner().map(Result::unwrap).collect().await
}

#[tokio::test]
async fn a_profile_is_written_read_and_forgotten() {
    let served = Served::start().await;
    let mut profiles = served.profiles();
    let whole = wire::UpsertProfileRequest {
        attributes: [
            ("age".to_owned(), value(Kind::Number(40.0))),
            ("segment".to_owned(), served::text("private")),
            (
                "holdings".to_owned(),
                value(Kind::Set(wire::TextSet {
                    values: vec!["travel".to_owned(), "fund".to_owned()],
                })),
            ),
            ("member".to_owned(), value(Kind::Boolean(true))),
            ("member_since".to_owned(), served::text("2020-02-29")),
        ]
        .into(),
        channel_opt_outs: [("call_centre".to_owned(), true)].into(),
        ..aged("anna", 40.0)
    };
    profiles.upsert_profile(whole.clone()).await.unwrap();
    served
        .behaviour()
        .record_events(events("anna", vec![search("e1", "fund")]))
        .await
        .unwrap();
    let get = wire::GetProfileRequest {
        customer: Some(customer("anna")),
    };
    let profile = profiles.get_profile(get.clone()).await.unwrap().into_inner();
    let mut expected = whole.attributes;
    let in_order_of_the_catalog = wire::TextSet {
        values: vec!["fund".to_owned(), "travel".to_owned()],
    };
    expected.insert("holdings".to_owned(), value(Kind::Set(in_order_of_the_catalog)));
    assert_eq!(profile.attributes, expected);
    assert_eq!(
        (profile.opted_out_channels, profile.opted_out_of_all),
        (vec!["call_centre".to_owned()], false)
    );
    assert_eq!(profile.behaviour["searches_7d"], value(Kind::Number(1.0)));
    assert_eq!(profile.intents, [("fund".to_owned(), 2.0)].into());
    assert_eq!(
        (profile.recent_events[0].r#type.as_str(), profile.sessions[0].events),
        ("search", 1)
    );

    let change = wire::UpsertProfileRequest {
        attributes: [].into(),
        cleared: vec!["age".to_owned()],
        channel_opt_outs: [("call_centre".to_owned(), false)].into(),
        ..aged("anna", 0.0)
    };
    profiles.upsert_profile(change).await.unwrap();
    let profile = profiles.get_profile(get.clone()).await.unwrap().into_inner();
    assert!(!profile.attributes.contains_key("age") && profile.opted_out_channels.is_empty());

    let delete = wire::DeleteProfileRequest {
        customer: Some(customer("anna")),
    };
    assert!(
        profiles
            .delete_profile(delete.clone())
            .await
            .unwrap()
            .into_inner()
            .existed
    );
    assert!(!profiles.delete_profile(delete).await.unwrap().into_inner().existed);
    assert_eq!(profiles.get_profile(get).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn an_import_writes_all_rows_or_none() {
    let served = Served::start().await;
    let faulty = vec![rows(vec![aged("anna", 40.0), aged("ben", 400.0)])];
    let told = import(&served, faulty.clone()).await;
    assert_eq!((told[0].received, told[0].refused, told[0].faults[0].row), (2, 1, 3));
    assert_eq!((told[1].finished, told[1].written, told[1].refused), (true, 0, 1));
    assert_eq!(served.engine.customers(), 0);

    let told = import(&served, vec![rows(vec![aged("anna", 40.0), aged("ben", 41.0)])]).await;
    assert_eq!(
        (told[1].finished, told[1].written, served.engine.customers()),
        (true, 2, 2)
    );

    let options = wire::ImportOptions {
        keep_good_rows: true,
        check_only: false,
    };
    let part = wire::import_profiles_request::Part::Options(options);
    let wanted = [vec![wire::ImportProfilesRequest { part: Some(part) }], faulty].concat();
    let told = import(&served, wanted).await;
    assert_eq!((told[1].written, told[1].refused), (1, 1));
}
