//! What contact limits leave, how many they stop, and the history that proves it.

use nbo::audit::{Recounted, UNDER_WAY_MS, Violation, audit};
use nbo::domain::ids::CustomerId;
use nbo::domain::request::{OffersRequest, PlacementRequest};
use nbo::domain::time::Millis;
use nbo::domain::value::Value as AttributeOf;
use nbo::server::wire::{self, Outcome};
use serde_json::{Value, json};
use tonic::Code;

use super::{campaigns, events};
use crate::served::{CORNER_BANK, MORNING, Served, aged, customer, hero, search};

const RULE: &str = "travel_once_an_hour";

async fn budget(served: &Served, id: &str, channel: &str) -> wire::GetContactBudgetResponse {
    let request = wire::GetContactBudgetRequest {
        customer: Some(customer(id)),
        channel: channel.to_owned(),
    };
    served
        .contacts()
        .get_contact_budget(request)
        .await
        .unwrap()
        .into_inner()
}

/// Asks for everything there is, travel insurance included, and returns the decision.
async fn shown(served: &Served, id: &str) -> String {
    let answer = served.decisions().get_offers(hero(id)).await.unwrap().into_inner();
    answer.decision_id
}

pub(crate) async fn exported(served: &Served) -> Vec<String> {
    let request = wire::ExportContactsRequest {};
    let mut messages = served.contacts().export_contacts(request).await.unwrap().into_inner();
    let mut lines = Vec::new();
    while let Some(message) = messages.message().await.unwrap() {
        assert!(message.customers <= message.customers_total);
        lines.extend(message.lines);
    }
    lines
}

pub(crate) fn audited(lines: &[String], under_way_ms: i64) -> (Recounted, Vec<Violation>) {
    let mut violations = Vec::new();
    let lines = lines.iter().map(|line| Ok::<_, std::convert::Infallible>(line.clone()));
    let recounted = audit(
        lines,
        under_way_ms,
        |violation| {
            violations.push(violation);
            true
        },
        |_| (),
    );
    (recounted.unwrap(), violations)
}

#[tokio::test]
async fn a_screen_is_told_what_is_left_on_each_limit_and_when_it_ends() {
    let served = Served::start().await;
    served.begin("anna").await;
    let fresh = budget(&served, "anna", "").await;
    let limit = |budget: &wire::GetContactBudgetResponse| {
        let limit = &budget.limits[0];
        assert_eq!(
            (limit.rule.as_str(), limit.because.as_str()),
            (RULE, "enough is enough")
        );
        (limit.count, limit.limit, limit.left, limit.next_release_at)
    };
    assert_eq!(limit(&fresh), (0, 1, 1, None));
    shown(&served, "anna").await;
    let spent = budget(&served, "anna", "call_centre").await;
    let in_an_hour = (MORNING + Millis::HOUR).as_millis() / 1_000;
    let (count, most, left, next) = limit(&spent);
    assert_eq!(
        (count, most, left, next.map(|at| at.seconds)),
        (1, 1, 0, Some(in_an_hour))
    );
    served.clock.advance(Millis::HOUR);
    assert_eq!(limit(&budget(&served, "anna", "").await), (0, 1, 1, None));
}

#[tokio::test]
async fn a_limit_that_allows_nothing_stops_everybody_on_the_screen_and_in_the_forecast_however_it_counts() {
    let never = "  - {id: never_by_offer, at_most: 0, of: seen, within: ever, each: [offer, channel]}\ncampaigns:";
    let served = Served::start_with(&CORNER_BANK.replace("campaigns:", never), |_| ()).await;
    for name in ["anna", "ben"] {
        served.begin(name).await;
    }
    let fresh = budget(&served, "anna", "web").await;
    let limits: Vec<_> = fresh
        .limits
        .iter()
        .map(|limit| (limit.rule.as_str(), limit.left))
        .collect();
    assert_eq!(limits, [(RULE, 1), ("never_by_offer", 0)]);
    assert_eq!(fresh.limits[1].counted_for, None, "for all offers and channels");
    let request = wire::ForecastLimitsRequest::default();
    let forecast = served.contacts().forecast_limits(request).await.unwrap().into_inner();
    let limit = forecast
        .limits
        .iter()
        .find(|limit| limit.rule == "never_by_offer")
        .unwrap();
    assert_eq!((limit.stopped_now, limit.stopped_later), (2, 2));
}

