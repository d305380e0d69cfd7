//! The kinds of calls, and how one is made.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::rc::Rc;
use std::str::FromStr;

use serde::Serialize;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::server::wire;
use crate::server::wire::attribute_value::Kind;
use crate::server::wire::behaviour_service_client::BehaviourServiceClient;
use crate::server::wire::decision_service_client::DecisionServiceClient;
use crate::server::wire::get_offers_stream_response::Result as StreamResult;
use crate::sim::draw::Draw;

/// A kind of call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Call {
    /// The standard health check: nothing is decided.
    Floor,
    /// Offers from the customer's cached list.
    OffersCached,
    /// Offers with an event to record first, so that the list is ranked anew.
    Offers,
    /// One event, recorded.
    Events,
    /// Offers from the cached list, over one long stream a connection.
    Stream,
}

impl Call {
    /// All kinds, in the order in which they are measured and shown.
    pub const ALL: [Self; 5] = [
        Self::Floor,
        Self::OffersCached,
        Self::Stream,
        Self::Offers,
        Self::Events,
    ];

    /// Returns its name on the command line and in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::OffersCached => "offers-cached",
            Self::Offers => "offers",
            Self::Events => "events",
            Self::Stream => "stream",
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
    /// Lists whose offers were all scored by a model.
    pub from_model: u64,
    /// Offers in those lists.
    pub offers: u64,
}

impl Answer {
    pub(super) const fn add(&mut self, other: Self) {
        self.lists += other.lists;
        self.cached += other.cached;
        self.from_model += other.from_model;
        self.offers += other.offers;
    }

    fn of(response: &wire::GetOffersResponse) -> Self {
        Self {
            lists: 1,
            cached: u64::from(response.cached),
            from_model: u64::from(response.rung() == wire::Rung::Model),
            offers: response
                .placements
                .iter()
                .map(|placement| placement.offers.len() as u64)
                .sum(),
        }
    }
}

/// What all calls of a run have in common.
#[derive(Debug)]
pub(super) struct Traffic {
    /// The types of events, with what they carry.
    pub(super) event_types: Vec<wire::EventTypeSchema>,
    /// How many customers there are.
    pub(super) customers: usize,
    /// The channel that asks.
    pub(super) channel: String,
    /// The placement to fill.
    pub(super) placement: String,
    /// How many offers are asked for.
    pub(super) count: u32,
    /// Whether offers are only looked at: nothing is reserved.
    pub(super) preview: bool,
    /// Goes into the ids of events, so that no run repeats those of another.
    pub(super) run: String,
    /// Chooses customers and events.
    pub(super) seed: u64,
}

impl Traffic {
    /// Returns how many customers are only read: the first half.
    pub(super) const fn readers(&self) -> usize {
        self.customers.div_ceil(2)
    }

    fn reader(&self, draw: &mut Draw) -> usize {
        draw.below(self.readers())
    }

    fn writer(&self, draw: &mut Draw) -> usize {
        let writers = self.customers - self.readers();
        if writers == 0 {
            0
        } else {
            self.readers() + draw.below(writers)
        }
    }

    pub(super) fn offers(&self, customer: usize, events: Vec<wire::Event>) -> wire::GetOffersRequest {
        wire::GetOffersRequest {
            customer: Some(named(customer)),
            channel: self.channel.clone(),
            placements: vec![wire::PlacementRequest {
                placement: self.placement.clone(),
                count: self.count,
            }],
            preview: self.preview && events.is_empty(),
            events,
            ..wire::GetOffersRequest::default()
        }
    }

    fn event(&self, number: u64, draw: &mut Draw) -> wire::Event {
        let Some(event_type) = self.event_types.get(draw.below(self.event_types.len())) else {
            return wire::Event::default();
        };
        let attributes = event_type.attributes.iter().filter_map(|attribute| {
            let value = wire::AttributeValue {
                kind: Some(value(attribute, draw)?),
            };
            Some((attribute.id.clone(), value))
        });
        wire::Event {
            id: format!("{}-{number}", self.run),
            r#type: event_type.id.clone(),
            attributes: attributes.collect::<BTreeMap<_, _>>(),
            channel: self.channel.clone(),
            ..wire::Event::default()
        }
    }
}

fn named(customer: usize) -> wire::Customer {
    let identity = wire::customer::Identity::Id(format!("demo-{:06}", customer + 1));
    wire::Customer {
        identity: Some(identity),
    }
}

/// Draws a value that the schema allows; none for a date, whose default is that it is not known.
fn value(attribute: &wire::AttributeSchema, draw: &mut Draw) -> Option<Kind> {
    let chosen = |draw: &mut Draw| attribute.values.get(draw.below(attribute.values.len())).cloned();
    match attribute.r#type() {
        wire::AttributeType::Number => {
            let lowest = attribute.lowest.unwrap_or(0.0);
            let highest = attribute.highest.unwrap_or(lowest + 100.0).max(lowest);
            Some(Kind::Number(
                (lowest + (highest - lowest) * draw.unit()).floor().max(lowest),
            ))
        }
        wire::AttributeType::Boolean => Some(Kind::Boolean(draw.chance(0.5))),
        wire::AttributeType::Category => chosen(draw).map(Kind::Text),
        wire::AttributeType::Set => Some(Kind::Set(wire::TextSet {
            values: chosen(draw).into_iter().collect(),
        })),
        wire::AttributeType::Date | wire::AttributeType::Unspecified => None,
    }
}

