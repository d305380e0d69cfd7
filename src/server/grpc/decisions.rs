//! `DecisionService`.

use std::sync::Arc;

use tokio_stream::StreamExt as _;
use tonic::{Request, Response, Status, Streaming, async_trait};

use super::Answers;
use super::watching;
use crate::domain::ids::DecisionId;
use crate::domain::request::OffersRequest;
use crate::domain::time::Timestamp;
use crate::engine::{Active, Answer, Engine, Rejection, ReplayError, Replayed};
use crate::server::access::caller::Caller;
use crate::server::access::table::Role;
use crate::server::convert::said::Said;
use crate::server::convert::{answer, offers, outcomes};
use crate::server::deadline::{Ends, until};
use crate::server::desk::Desk;
use crate::server::limits::WALKS_MAX;
use crate::server::look::Look;
use crate::server::status::Refusal;
use crate::server::wire;
use crate::server::wire::decision_service_server::DecisionService;
use crate::server::wire::get_offers_stream_response::Result as StreamResult;

/// Answers `DecisionService`.
#[derive(Clone)]
pub(in crate::server) struct Decisions(pub(in crate::server) Arc<Desk>);

/// Tells whether a request only looks: it writes nothing and promises nothing, so its answer need not wait for the disk. A call that wrote
/// nothing because it was made before is none of these: it acknowledges what the first one wrote.
const fn is_look(request: &wire::GetOffersRequest) -> bool {
    request.preview
}

/// Converts and decides one request.
pub(super) fn get_offers(desk: &Desk, given: &wire::GetOffersRequest) -> Result<wire::GetOffersResponse, Refusal> {
    let (answer, request, active, look) = decide(desk, given)?;
    Ok(answered(desk, &answer, &request, &active, given.omit_content, look))
}

/// Does the same, and says it in the way that is encoded fastest.
fn say_offers(desk: &Desk, given: &wire::GetOffersRequest) -> Result<Said, Refusal> {
    let (answer, request, active, look) = decide(desk, given)?;
    if answer.replay.is_some() {
        return Ok(answered(desk, &answer, &request, &active, given.omit_content, look).into());
    }
    look.decided(&active, &request, &answer.decision);
    let phrases = desk.phrases(&active.catalog);
    let said = Said::new(&answer.decision, &request, &active, given.omit_content, &phrases);
    look.end(&active);
    Ok(said)
}

type Decided<'a> = (Answer, OffersRequest, Arc<Active>, Look<'a>);

fn decide<'a>(desk: &'a Desk, given: &wire::GetOffersRequest) -> Result<Decided<'a>, Refusal> {
    let mut look = Look::begin(desk);
    let (active, now) = desk.begin();
    let request = offers::request(given, &active.catalog, now)?;
    let once = offers::once(given);
    let answer = look.ask(|| desk.engine.answer(&active, &request, once, now))?;
    Ok((answer, request, active, look))
}

/// Decides a converted request that is a preview.
pub(super) fn preview(
    desk: &Desk,
    active: &Active,
    request: &OffersRequest,
    now: Timestamp,
    omit_content: bool,
    mut look: Look<'_>,
) -> Result<wire::GetOffersResponse, Refusal> {
    let decision = look.ask(|| desk.engine.offers(active, request, now))?;
    look.decided(active, request, &decision);
    let said = answer::offers(&decision, request, active, omit_content);
    look.end(active);
    Ok(said)
}

/// Counts an answer and puts it into words: one that was given before in the words of its own time.
pub(super) fn answered(
    desk: &Desk,
    answer: &Answer,
    request: &OffersRequest,
    active: &Active,
    omit_content: bool,
    look: Look<'_>,
) -> wire::GetOffersResponse {
    if let Some(replay) = &answer.replay {
        desk.meters.replayed();
        let said = answer::offers(&answer.decision, replay.request(), replay.active(), omit_content);
        return wire::GetOffersResponse { replayed: true, ..said };
    }
    look.decided(active, request, &answer.decision);
    let said = answer::offers(&answer.decision, request, active, omit_content);
    look.end(active);
    said
}

impl Decisions {
    /// Answers a call of `GetOffers` by gRPC.
    pub(in crate::server) async fn page_view(
        self,
        request: Request<wire::GetOffersRequest>,
    ) -> Result<Response<Said>, Status> {
        let given = request.get_ref();
        let may = may_bring(request.extensions().get(), given);
        may.map_err(|refusal| self.0.refuse(refusal))?;
        let answer = match say_offers(&self.0, given) {
            Err(refusal) => or_again(&self.0, Err(refusal), given).await.map(Said::from),
            said => said,
        };
        if is_look(given) {
            return answer.map(Response::new).map_err(|refusal| self.0.refuse(refusal));
        }
        self.0.answer(answer).await
    }
}

#[async_trait]
impl DecisionService for Decisions {
    type GetOffersStreamStream = Answers<wire::GetOffersStreamResponse>;
    type WatchOffersStream = Answers<wire::WatchOffersResponse>;

    async fn get_offers(
        &self,
        request: Request<wire::GetOffersRequest>,
    ) -> Result<Response<wire::GetOffersResponse>, Status> {
        let given = request.get_ref();
        let may = may_bring(request.extensions().get(), given);
        may.map_err(|refusal| self.0.refuse(refusal))?;
        let answer = or_again(&self.0, get_offers(&self.0, given), given).await;
        if is_look(given) {
            return answer.map(Response::new).map_err(|refusal| self.0.refuse(refusal));
        }
        self.0.answer(answer).await
    }