#[tokio::test]
async fn a_screen_is_told_on_which_channels_nothing_may_be_said_now_and_until_when() {
    let quiet = "  - {id: call_centre, quiet: [{from: '20:00', until: '11:00', because: People sleep}]";
    let text = CORNER_BANK.replace("  - {id: call_centre", quiet);
    assert_ne!(text, CORNER_BANK);
    let served = Served::start_with(&text, |_| ()).await;
    served.begin("anna").await;
    let told = |budget: wire::GetContactBudgetResponse| {
        let each = budget.channels.into_iter();
        let until = |channel: &wire::ChannelBudget| channel.until.map(|until| until.seconds);
        each.map(|each| {
            let until = until(&each);
            (
                each.channel,
                each.stopped_by,
                each.because,
                until,
                each.service_messages,
            )
        })
        .collect::<Vec<_>>()
    };
    let free = |channel: &str| (channel.to_owned(), String::new(), String::new(), None, false);
    // It is ten in Madrid.
    let eleven = (MORNING + Millis::HOUR).as_millis() / 1_000;
    let asleep = (
        "call_centre".to_owned(),
        "call_centre.quiet".to_owned(),
        "People sleep".to_owned(),
        Some(eleven),
        true,
    );
    assert_eq!(told(budget(&served, "anna", "").await), [free("web"), asleep.clone()]);
    assert_eq!(told(budget(&served, "anna", "call_centre").await), [asleep]);
    served.clock.advance(Millis::HOUR);
    assert_eq!(
        told(budget(&served, "anna", "").await),
        [free("web"), free("call_centre")]
    );
    let opted_out = wire::UpsertProfileRequest {
        opt_out_of_all: Some(true),
        ..aged("anna", 40.0)
    };
    served.profiles().upsert_profile(opted_out).await.unwrap();
    let opted_out = |channel: &str| {
        let rule = "opt-out".to_owned();
        (channel.to_owned(), rule, String::new(), None, false)
    };
    assert_eq!(
        told(budget(&served, "anna", "").await),
        [opted_out("web"), opted_out("call_centre")]
    );
}

#[tokio::test]
async fn a_budget_of_nobody_and_on_no_channel_is_refused() {
    let served = Served::start().await;
    let mut client = served.contacts();
    let ask = |customer, channel: &str| wire::GetContactBudgetRequest {
        customer,
        channel: channel.to_owned(),
    };
    let unknown = client
        .get_contact_budget(ask(Some(customer("nobody")), ""))
        .await
        .unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    let wrong = client.get_contact_budget(ask(None, "wbe")).await.unwrap_err();
    assert_eq!(wrong.code(), Code::InvalidArgument);
    for part in ["customer", "did you mean `web`?"] {
        assert!(wrong.message().contains(part), "{part} is not in: {}", wrong.message());
    }
    let far = wire::ForecastLimitsRequest {
        ahead_seconds: u32::MAX,
    };
    let far = client.forecast_limits(far).await.unwrap_err();
    assert!(far.message().contains("at most 34560000"), "{}", far.message());
}

#[tokio::test]
async fn a_forecast_counts_whom_a_limit_stops_now_and_would_still_stop_later() {
    let served = Served::start().await;
    for name in ["anna", "ben", "carl"] {
        served.begin(name).await;
    }
    shown(&served, "anna").await;
    served.clock.advance(Millis::MINUTE.times(30));
    shown(&served, "ben").await;
    let mut client = served.contacts();
    let mut stopped = async |ahead_seconds| {
        let request = wire::ForecastLimitsRequest { ahead_seconds };
        let forecast = client.forecast_limits(request).await.unwrap().into_inner();
        let limit = forecast.limits.into_iter().find(|limit| limit.rule == RULE).unwrap();
        (forecast.customers, limit.stopped_now, limit.stopped_later)
    };
    assert_eq!(stopped(60).await, (3, 2, 2));
    assert_eq!(stopped(1_800).await, (3, 2, 1), "the first of the two is free again");
    assert_eq!(stopped(0).await, (3, 2, 0), "a day ahead");
}

#[tokio::test]
async fn an_exported_history_is_recounted_and_one_contact_more_is_found() {
    let served = Served::start().await;
    for name in ["anna", "ben"] {
        served.begin(name).await;
        for _ in 0..3 {
            shown(&served, name).await;
            served.clock.advance(Millis::MINUTE.times(25));
        }
    }
    served.begin("carl").await;
    let mut lines = exported(&served).await;
    assert_eq!(lines.len(), 3, "the policies, and the two customers with contacts");
    let (recounted, violations) = audited(&lines, UNDER_WAY_MS);
    assert_eq!(violations, []);
    assert!(recounted.checks > 0 && recounted.without_policy == 0);

    let header: Value = serde_json::from_str(&lines[0]).unwrap();
    let reserved = &header["policies"][0]["reservations_ms"];
    assert_eq!(*reserved, json!({"web": 1_800_000, "call_centre": 1_800_000}));
    let mut line: Value = serde_json::from_str(&lines[1]).unwrap();
    let contacts = line["contacts"].as_array_mut().unwrap();
    let travel = contacts
        .iter()
        .find(|contact| contact["offer"] == "travel_insurance")
        .unwrap();
    let again = travel.clone();
    contacts.push(again);
    lines[1] = line.to_string();
    let (_, violations) = audited(&lines, UNDER_WAY_MS);
    assert_eq!(violations.len(), 1);
    assert_eq!((violations[0].rule.as_str(), violations[0].count), (RULE, 2));
}

