//! Profiles and imports.

use nbo::server::wire;
use nbo::server::wire::attribute_value::Kind;

use super::check;
use crate::served::{Served, aged, customer, text, value};

#[tokio::test]
async fn profiles_have_to_fit_the_schema() {
    let served = Served::start().await;
    let with = |name: &str, value| wire::UpsertProfileRequest {
        attributes: [(name.to_owned(), value)].into(),
        ..aged("anna", 40.0)
    };
    let cleared = |name: &str| wire::UpsertProfileRequest {
        cleared: vec![name.to_owned()],
        ..aged("anna", 40.0)
    };
    let set = |text: &str| {
        value(Kind::Set(wire::TextSet {
            values: vec![text.to_owned()],
        }))
    };
    let opt_out = wire::UpsertProfileRequest {
        channel_opt_outs: [("emial".to_owned(), true)].into(),
        ..aged("anna", 40.0)
    };
    let rows = vec![
        (
            wire::UpsertProfileRequest {
                customer: None,
                ..aged("anna", 40.0)
            },
            ("customer", "is not set"),
        ),
        (
            with("agee", value(Kind::Number(4.0))),
            ("attributes[\"agee\"]", "did you mean `age`?"),
        ),
        (
            with("age", value(Kind::Number(121.0))),
            ("attributes[\"age\"]", "outside the allowed range 0 to 120"),
        ),
        (
            with("age", value(Kind::Number(f64::NAN))),
            ("attributes[\"age\"]", "NaN is not a finite number"),
        ),
        (
            with("age", text("forty")),
            ("attributes[\"age\"]", "`forty` is a text, but a number is wanted"),
        ),
        (
            with("segment", text("retial")),
            ("attributes[\"segment\"]", "did you mean `retail`?"),
        ),
        (
            with("holdings", set("yacht")),
            ("attributes[\"holdings\"]", "allowed are fund, savings, travel"),
        ),
        (
            with("holdings", text("fund")),
            ("attributes[\"holdings\"]", "`fund` is a text"),
        ),
        (
            with("member", value(Kind::Number(1.0))),
            ("attributes[\"member\"]", "true or false is wanted"),
        ),
        (
            with("member_since", text("2023-02-29")),
            ("attributes[\"member_since\"]", "`2023-02-29` is not a date"),
        ),
        (cleared("segmnt"), ("cleared[0]", "did you mean `segment`?")),
        (cleared("age"), ("cleared[0]", "is in `attributes` as well")),
        (opt_out, ("channel_opt_outs[\"emial\"]", "allowed are web, call_centre")),
    ];
    for (request, told) in rows {
        check(&served, served.profiles().upsert_profile(request), told).await;
    }
    let nobody = wire::GetProfileRequest { customer: None };
    check(
        &served,
        served.profiles().get_profile(nobody),
        ("customer", "is not set"),
    )
    .await;
    let nobody = wire::DeleteProfileRequest {
        customer: Some(customer("")),
    };
    check(
        &served,
        served.profiles().delete_profile(nobody),
        ("customer.id", "is empty"),
    )
    .await;
}

#[tokio::test]
async fn consents_have_to_name_what_the_catalog_has_and_each_once() {
    let served = Served::start().await;
    let consents = |consents: Vec<(&str, &str)>| {
        let consent = |(purpose, channel): (&str, &str)| wire::Consent {
            purpose: purpose.to_owned(),
            channel: channel.to_owned(),
            granted: Some(true),
        };
        wire::UpsertProfileRequest {
            consents: consents.into_iter().map(consent).collect(),
            ..aged("anna", 40.0)
        }
    };
    let rows = [
        (
            consents(vec![("advertising", ""), ("advertizing", "")]),
            (
                "consents[1].purpose",
                "`advertizing` is not a known purpose; did you mean `advertising`?",
            ),
        ),
        (
            consents(vec![("", "")]),
            (
                "consents[0].purpose",
                "is empty; name the purpose: allowed are advertising",
            ),
        ),
        (
            consents(vec![("advertising", "emial")]),
            ("consents[0].channel", "allowed are web, call_centre"),
        ),
        (
            consents(vec![
                ("advertising", "web"),
                ("advertising", ""),
                ("advertising", "web"),
            ]),
            ("consents[2]", "give one answer for each purpose and channel"),
        ),
        (
            consents(vec![("advertising", ""); 257]),
            ("consents", "has 257 entries; at most 256 are allowed"),
        ),
    ];
    for (request, told) in rows {
        check(&served, served.profiles().upsert_profile(request), told).await;
    }
}

#[tokio::test]
async fn an_import_is_told_which_message_is_wrong() {
    use wire::import_profiles_request::Part;
    let served = Served::start().await;
    let part = |part| wire::ImportProfilesRequest { part };
    let rows = |count: usize| {
        Some(Part::Rows(wire::ImportRows {
            first_row: 1,
            rows: vec![aged("anna", 40.0); count],
        }))
    };
    let options = Some(Part::Options(wire::ImportOptions::default()));
    let rows = vec![
        (vec![part(None)], ("part", "give `rows`, or `options`")),
        (vec![part(rows(0))], ("rows.rows", "is empty; give 1 to 1000 rows")),
        (vec![part(rows(1_001))], ("rows.rows", "has 1001 rows; at most 1000")),
        (
            vec![part(options.clone()), part(options)],
            ("options", "send it first, or not at all"),
        ),
    ];
    for (messages, told) in rows {
        let import = async {
            let mut answers = served
                .profiles()
                .import_profiles(tokio_stream::iter(messages))
                .await?
                .into_inner();
            while answers.message().await?.is_some() {}
            Ok(())
        };
        check(&served, import, told).await;
    }
}
