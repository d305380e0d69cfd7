//! The kinds of calls, and how one is made.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::str::FromStr;

use bytes::{Buf as _, Bytes};
use prost::Message as _;
use serde::Serialize;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_prost::{ProstCodec, ProstEncoder};

use super::json;
use super::runner::Calls;
use super::stream::OpenStream;
use super::traffic::{Traffic, named};
use crate::server::client::Connection;
use crate::server::wire;
use crate::server::wire::behaviour_service_client::BehaviourServiceClient;
use crate::server::wire::decision_service_client::DecisionServiceClient;
use crate::sim::draw::Draw;

/// Of how many answers from a cached list one is looked at. To take all apart would cost the generator, which shares the machine
/// with its server, more than it costs the server to put them together.
const LOOKED_AT_EVERY: u64 = 16;

/// The path of `GetOffers`.
const GET_OFFERS: PathAndQuery = PathAndQuery::from_static("/nbo.v1.DecisionService/GetOffers");

/// Customers in one call of [`Call::EventBatches`], each with a message of its own.
pub const CUSTOMERS_PER_BATCH: u64 = 50;
/// Events in one call of [`Call::EventBatches`].
pub const EVENTS_PER_BATCH: u64 = 10 * CUSTOMERS_PER_BATCH;

/// How many events of a type are tried.
const TRIES: u64 = 16;

/// A kind of call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Call {
    /// The standard health check: nothing is decided.
    Floor,
    /// Offers from the customer's cached list.
    OffersCached,
    /// Offers of a list that is ranked anew, because the channel is another one than before and what is ranked depends on it.
    OffersAnew,
    /// Offers with an event to record first, so that the list is ranked anew.
    Offers,
    /// One event, recorded.
    Events,
    /// [`EVENTS_PER_BATCH`] events of [`CUSTOMERS_PER_BATCH`] customers, recorded over one stream.
    EventBatches,
    /// Offers from the cached list, over one long stream a connection.
    Stream,
    /// A route of HTTP that does nothing.
    HttpFloor,
    /// Offers from the customer's cached list, by JSON over HTTP.
    Json,
}

impl Call {
    /// All kinds, in the order in which they are measured and shown.
    pub const ALL: [Self; 9] = [
        Self::Floor,
        Self::HttpFloor,
        Self::OffersCached,
        Self::Json,
        Self::Stream,
        Self::OffersAnew,
        Self::Offers,
        Self::Events,
        Self::EventBatches,
    ];

    /// Returns its name on the command line and in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::OffersCached => "offers-cached",
            Self::OffersAnew => "offers-anew",
            Self::Offers => "offers",
            Self::Events => "events",
            Self::EventBatches => "event-batches",
            Self::Stream => "stream",
            Self::HttpFloor => "http-floor",
            Self::Json => "json",
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Call {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.map(Self::name);
        Self::ALL.into_iter().find(|call| call.name() == text).ok_or_else(|| {
            let hint = crate::catalog::values::hint(text, known);
            format!("`{text}` is no kind of call; {hint}")
        })
    }
}

/// What came back, as far as a load test counts it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Lists of offers.
    pub lists: u64,
    /// Lists that came from the cache.
    pub cached: u64,
    /// Offers in those lists.
    pub offers: u64,
    /// Offers that a model scored.
    pub scored: u64,
}

impl Answer {
    pub(super) const fn add(&mut self, other: Self) {
        self.lists += other.lists;
        self.cached += other.cached;
        self.offers += other.offers;
        self.scored += other.scored;
    }

    pub(super) fn of(response: &wire::GetOffersResponse) -> Self {
        let offers = || response.placements.iter().flat_map(|placement| &placement.offers);
        Self {
            lists: 1,
            cached: u64::from(response.cached),
            offers: offers().count() as u64,
            scored: offers().filter(|offer| offer.rung() == wire::Rung::Model).count() as u64,
        }
    }
}

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// The status code in words, or a word of our own.
    pub(super) code: &'static str,
    /// What the server said.
    pub(super) message: String,
}