#[tokio::test]
async fn an_export_of_long_histories_comes_in_messages_that_every_client_takes() {
    const CUSTOMERS: usize = 24;
    let served = Served::start().await;
    let active = served.engine.active();
    for number in 0..CUSTOMERS {
        let request = OffersRequest {
            customer: Some(CustomerId::known(&format!("c-{number}")).unwrap()),
            campaign: None,
            channel: 0,
            placements: vec![PlacementRequest { placement: 0, count: 3 }],
            duplicates: false,
            context: vec![AttributeOf::default(); active.catalog.context.attributes.len()],
            events: Vec::new(),
            explain: false,
            preview: false,
        };
        for minute in 0..250 {
            let now = MORNING + Millis::MINUTE.times(minute);
            served.engine.offers(&active, &request, now).unwrap();
        }
    }
    let request = wire::ExportContactsRequest {};
    let mut messages = served.contacts().export_contacts(request).await.unwrap().into_inner();
    let (mut sizes, mut lines, mut customers) = (Vec::new(), Vec::new(), 0);
    while let Some(message) = messages.message().await.unwrap() {
        sizes.push(message.lines.iter().map(String::len).sum::<usize>());
        customers = message.customers;
        lines.extend(message.lines);
    }
    assert_eq!((lines.len(), customers), (1 + CUSTOMERS, CUSTOMERS as u64));
    let longest = lines.iter().map(String::len).max().unwrap();
    assert!(longest > 40_000, "a long history has {longest} bytes");
    // So many customers of short histories come in one message; these do not.
    assert!(sizes.len() > 3, "{sizes:?}");
    assert!(sizes.iter().all(|&size| size < (256 << 10) + longest), "{sizes:?}");
    let (recounted, violations) = audited(&lines, UNDER_WAY_MS);
    assert!(violations.is_empty() && recounted.checks > 0);
}

#[tokio::test]
async fn an_export_tells_when_a_report_came_that_told_of_an_earlier_instant() {
    let served = Served::start().await;
    served.begin("anna").await;
    let decision_id = shown(&served, "anna").await;
    served.clock.advance(Millis::HOUR);
    let earlier = (MORNING + Millis::MINUTE).as_millis();
    let report = wire::RecordOutcomeRequest {
        decision_id,
        offer_id: "savings_easy".to_owned(),
        outcome: Outcome::Seen.into(),
        time: Some(wire::Timestamp {
            seconds: earlier / 1_000,
            nanos: 0,
        }),
        ..Default::default()
    };
    let receipt = served.behaviour().record_outcome(report).await.unwrap().into_inner();
    assert!(receipt.recorded && receipt.late);
    let lines = exported(&served).await;
    let line: Value = serde_json::from_str(&lines[1]).unwrap();
    let contacts = line["contacts"].as_array().unwrap();
    let of = |offer: &str| contacts.iter().find(|contact| contact["offer"] == offer).unwrap();
    assert_eq!(of("savings_easy")["outcomes"], json!({"seen": "2026-03-02T09:01:00Z"}));
    assert_eq!(of("savings_easy")["backdated_at"], json!("2026-03-02T10:00:00Z"));
    assert_eq!(of("fund_world")["backdated_at"], Value::Null);
}

#[tokio::test]
async fn what_is_asked_about_limits_changes_nothing() {
    let served = Served::start().await;
    served.begin("anna").await;
    let request = events("anna", vec![search("e1", "fund")]);
    let before = served
        .behaviour()
        .record_events(request.clone())
        .await
        .unwrap()
        .into_inner();
    budget(&served, "anna", "web").await;
    served
        .contacts()
        .forecast_limits(wire::ForecastLimitsRequest::default())
        .await
        .unwrap();
    exported(&served).await;
    let after = served.behaviour().record_events(request).await.unwrap().into_inner();
    assert_eq!(after.profile_version, before.profile_version);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_so_many_walk_over_all_customers_at_a_time() {
    let served = Served::start().await;
    campaigns::begin(&served, 2_000).await;
    campaigns::run(&served, campaigns::reserving("walks")).await.unwrap();
    let export = || async { served.contacts().export_contacts(wire::ExportContactsRequest {}).await };
    // Nobody reads these: they wait.
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut stream = export().await.unwrap().into_inner();
        stream.message().await.unwrap();
        open.push(stream);
    }
    assert_eq!(export().await.unwrap_err().code(), Code::ResourceExhausted);
    let forecast = wire::ForecastLimitsRequest::default();
    let refused = served.contacts().forecast_limits(forecast).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    for mut stream in open {
        while stream.message().await.unwrap().is_some() {}
    }
    assert!(forecast_works(&served).await, "there is room again");
}

/// The server gives a place back after the stream's end, which may be a moment later.
async fn forecast_works(served: &Served) -> bool {
    for _ in 0..10_000 {
        let forecast = wire::ForecastLimitsRequest::default();
        if served.contacts().forecast_limits(forecast).await.is_ok() {
            return true;
        }
    }
    false
}
