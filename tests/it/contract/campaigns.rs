//! Asking for offers for many customers at once.

use std::collections::{BTreeMap, BTreeSet};

use nbo::domain::time::Millis;
use nbo::server::wire::customer::Identity;
use nbo::server::wire::offer_limit::Scope;
use nbo::server::wire::rank_customers_request::Audience;
use nbo::server::wire::{self, RankCustomersRequest, RankCustomersResponse};
use tonic::{Code, Status};

use super::events;
use crate::served::{CORNER_BANK, Served, customer, hero, ids, placement, search};

fn everyone() -> RankCustomersRequest {
    RankCustomersRequest {
        audience: Some(Audience::Everyone(true)),
        channel: "web".to_owned(),
        placement: Some(placement("home_hero", 1)),
        ..RankCustomersRequest::default()
    }
}

pub(super) fn reserving(run_id: &str) -> RankCustomersRequest {
    RankCustomersRequest {
        reserve: true,
        run_id: run_id.to_owned(),
        ..everyone()
    }
}

fn at_most(scope: Scope, at_most: u64) -> wire::OfferLimit {
    wire::OfferLimit {
        scope: Some(scope),
        at_most: Some(at_most),
        at_least: None,
    }
}

pub(super) async fn run(served: &Served, request: RankCustomersRequest) -> Result<Vec<RankCustomersResponse>, Status> {
    let mut stream = served.campaigns().rank_customers(request).await?.into_inner();
    let mut messages = Vec::new();
    while let Some(message) = stream.message().await? {
        messages.push(message);
    }
    Ok(messages)
}

/// By customer, the offers.
fn told(messages: &[RankCustomersResponse]) -> BTreeMap<String, Vec<String>> {
    let customers = messages.iter().flat_map(|message| &message.customers);
    let mut told = BTreeMap::new();
    for of in customers {
        let Some(Identity::Id(id)) = of.customer.clone().unwrap().identity else {
            panic!("{of:?}");
        };
        let offers = of.offers.iter().map(|offer| offer.offer_id.clone()).collect();
        assert!(told.insert(id.clone(), offers).is_none(), "{id} was answered twice");
    }
    told
}

fn summary(messages: &[RankCustomersResponse]) -> &wire::CampaignSummary {
    let (last, others) = messages.split_last().unwrap();
    assert!(others.iter().all(|message| message.summary.is_none()));
    last.summary.as_ref().unwrap()
}

