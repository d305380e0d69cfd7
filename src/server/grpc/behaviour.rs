//! `BehaviourService`.

use std::sync::Arc;

use tonic::{Request, Response, Status, Streaming, async_trait};

use super::decisions::{self, answered, preview};
use crate::catalog::Catalog;
use crate::domain::request::OffersRequest;
use crate::engine::Rejection;
use crate::server::access::caller::Caller;
use crate::server::access::table::Role;
use crate::server::convert::{events, offers, outcomes};
use crate::server::desk::Desk;
use crate::server::limits::FAULTS_LISTED_MAX;
use crate::server::look::Look;
use crate::server::status::Refusal;
use crate::server::wire;
use crate::server::wire::behaviour_service_server::BehaviourService;
use crate::server::wire::outcome_result::Result as OutcomeResult;

/// Answers `BehaviourService`.
#[derive(Clone)]
pub(in crate::server) struct Behaviour(pub(in crate::server) Arc<Desk>);

impl Behaviour {
    fn record_events(&self, given: &wire::RecordEventsRequest) -> Result<wire::RecordEventsResponse, Refusal> {
        let desk = &*self.0;
        let mut look = Look::begin(desk);
        let (active, now) = desk.begin();
        let events::Recording {
            customer,
            events,
            offers: wanted,
        } = events::recording(given, &active.catalog, now)?;
        let omit_content = given.offers.as_ref().is_some_and(|offers| offers.omit_content);
        let (receipt, offers) = match wanted {
            // One look at the customer: what is refused records nothing.
            Some(request) if !request.preview => {
                let request = OffersRequest { events, ..request };
                let once = offers::once_within(given);
                let (receipt, answer) =
                    look.ask(|| desk.engine.record_and_answer(&active, &customer, &request, once, now))?;
                desk.meters.recorded(&receipt);
                let offers = answered(desk, &answer, &request, &active, omit_content, look);
                (receipt, Some(offers))
            }
            // A preview would leave no trace of its events either.
            wanted => {
                let receipt = desk.engine.record_events(&active, &customer, &events, now)?;
                desk.meters.recorded(&receipt);
                let offers = wanted.map(|request| preview(desk, &active, &request, now, omit_content, look));
                (receipt, offers.transpose()?)
            }
        };
        Ok(wire::RecordEventsResponse {
            applied: count(receipt.applied),
            duplicates: count(receipt.duplicates),
            profile_version: receipt.profile_version,
            offers,
        })
    }

    /// Records one message of a stream and returns how many events were new, and how many not.
    fn record_message(&self, given: &wire::RecordEventsStreamRequest) -> Result<(usize, usize), Refusal> {
        let desk = &*self.0;
        let (active, now) = desk.begin();
        let (customer, events) = events::message(given, &active.catalog, now)?;
        let receipt = desk.engine.record_events(&active, &customer, &events, now)?;
        desk.meters.recorded(&receipt);
        Ok((receipt.applied, receipt.duplicates))
    }

    fn record_outcome(&self, given: &wire::RecordOutcomeRequest) -> Result<wire::RecordOutcomeResponse, Refusal> {
        let desk = &*self.0;
        let (active, now) = desk.begin();
        let (customer, report) = outcomes::report(given, &active.catalog, now)?;
        let receipt = desk.engine.record_outcome(&active, customer, &report, now);
        let receipt = receipt.map_err(told(&given.offer_id, &given.placement, &active.catalog))?;
        desk.meters.reported(report.outcome, &receipt);
        Ok(wire::RecordOutcomeResponse {
            recorded: receipt.recorded,
            late: receipt.late,
            profile_version: receipt.profile_version,
        })
    }

    fn cancel(&self, given: &wire::CancelRequest) -> Result<wire::CancelResponse, Refusal> {
        let desk = &*self.0;
        let (active, now) = desk.begin();
        let (customer, cancellation) = outcomes::cancellation(given, &active.catalog, now)?;
        let receipt = desk.engine.cancel(&active, customer, &cancellation);
        let receipt = receipt.map_err(told(&given.offer_id, &given.placement, &active.catalog))?;
        desk.meters.cancelled(&receipt);
        Ok(wire::CancelResponse {
            cancelled: count(receipt.cancelled),
            profile_version: receipt.profile_version,
        })
    }
}