impl Failure {
    pub(super) fn new(code: &'static str, message: &str) -> Self {
        Self {
            code,
            message: message.to_owned(),
        }
    }

    pub(super) fn of(status: &Status) -> Self {
        Self::new(code_name(status.code()), status.message())
    }
}

/// Makes calls over one connection.
pub(super) struct Caller {
    traffic: Rc<Traffic>,
    decisions: DecisionServiceClient<Connection>,
    behaviour: BehaviourServiceClient<Connection>,
    health: HealthClient<Connection>,
    connection: Connection,
    stream: RefCell<Option<OpenStream>>,
}

impl Caller {
    pub(super) fn new(traffic: Rc<Traffic>, connection: Connection) -> Self {
        Self {
            traffic,
            decisions: DecisionServiceClient::new(connection.clone()),
            behaviour: BehaviourServiceClient::new(connection.clone()),
            health: HealthClient::new(connection.clone()),
            connection,
            stream: RefCell::new(None),
        }
    }

    /// Returns how much memory the server uses, when it tells.
    pub(super) async fn resident_bytes(&self) -> Option<f64> {
        json::resident_bytes(self.connection.clone()).await
    }

    /// Finds events that make a list be ranked anew, by recording some of each type. Returns how many calls it numbered.
    pub(super) async fn find_moving(&self) -> u64 {
        let customer = self.traffic.readers();
        let mut number = 0;
        let mut moving = Vec::new();
        for event_type in 0..self.traffic.event_types.len() {
            for _ in 0..TRIES {
                let event = self
                    .traffic
                    .event_of(event_type, number, &mut Draw::new(self.traffic.seed, number));
                // Twice, since a list may also come to its end.
                if self.moves(customer, &event).await {
                    number += 1;
                    let again = self.traffic.named_anew(&event, number);
                    if self.moves(customer, &again).await {
                        moving.push(event);
                    }
                }
                number += 1;
            }
        }
        // Set once, at the beginning of a run.
        let _ = self.traffic.moving.set(moving);
        number
    }

    /// Tells whether an event makes a customer's list, which is cached, be ranked anew.
    async fn moves(&self, customer: usize, event: &wire::Event) -> bool {
        let _ = self.warm(customer).await;
        let answer = self.ask(self.traffic.offers(customer, vec![event.clone()])).await;
        answer.is_ok_and(|answer| answer.cached == 0)
    }

    /// Reads the list of one customer, so that it is cached from now on.
    pub(super) async fn warm(&self, customer: usize) -> Result<Answer, Failure> {
        let request = wire::GetOffersRequest {
            preview: true,
            ..self.traffic.offers(customer, Vec::new())
        };
        self.ask(request).await
    }

    async fn record_batch(&self, messages: Vec<wire::RecordEventsStreamRequest>) -> Result<Answer, Failure> {
        let recorded = self
            .behaviour
            .clone()
            .record_events_stream(tokio_stream::iter(messages))
            .await;
        let recorded = recorded.map_err(|status| Failure::of(&status))?.into_inner();
        match recorded.faults.first() {
            None => Ok(Answer::default()),
            Some(first) => {
                let fault = first.fault.clone().unwrap_or_default();
                Err(Failure::new(code_name(Code::from_i32(fault.code)), &fault.message))
            }
        }
    }

    async fn ask(&self, request: wire::GetOffersRequest) -> Result<Answer, Failure> {
        let asked = self.decisions.clone().get_offers(request).await;
        asked
            .map(|response| Answer::of(response.get_ref()))
            .map_err(|status| Failure::of(&status))
    }

    /// Asks without taking the answer apart.
    async fn ask_only(&self, request: wire::GetOffersRequest) -> Result<Bytes, Failure> {
        let mut grpc = Grpc::new(self.connection.clone());
        let ready = grpc.ready().await;
        ready.map_err(|error| Failure::new("unavailable", &error.to_string()))?;
        let asked = grpc.unary(Request::new(request), GET_OFFERS, AnswerBytes).await;
        asked
            .map(tonic::Response::into_inner)
            .map_err(|status| Failure::of(&status))
    }