    async fn get_offers_stream(
        &self,
        request: Request<Streaming<wire::GetOffersStreamRequest>>,
    ) -> Result<Response<Self::GetOffersStreamStream>, Status> {
        let desk = Arc::clone(&self.0);
        let caller = request.extensions().get::<Arc<Caller>>().cloned();
        let ends = request.extensions().get::<Ends>().copied();
        let answers = request.into_inner().then(move |item| {
            let (desk, caller) = (Arc::clone(&desk), caller.clone());
            async move {
                let item = item?;
                let writes = !item.request.as_ref().is_some_and(is_look);
                let mut answer = answer_item(&desk, caller.as_ref(), item).await;
                if writes && let Err(refusal) = desk.durability.settle().await {
                    answer.result = Some(StreamResult::Fault(desk.fault(&refusal)));
                }
                Ok(answer)
            }
        });
        Ok(Response::new(until(ends, answers)))
    }

    async fn replay_decision(
        &self,
        request: Request<wire::ReplayDecisionRequest>,
    ) -> Result<Response<wire::ReplayDecisionResponse>, Status> {
        let wire::ReplayDecisionRequest {
            decision_id,
            omit_content,
        } = request.into_inner();
        let again = match outcomes::past(&decision_id) {
            Ok(id) => replay(&self.0, id, true, omit_content).await,
            Err(faults) => Err(faults.into()),
        };
        again.map(Response::new).map_err(|refusal| self.0.refuse(refusal))
    }

    async fn watch_offers(
        &self,
        request: Request<wire::WatchOffersRequest>,
    ) -> Result<Response<Self::WatchOffersStream>, Status> {
        let ends = request.extensions().get::<Ends>().copied();
        let lists = watching::lists(Arc::clone(&self.0), request.into_inner());
        let lists = lists.map_err(|refusal| self.0.refuse(refusal))?;
        Ok(Response::new(until(ends, lists)))
    }
}

/// Makes a past decision again, on a thread that may block while the journal is read and the catalog is built.
async fn replay(
    desk: &Arc<Desk>,
    id: DecisionId,
    explain: bool,
    omit_content: bool,
) -> Result<wire::ReplayDecisionResponse, Refusal> {
    let place = Arc::clone(&desk.replays).try_acquire_owned();
    let place = place.map_err(|_| Refusal::TooManyReplays(WALKS_MAX))?;
    let desk = Arc::clone(desk);
    let replaying = tokio::task::spawn_blocking(move || {
        let again = replayed(&desk, id, explain)?;
        drop(place);
        Ok(answer::replayed(&again, omit_content))
    });
    replaying.await.unwrap_or(Err(Refusal::ShuttingDown))
}

fn replayed(desk: &Desk, id: DecisionId, explain: bool) -> Result<Replayed, Refusal> {
    let recorded = desk.engine.recorded(id)?;
    let in_force = desk.engine.active();
    let active = if in_force.generation == recorded.generation() {
        in_force
    } else {
        let activation = desk.engine.activation(recorded.generation());
        let activation = activation.ok_or(ReplayError::Unfit(id))?;
        let past = desk.past.as_ref().ok_or(ReplayError::NoJournal)?;
        let built = past.active(&activation);
        let built = built.map_err(|why| ReplayError::Catalog {
            version: activation.catalog.clone(),
            why,
        })?;
        Arc::new(built)
    };
    Ok(Engine::replay(&recorded, active, explain)?)
}

/// Makes the answer to a repeated request again that is no longer kept, after a restart for one. The refusal stays where the
/// decision cannot be made again as it was.
pub(super) async fn or_again(
    desk: &Arc<Desk>,
    answer: Result<wire::GetOffersResponse, Refusal>,
    given: &wire::GetOffersRequest,
) -> Result<wire::GetOffersResponse, Refusal> {
    let Err(Refusal::Rejected(Rejection::AnswerNotKept(id))) = answer else {
        return answer;
    };
    let again = replay(desk, id, given.explain, given.omit_content).await.ok();
    let Some(said) = again.filter(|again| again.identical).and_then(|again| again.decision) else {
        return answer;
    };
    desk.meters.replayed();
    Ok(wire::GetOffersResponse { replayed: true, ..said })
}

/// Refuses events in a call for offers to a caller who may not write any.
fn may_bring(caller: Option<&Arc<Caller>>, request: &wire::GetOffersRequest) -> Result<(), Refusal> {
    match request.events.as_slice() {
        [] => Ok(()),
        _ => Caller::require(caller, Role::Events),
    }
}

async fn answer_item(
    desk: &Arc<Desk>,
    caller: Option<&Arc<Caller>>,
    item: wire::GetOffersStreamRequest,
) -> wire::GetOffersStreamResponse {
    let answered = match offers::correlated(&item) {
        Ok(request) => match may_bring(caller, request) {
            Ok(()) => or_again(desk, get_offers(desk, request), request).await,
            Err(refusal) => Err(refusal),
        },
        Err(faults) => Err(faults.into()),
    };
    let result = match answered {
        Ok(offers) => StreamResult::Offers(offers),
        Err(refusal) => StreamResult::Fault(desk.fault(&refusal)),
    };
    wire::GetOffersStreamResponse {
        correlation_id: item.correlation_id,
        result: Some(result),
    }
}
