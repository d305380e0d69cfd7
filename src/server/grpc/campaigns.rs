//! `CampaignService`: a run on threads of its own, its answers in a bounded channel.
//!
//! A slow reader makes the run wait; a reader that leaves ends it. The run's decisions are those of [`crate::campaign`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, async_trait};

use super::Answers;
use crate::campaign::{self, Asked, Batch, Caller, Options, Stopped};
use crate::domain::decision::Decision;
use crate::domain::request::OffersRequest;
use crate::domain::time::Timestamp;
use crate::engine::Active;
use crate::engine::Rejection;
use crate::server::convert::campaigns::{self, Order};
use crate::server::convert::fault::Faults;
use crate::server::deadline::{Ends, until};
use crate::server::desk::Desk;
use crate::server::limits::{CAMPAIGN_BATCHES_WAITING, CAMPAIGN_RUNS_MAX};
use crate::server::status::Refusal;
use crate::server::wire::campaign_service_server::CampaignService;
use crate::server::wire::{CustomerOffers, RankCustomersRequest, RankCustomersResponse};

/// Answers `CampaignService`.
#[derive(Clone)]
pub(in crate::server) struct Campaigns {
    desk: Arc<Desk>,
    places: Arc<Semaphore>,
}

impl Campaigns {
    pub(in crate::server) fn new(desk: &Arc<Desk>) -> Self {
        Self {
            desk: Arc::clone(desk),
            places: Arc::new(Semaphore::new(CAMPAIGN_RUNS_MAX)),
        }
    }

    fn begin(
        &self,
        given: RankCustomersRequest,
    ) -> Result<ReceiverStream<Result<RankCustomersResponse, Status>>, Refusal> {
        let (active, now) = self.desk.begin();
        let (order, _) = campaigns::order(&given, active, now)?;
        let place = Arc::clone(&self.places).try_acquire_owned();
        let place = place.map_err(|_| Refusal::TooManyRuns(CAMPAIGN_RUNS_MAX))?;
        let (sender, receiver) = mpsc::channel(CAMPAIGN_BATCHES_WAITING);
        let run = Run {
            desk: Arc::clone(&self.desk),
            given,
            order,
            sender,
            token: Mutex::default(),
            counted: AtomicU64::new(0),
            runs: Arc::clone(&self.places),
        };
        // Not one of the runtime's threads: those of a run give up their priority.
        let begun = std::thread::Builder::new()
            .name("campaign".to_owned())
            .spawn(move || run.run(place));
        begun.map_err(|_| Refusal::RunBroken)?;
        Ok(ReceiverStream::new(receiver))
    }
}

#[async_trait]
impl CampaignService for Campaigns {
    type RankCustomersStream = Answers<RankCustomersResponse>;

    async fn rank_customers(
        &self,
        request: Request<RankCustomersRequest>,
    ) -> Result<Response<Self::RankCustomersStream>, Status> {
        let ends = request.extensions().get::<Ends>().copied();
        let answers = self.begin(request.into_inner());
        let answers = answers.map_err(|refusal| self.desk.refuse(refusal))?;
        Ok(Response::new(until(ends, answers)))
    }
}

/// One run.
struct Run {
    desk: Arc<Desk>,
    given: RankCustomersRequest,
    order: Order,
    sender: mpsc::Sender<Result<RankCustomersResponse, Status>>,
    /// The token of the last batch.
    token: Mutex<String>,
    /// Customers that the metrics know of.
    counted: AtomicU64,
    runs: Arc<Semaphore>,
}

impl Run {
    fn run(self, place: OwnedSemaphorePermit) {
        let told = || CAMPAIGN_RUNS_MAX - self.runs.available_permits();
        self.desk.meters.campaign_runs(told());
        let options = Options {
            customers_max: self.order.customers_max,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            start: self.order.start.clone(),
        };
        let end = match campaign::run(&self.desk.engine, &self, &self.order.audience, &options) {
            Ok(summary) => {
                let token = std::mem::take(&mut *self.token.lock());
                Ok(campaigns::summary(&summary, &self.order, &self.given, token))
            }
            Err(Stopped::Gone) => {
                drop(place);
                return self.desk.meters.campaign_runs(told());
            }
            Err(Stopped::Unfit(faults)) => Err(self.desk.refuse(faults.into())),
            Err(Stopped::NameReused) => Err(self.desk.refuse(Refusal::RunIdReused)),
            Err(Stopped::NotWritten(why)) => Err(self.desk.refuse(Rejection::NotWritten(why).into())),
            Err(Stopped::Broken) => Err(self.desk.refuse(Refusal::RunBroken)),
        };
        drop(place);
        self.desk.meters.campaign_runs(told());
        // Nobody to tell when the caller is gone.
        let _ = self.sender.blocking_send(end);
    }
}

impl Caller for Run {
    type Answer = CustomerOffers;
    type Fault = Faults;

    fn now(&self) -> Timestamp {
        self.desk.clock.now()
    }

    fn ask(&self, active: Arc<Active>, now: Timestamp) -> Result<Asked, Faults> {
        campaigns::again(&self.given, active, now)
    }

    fn present(&self, active: &Active, request: &OffersRequest, decision: &Decision) -> Option<CustomerOffers> {
        campaigns::customer_offers(decision, request, active, self.given.omit_content)
    }

    fn decided(&self, active: &Active, request: &OffersRequest, decision: &Decision) {
        self.desk.meters.reserved(active, request, decision);
    }

    fn recalled(&self, answer: CustomerOffers) -> CustomerOffers {
        CustomerOffers {
            from_history: true,
            ..answer
        }
    }

    fn emit(&self, batch: Batch<CustomerOffers>) -> bool {
        let customers = batch.totals.customers;
        let before = self.counted.swap(customers, Ordering::Relaxed);
        self.desk.meters.campaigned(customers.saturating_sub(before));
        let message = campaigns::batch(batch, self.order.fingerprint);
        message.resume_token.clone_into(&mut self.token.lock());
        let message = self.desk.durability.settle_blocking().map(|()| message);
        self.sender
            .blocking_send(message.map_err(|refusal| self.desk.refuse(refusal)))
            .is_ok()
    }

    fn is_gone(&self) -> bool {
        self.sender.is_closed()
    }
}