/// Tells about a rejection what was shown instead.
fn told(offer_id: &str, placement: &str, catalog: &Catalog) -> impl FnOnce(Rejection) -> Refusal {
    move |rejection| match rejection {
        Rejection::OfferNotInDecision(_, shown) => outcomes::not_shown(offer_id, placement, &shown, catalog).into(),
        other => other.into(),
    }
}

/// Makes the answer again that a repeated request is about. The record of its decision has the events as well, so they are
/// known.
async fn or_again(
    desk: &Arc<Desk>,
    answer: Result<wire::RecordEventsResponse, Refusal>,
    given: &wire::RecordEventsRequest,
) -> Result<wire::RecordEventsResponse, Refusal> {
    let (Err(refusal), Some(wanted)) = (&answer, &given.offers) else {
        return answer;
    };
    let Refusal::Rejected(rejection @ Rejection::AnswerNotKept(_)) = refusal else {
        return answer;
    };
    let offers = decisions::or_again(desk, Err(rejection.clone().into()), wanted).await?;
    Ok(wire::RecordEventsResponse {
        applied: 0,
        duplicates: count(given.events.len()),
        profile_version: offers.profile_version,
        offers: Some(offers),
    })
}

fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

#[async_trait]
impl BehaviourService for Behaviour {
    async fn record_events(
        &self,
        request: Request<wire::RecordEventsRequest>,
    ) -> Result<Response<wire::RecordEventsResponse>, Status> {
        if request.get_ref().offers.is_some() {
            let caller = request.extensions().get();
            Caller::require(caller, Role::Offers).map_err(|refusal| self.0.refuse(refusal))?;
        }
        let answer = self.record_events(request.get_ref());
        let answer = or_again(&self.0, answer, request.get_ref()).await;
        self.0.answer(answer).await
    }

    async fn record_events_stream(
        &self,
        request: Request<Streaming<wire::RecordEventsStreamRequest>>,
    ) -> Result<Response<wire::RecordEventsStreamResponse>, Status> {
        let mut messages = request.into_inner();
        let mut summary = wire::RecordEventsStreamResponse::default();
        while let Some(message) = messages.message().await? {
            match self.record_message(&message) {
                Ok((applied, duplicates)) => {
                    summary.applied += applied as u64;
                    summary.duplicates += duplicates as u64;
                }
                Err(refusal) => {
                    let fault = self.0.fault(&refusal);
                    if summary.refused < FAULTS_LISTED_MAX {
                        let message_index = summary.messages;
                        summary.faults.push(wire::MessageFault {
                            message_index,
                            fault: Some(fault),
                        });
                    }
                    summary.refused += 1;
                }
            }
            summary.messages += 1;
        }
        self.0.answer(Ok(summary)).await
    }

    async fn record_outcome(
        &self,
        request: Request<wire::RecordOutcomeRequest>,
    ) -> Result<Response<wire::RecordOutcomeResponse>, Status> {
        let answer = self.record_outcome(request.get_ref());
        self.0.answer(answer).await
    }

    async fn record_outcomes(
        &self,
        request: Request<wire::RecordOutcomesRequest>,
    ) -> Result<Response<wire::RecordOutcomesResponse>, Status> {
        outcomes::batch(request.get_ref()).map_err(|faults| self.0.refuse(faults.into()))?;
        let results = request.get_ref().outcomes.iter().map(|given| {
            let result = match self.record_outcome(given) {
                Ok(receipt) => OutcomeResult::Receipt(receipt),
                Err(refusal) => OutcomeResult::Fault(self.0.fault(&refusal)),
            };
            wire::OutcomeResult { result: Some(result) }
        });
        let results = results.collect();
        self.0.answer(Ok(wire::RecordOutcomesResponse { results })).await
    }

    async fn cancel(&self, request: Request<wire::CancelRequest>) -> Result<Response<wire::CancelResponse>, Status> {
        let answer = self.cancel(request.get_ref());
        self.0.answer(answer).await
    }
}