/// Makes calls over one connection.
pub(super) struct Caller {
    traffic: Rc<Traffic>,
    decisions: DecisionServiceClient<Channel>,
    behaviour: BehaviourServiceClient<Channel>,
    health: HealthClient<Channel>,
    stream: RefCell<Option<OpenStream>>,
}

impl Caller {
    pub(super) fn new(traffic: Rc<Traffic>, channel: Channel) -> Self {
        Self {
            traffic,
            decisions: DecisionServiceClient::new(channel.clone()),
            behaviour: BehaviourServiceClient::new(channel.clone()),
            health: HealthClient::new(channel),
            stream: RefCell::new(None),
        }
    }

    /// Makes call `number` of a run: the same number is the same call. Returns what came back, or the code of the failure.
    pub(super) async fn call(&self, call: Call, number: u64) -> Result<Answer, &'static str> {
        let mut draw = Draw::new(self.traffic.seed, number);
        match call {
            Call::Floor => {
                let asked = self.health.clone().check(HealthCheckRequest::default()).await;
                asked.map(|_| Answer::default()).map_err(|status| code(&status))
            }
            Call::OffersCached => {
                self.ask(self.traffic.offers(self.traffic.reader(&mut draw), Vec::new()))
                    .await
            }
            Call::Offers => {
                let customer = self.traffic.writer(&mut draw);
                let event = self.traffic.event(number, &mut draw);
                self.ask(self.traffic.offers(customer, vec![event])).await
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
                recorded.map(|_| Answer::default()).map_err(|status| code(&status))
            }
            Call::Stream => {
                self.ask_stream(self.traffic.offers(self.traffic.reader(&mut draw), Vec::new()))
                    .await
            }
        }
    }

    /// Reads the list of one customer, so that it is cached from now on.
    pub(super) async fn warm(&self, customer: usize) -> Result<Answer, &'static str> {
        let request = wire::GetOffersRequest {
            preview: true,
            ..self.traffic.offers(customer, Vec::new())
        };
        self.ask(request).await
    }

    async fn ask(&self, request: wire::GetOffersRequest) -> Result<Answer, &'static str> {
        let asked = self.decisions.clone().get_offers(request).await;
        asked
            .map(|response| Answer::of(response.get_ref()))
            .map_err(|status| code(&status))
    }

    async fn ask_stream(&self, request: wire::GetOffersRequest) -> Result<Answer, &'static str> {
        let waiting = {
            let mut stream = self.stream.borrow_mut();
            let open = stream.get_or_insert_with(|| OpenStream::open(self.decisions.clone()));
            open.send(request)
        };
        match waiting.await {
            Ok(answer) => answer,
            Err(_) => Err("stream closed"),
        }
    }
}

type Waiting = oneshot::Sender<Result<Answer, &'static str>>;

/// A stream of requests whose answers come in the order of the requests.
struct OpenStream {
    requests: mpsc::UnboundedSender<wire::GetOffersStreamRequest>,
    waiting: Rc<RefCell<VecDeque<Waiting>>>,
    sent: Cell<u64>,
}

impl OpenStream {
    fn open(decisions: DecisionServiceClient<Channel>) -> Self {
        let (requests, receiver) = mpsc::unbounded_channel();
        let waiting = Rc::new(RefCell::new(VecDeque::new()));
        tokio::task::spawn_local(read_answers(decisions, receiver, Rc::clone(&waiting)));
        Self {
            requests,
            waiting,
            sent: Cell::new(0),
        }
    }

    fn send(&self, request: wire::GetOffersRequest) -> oneshot::Receiver<Result<Answer, &'static str>> {
        let (sender, receiver) = oneshot::channel();
        let correlation_id = self.sent.get().to_string();
        self.sent.set(self.sent.get() + 1);
        let request = wire::GetOffersStreamRequest {
            correlation_id,
            request: Some(request),
        };
        if self.requests.send(request).is_ok() {
            self.waiting.borrow_mut().push_back(sender);
        }
        receiver
    }
}

async fn read_answers(
    mut decisions: DecisionServiceClient<Channel>,
    requests: mpsc::UnboundedReceiver<wire::GetOffersStreamRequest>,
    waiting: Rc<RefCell<VecDeque<Waiting>>>,
) {
    let failed = match decisions
        .get_offers_stream(UnboundedReceiverStream::new(requests))
        .await
    {
        Ok(answers) => {
            let mut answers = answers.into_inner();
            loop {
                match answers.message().await {
                    Ok(Some(answer)) => settle(&waiting, &answer),
                    Ok(None) => break "stream closed",
                    Err(status) => break code(&status),
                }
            }
        }
        Err(status) => code(&status),
    };
    for sender in waiting.borrow_mut().drain(..) {
        // The caller may have stopped waiting.
        let _ = sender.send(Err(failed));
    }
}

fn settle(waiting: &RefCell<VecDeque<Waiting>>, answer: &wire::GetOffersStreamResponse) {
    let Some(sender) = waiting.borrow_mut().pop_front() else {
        return;
    };
    let result = match &answer.result {
        Some(StreamResult::Offers(offers)) => Ok(Answer::of(offers)),
        Some(StreamResult::Fault(fault)) => Err(code_name(Code::from_i32(fault.code))),
        None => Err("empty answer"),
    };
    // The caller may have stopped waiting.
    let _ = sender.send(result);
}

fn code(status: &Status) -> &'static str {
    code_name(status.code())
}

const fn code_name(code: Code) -> &'static str {
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