    async fn ask_stream(&self, request: wire::GetOffersRequest) -> Result<Answer, Failure> {
        let waiting = {
            let mut stream = self.stream.borrow_mut();
            let open = stream.get_or_insert_with(|| OpenStream::open(self.decisions.clone()));
            open.send(request)
        };
        match waiting.await {
            Ok(answer) => answer,
            Err(_) => Err(Failure::new("stream closed", "")),
        }
    }
}

impl Calls for Caller {
    /// The same number is the same call.
    async fn call(&self, call: Call, number: u64) -> Result<Answer, Failure> {
        let mut draw = Draw::new(self.traffic.seed, number);
        match call {
            Call::Floor => {
                let asked = self.health.clone().check(HealthCheckRequest::default()).await;
                asked.map(|_| Answer::default()).map_err(|status| Failure::of(&status))
            }
            Call::OffersCached => {
                let request = self.traffic.offers(self.traffic.reader(&mut draw), Vec::new());
                let answer = self.ask_only(request).await?;
                if number.is_multiple_of(LOOKED_AT_EVERY) {
                    looked_at(answer)
                } else {
                    Ok(Answer::default())
                }
            }
            Call::OffersAnew => self.ask(self.traffic.offers_elsewhere(number)).await,
            Call::Offers => {
                let customer = self.traffic.writer(&mut draw);
                let event = self.traffic.moving_event(number, &mut draw);
                self.ask(self.traffic.offers(customer, vec![event])).await
            }
            Call::HttpFloor => json::floor(self.connection.clone()).await,
            Call::Json => {
                let request = self.traffic.offers(self.traffic.reader(&mut draw), Vec::new());
                json::offers(self.connection.clone(), &request).await
            }
            Call::Events => {
                let customer = Some(named(self.traffic.writer(&mut draw)));
                let events = vec![self.traffic.event(number, &mut draw)];
                let request = wire::RecordEventsRequest {
                    customer,
                    events,
                    offers: None,
                };
                let recorded = self.behaviour.clone().record_events(request).await;
                recorded
                    .map(|_| Answer::default())
                    .map_err(|status| Failure::of(&status))
            }
            Call::EventBatches => self.record_batch(self.traffic.batch(number, &mut draw)).await,
            Call::Stream => {
                self.ask_stream(self.traffic.offers(self.traffic.reader(&mut draw), Vec::new()))
                    .await
            }
        }
    }
}

fn looked_at(answer: Bytes) -> Result<Answer, Failure> {
    let answer = wire::GetOffersResponse::decode(answer);
    let answer = answer.map_err(|error| Failure::new("internal", &error.to_string()))?;
    Ok(Answer::of(&answer))
}

/// Writes requests for offers and leaves answers as they are.
#[derive(Clone, Copy, Debug)]
struct AnswerBytes;

impl Codec for AnswerBytes {
    type Encode = wire::GetOffersRequest;
    type Decode = Bytes;
    type Encoder = ProstEncoder<wire::GetOffersRequest>;
    type Decoder = Self;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<wire::GetOffersRequest, wire::GetOffersResponse>::raw_encoder(
            tonic::codec::BufferSettings::default(),
        )
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Decoder for AnswerBytes {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(source.copy_to_bytes(source.remaining())))
    }
}

pub(super) const fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "ok",
        Code::Cancelled => "cancelled",
        Code::InvalidArgument => "invalid argument",
        Code::DeadlineExceeded => "deadline exceeded",
        Code::NotFound => "not found",
        Code::PermissionDenied => "permission denied",
        Code::ResourceExhausted => "resource exhausted",
        Code::FailedPrecondition => "failed precondition",
        Code::Aborted => "aborted",
        Code::OutOfRange => "out of range",
        Code::Unimplemented => "unimplemented",
        Code::Internal => "internal",
        Code::Unavailable => "unavailable",
        Code::DataLoss => "data loss",
        Code::Unauthenticated => "unauthenticated",
        Code::AlreadyExists => "already exists",
        Code::Unknown => "unknown",
    }
}
