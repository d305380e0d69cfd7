//! A client that keeps to the rules: a call every few milliseconds, each of which has to be answered as ever.

use std::time::Duration;

use nbo::server::wire::behaviour_service_client::BehaviourServiceClient;
use nbo::server::wire::decision_service_client::DecisionServiceClient;
use nbo::server::wire::profile_service_client::ProfileServiceClient;
use nbo::server::wire::{self, GetOffersResponse};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tonic::transport::Channel;

use crate::kills::program::Program;
use crate::served::{aged, customer, hero, search};

/// How often it calls: as one visitor of many, so that a machine of two cores is no bottleneck for it.
const CALL_EVERY: Duration = Duration::from_millis(5);
/// How long it waits for an answer. A machine that does other things as well may take its time.
const PATIENCE: Duration = Duration::from_secs(10);
/// Who calls.
const CUSTOMER: &str = "polite";

pub(super) struct Polite {
    decisions: DecisionServiceClient<Channel>,
    behaviour: BehaviourServiceClient<Channel>,
}

impl Polite {
    /// Connects, and begins its customer.
    pub(super) async fn connect(address: &str) -> Self {
        let channel = timeout(PATIENCE, Program::connect(address)).await;
        let channel = channel.expect("a polite client can connect").unwrap();
        let mut profiles = ProfileServiceClient::new(channel.clone());
        let begun = timeout(PATIENCE, profiles.upsert_profile(aged(CUSTOMER, 40.0))).await;
        begun.expect("a polite client is answered").unwrap();
        Self {
            decisions: DecisionServiceClient::new(channel.clone()),
            behaviour: BehaviourServiceClient::new(channel),
        }
    }

    /// Asks for offers, and checks that they are there.
    pub(super) async fn call(&self) {
        let answer = timeout(PATIENCE, self.decisions.clone().get_offers(hero(CUSTOMER))).await;
        check(&answer.expect("a polite call is answered").unwrap().into_inner());
    }

    /// Reports a search.
    async fn report(&self, number: u64) {
        let request = wire::RecordEventsRequest {
            customer: Some(customer(CUSTOMER)),
            events: vec![search(&format!("polite-{number}"), "fund")],
            offers: None,
        };
        let answer = timeout(PATIENCE, self.behaviour.clone().record_events(request)).await;
        answer.expect("a polite report is answered").unwrap();
    }

    /// Calls at its pace for a while, one call after the other; returns how many were answered a second. One that waits for
    /// an answer does not call meanwhile, and does not catch up.
    pub(super) async fn rate(&self, lasting: Duration) -> f64 {
        let mut pace = interval(CALL_EVERY);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let begun = Instant::now();
        let mut calls = 0_u32;
        while begun.elapsed() < lasting {
            pace.tick().await;
            if calls % 8 == 7 {
                self.report(u64::from(calls)).await;
            } else {
                self.call().await;
            }
            calls += 1;
        }
        f64::from(calls) / begun.elapsed().as_secs_f64()
    }
}

fn check(answer: &GetOffersResponse) {
    assert!(answer.known_customer);
    let offers = &answer.placements[0].offers;
    let shown: Vec<&str> = offers.iter().map(|offer| offer.offer_id.as_str()).collect();
    // The cap of the third lets it through once an hour.
    let own = ["savings_easy", "fund_world"];
    assert!(own.iter().all(|offer| shown.contains(offer)), "{shown:?}");
}