/// Every third customer searches for funds.
pub(super) async fn begin(served: &Served, customers: usize) {
    for number in 0..customers {
        let id = format!("c-{number}");
        served.begin(&id).await;
        if number % 3 == 0 {
            let event = search("e1", "fund");
            served
                .behaviour()
                .record_events(events(&id, vec![event]))
                .await
                .unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_answers_as_a_call_for_each_customer_would_and_a_preview_leaves_no_trace() {
    let served = Served::start().await;
    begin(&served, 30).await;
    let request = RankCustomersRequest {
        placement: Some(placement("home_hero", 3)),
        ..everyone()
    };
    let messages = run(&served, request).await.unwrap();
    let told = told(&messages);
    assert_eq!(told.len(), 30);
    for (id, offers) in &told {
        let preview = wire::GetOffersRequest {
            preview: true,
            ..hero(id)
        };
        let answer = served.decisions().get_offers(preview).await.unwrap().into_inner();
        assert_eq!(offers, &ids(&answer), "{id}");
    }
    let first = &messages[0].customers[0];
    assert!(first.decision_id.is_empty() && first.offers[0].factors.is_some());
    assert!(!first.offers[0].content.is_empty() && !first.catalog_version.is_empty());
    let summary = summary(&messages);
    assert_eq!((summary.customers, summary.given, summary.offers), (30, 30, 90));
    assert_eq!(summary.by_offer.len(), 3);
    assert_eq!(
        messages.last().unwrap().progress.unwrap().share.to_bits(),
        1.0_f64.to_bits()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_run_reserves_counts_for_every_channel_and_its_decision_takes_outcomes() {
    let served = Served::start().await;
    served.begin("anna").await;
    let request = RankCustomersRequest {
        placement: Some(placement("home_hero", 3)),
        ..reserving("run-1")
    };
    let messages = run(&served, request.clone()).await.unwrap();
    let decision_id = messages[0].customers[0].decision_id.clone();
    let outcome = wire::RecordOutcomeRequest {
        decision_id,
        offer_id: "savings_easy".to_owned(),
        outcome: wire::Outcome::Clicked.into(),
        ..wire::RecordOutcomeRequest::default()
    };
    let recorded = served.behaviour().record_outcome(outcome).await.unwrap().into_inner();
    assert!(recorded.recorded);
    let answer = served.decisions().get_offers(hero("anna")).await.unwrap().into_inner();
    assert_eq!(
        ids(&answer),
        ["savings_easy", "fund_world"],
        "travel was reserved by the run"
    );
    served.clock.advance(Millis::HOUR);
    let again = run(&served, request).await.unwrap();
    assert_eq!(told(&again)["anna"].len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_asked_for_once_each_and_with_explain_everybody_hears_why() {
    let served = Served::start().await;
    begin(&served, 4).await;
    let list = ["c-1", "nobody", "c-2", "c-1"].map(customer).to_vec();
    let request = RankCustomersRequest {
        audience: Some(Audience::Customers(wire::CustomerList { customers: list })),
        placement: Some(placement("home_hero", 3)),
        explain: true,
        ..everyone()
    };
    let messages = run(&served, request).await.unwrap();
    let told = told(&messages);
    assert_eq!(told.keys().collect::<Vec<_>>(), ["c-1", "c-2", "nobody"]);
    assert_eq!(told["nobody"], ["savings_easy", "travel_insurance"]);
    let summary = summary(&messages);
    assert_eq!((summary.customers, summary.repeated_customers), (3, 1));
    let reasons = messages
        .iter()
        .flat_map(|message| &message.customers)
        .flat_map(|of| &of.withheld);
    let rules: BTreeSet<&str> = reasons.map(|reason| reason.rule.as_str()).collect();
    assert_eq!(rules, BTreeSet::from(["fund.adult"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_is_who_it_says_and_limits_give_to_whom_it_is_worth_most() {
    let served = Served::start().await;
    begin(&served, 60).await;
    let request = RankCustomersRequest {
        audience: Some(Audience::Segment(
            "profile.age > 18 && intent.fund > 0 && behaviour.searches_7d > 0".to_owned(),
        )),
        ..everyone()
    };
    let searched: BTreeSet<String> = (0..20).map(|number| format!("c-{}", number * 3)).collect();
    let found = told(&run(&served, request).await.unwrap());
    assert_eq!(found.keys().cloned().collect::<BTreeSet<_>>(), searched);

    let request = RankCustomersRequest {
        limits: vec![
            at_most(Scope::Group("fund".to_owned()), 15),
            at_most(Scope::OfferId("savings_easy".to_owned()), 0),
        ],
        ..reserving("limited")
    };
    let messages = run(&served, request).await.unwrap();
    let told = told(&messages);
    let funds: BTreeSet<&String> = told
        .iter()
        .filter(|(_, offers)| *offers == &["fund_world"])
        .map(|(id, _)| id)
        .collect();
    assert!(
        funds.len() == 15 && funds.iter().all(|id| searched.contains(*id)),
        "{funds:?}"
    );
    let others = told.iter().filter(|(id, _)| !funds.contains(id));
    assert!(
        others.clone().count() == 45
            && others
                .map(|(_, offers)| offers)
                .all(|offers| offers == &["travel_insurance"])
    );
    let summary = summary(&messages);
    let used: Vec<_> = summary.limits.iter().map(|limit| (limit.used, limit.left)).collect();
    assert_eq!(used, [(15, Some(0)), (0, Some(0))]);
    assert!(summary.objective < summary.objective_without_limits.unwrap());
    assert!(summary.objective <= summary.objective_bound.unwrap() + 1e-6 && summary.method.contains("prices"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_broke_off_goes_on_after_the_last_token_and_answers_nobody_twice() {
    let served = Served::start().await;
    begin(&served, 600).await;
    let mut request = RankCustomersRequest {
        limits: vec![at_most(Scope::OfferId("fund_world".to_owned()), 50)],
        ..reserving("broken")
    };
    let mut messages = Vec::new();
    let mut stream = served
        .campaigns()
        .rank_customers(request.clone())
        .await
        .unwrap()
        .into_inner();
    messages.push(stream.message().await.unwrap().unwrap());
    drop(stream);
    assert!(messages[0].summary.is_none());
    request.resume_after.clone_from(&messages[0].resume_token);
    let rest = run(&served, request.clone()).await.unwrap();
    let limit = &summary(&rest).limits[0];
    messages.extend(rest.clone());
    let told = told(&messages);
    assert_eq!(told.len(), 600);
    let funds = told.values().filter(|offers| *offers == &["fund_world"]).count() as u64;
    assert!(funds <= 50 && funds == limit.used, "{funds} {limit:?}");

    request.campaign = "another".to_owned();
    let refused = run(&served, request).await.unwrap_err();
    assert!(
        refused.message().contains("is the token of another request"),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_reserved_and_never_arrived_counts_in_the_limits_when_the_run_goes_on() {
    let served = Served::start().await;
    begin(&served, 600).await;
    let mut request = RankCustomersRequest {
        limits: vec![at_most(Scope::OfferId("fund_world".to_owned()), 50)],
        ..reserving("lost")
    };
    let first = run(&served, request.clone()).await.unwrap();
    assert!(first.len() > 2);
    // All but the first message were lost on their way, and a third more customers came since.
    begin(&served, 800).await;
    request.resume_after.clone_from(&first[0].resume_token);
    let mut messages = run(&served, request.clone()).await.unwrap();
    let end = summary(&messages).clone();
    messages.insert(0, first[0].clone());
    let told = told(&messages);
    let funds = told.values().filter(|offers| *offers == &["fund_world"]).count() as u64;
    assert!(funds <= 50 && funds == end.limits[0].used, "{funds} {end:?}");
    let mut reserved = 0;
    served.engine.store().for_each(|_, profile| {
        assert!(profile.contacts.len() <= 1, "nobody is reserved for twice");
        reserved += profile.contacts.len();
    });
    assert_eq!(told.values().filter(|offers| !offers.is_empty()).count(), reserved);
    assert!(end.objective <= end.objective_bound.unwrap() + 1e-6);

    // The name is the run's own.
    let other = RankCustomersRequest {
        max_customers: Some(700),
        resume_after: String::new(),
        ..request
    };
    let refused = run(&served, other).await.unwrap_err();
    assert_eq!(refused.code(), Code::AlreadyExists);
    assert!(refused.message().starts_with("`run_id` was used before"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn caps_hold_while_calls_for_the_same_customers_come_in() {
    let one_a_day = CORNER_BANK.replace(
        "caps:\n",
        "caps:\n  - {id: one_a_day, at_most: 1, of: decided, within: 1d}\n",
    );
    let served = Served::start_with(&one_a_day, |_| ()).await;
    begin(&served, 300).await;
    let live = async {
        for number in 0..300 {
            served
                .decisions()
                .get_offers(hero(&format!("c-{number}")))
                .await
                .unwrap();
        }
    };
    let (messages, ()) = tokio::join!(run(&served, reserving("with live traffic")), live);
    let given = summary(&messages.unwrap()).given;
    assert!(given <= 300);
    served
        .engine
        .store()
        .for_each(|id, profile| assert_eq!(profile.contacts.len(), 1, "{id}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_so_many_runs_are_under_way_at_a_time() {
    let served = Served::start().await;
    begin(&served, 3_000).await;
    // Nobody reads these: their runs wait.
    let mut open = Vec::new();
    for _ in 0..2 {
        let request = RankCustomersRequest {
            explain: true,
            ..everyone()
        };
        let mut stream = served.campaigns().rank_customers(request).await.unwrap().into_inner();
        stream.message().await.unwrap();
        open.push(stream);
    }
    let refused = served.campaigns().rank_customers(everyone()).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    for mut stream in open {
        while stream.message().await.unwrap().is_some() {}
    }
    assert!(run(&served, everyone()).await.is_ok(), "there is room again");
}
