//! Traces, as a collector gets them.

use std::sync::Arc;
use std::time::Duration;

use nbo::server::access::Access;
use nbo::server::doors::Doors;
use nbo::server::wire;
use nbo::server::wire::decision_service_client::DecisionServiceClient;
use nbo::telemetry::Traces;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

use crate::safety::{Guarded, Secrets};
use crate::served::{CORNER_BANK, Served, hero, search};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// A collector that hands on what it gets.
struct Collector(mpsc::UnboundedSender<ExportTraceServiceRequest>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0.send(request.into_inner()).unwrap();
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// Starts a collector, and returns its address and what it will get.
async fn collector() -> (String, mpsc::UnboundedReceiver<ExportTraceServiceRequest>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let serving = tonic::transport::Server::builder().add_service(TraceServiceServer::new(Collector(sender)));
    tokio::spawn(serving.serve_with_incoming(TcpListenerStream::new(listener)));
    (address, receiver)
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A call: of which trace, and with which token.
type Made<'a> = (Option<&'a str>, Option<&'a str>);

/// Starts a server that traces this share of the calls and lets in whom `access` knows, makes calls, stops it, and returns the spans
/// and all that was sent. A call that nobody answers is as good as any other.
async fn traced(share: f64, access: Arc<Access>, made: &[Made<'_>]) -> (Vec<Span>, String) {
    let (address, mut sent) = collector().await;
    let traces = Traces::to(&address, share).unwrap();
    let served = Guarded::start_with(|server| server.trace(traces, share), |doors| Doors { access, ..doors }).await;
    for (parent, token) in made {
        let offers = wire::GetOffersRequest {
            events: vec![search("recognisable-event", "fund")],
            ..hero("recognisable-customer")
        };
        let mut request = Request::new(offers);
        if let Some(parent) = parent {
            request.metadata_mut().insert("traceparent", parent.parse().unwrap());
        }
        let mut decisions = DecisionServiceClient::new(served.connect(*token).await);
        let answer = decisions.get_offers(request).await;
        assert!(answer.is_ok() || token.is_none(), "{answer:?}");
    }
    tokio::time::timeout(Duration::from_secs(30), served.stop())
        .await
        .unwrap();
    sent.close();
    let mut spans = Vec::new();
    let mut told = Vec::new();
    while let Some(request) = sent.recv().await {
        told.push(format!("{request:?}"));
        let of_scopes = request
            .resource_spans
            .into_iter()
            .flat_map(|resource| resource.scope_spans);
        spans.extend(of_scopes.flat_map(|scope| scope.spans));
    }
    (spans, told.join("\n"))
}

/// The same of calls by whoever comes, at a server that knows nobody.
async fn traced_of_anybody(share: f64, parents: &[Option<&str>]) -> Vec<Span> {
    let made: Vec<Made<'_>> = parents.iter().map(|parent| (*parent, None)).collect();
    traced(share, Arc::new(Access::open_to_everybody()), &made).await.0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_is_seen_stage_by_stage_in_its_callers_trace() {
    let parent = format!("00-{TRACE}-{PARENT}-01");
    let secrets = Secrets::new();
    let [token] = secrets.tokens(["offers,events"]);
    let (spans, told) = traced(0.0, secrets.access(), &[(Some(&parent), Some(&token))]).await;
    assert!(spans.iter().all(|span| hex(&span.trace_id) == TRACE), "{spans:?}");
    let root = spans.iter().find(|span| hex(&span.parent_span_id) == PARENT).unwrap();
    assert_eq!(root.name, "DecisionService/GetOffers");
    let mut stages: Vec<&Span> = spans
        .iter()
        .filter(|span| span.parent_span_id == root.span_id)
        .collect();
    stages.sort_by_key(|span| span.start_time_unix_nano);
    let names: Vec<&str> = stages.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "convert", "lookup", "fold", "gate", "score", "rank", "fill", "reserve", "keep", "answer"
        ]
    );
    for two in stages.windows(2) {
        assert!(two[0].end_time_unix_nano <= two[1].start_time_unix_nano, "{two:?}");
    }
    assert!(
        stages
            .iter()
            .all(|stage| stage.start_time_unix_nano >= root.start_time_unix_nano)
    );
    assert!(
        stages
            .iter()
            .all(|stage| stage.end_time_unix_nano <= root.end_time_unix_nano)
    );
    assert_eq!(spans.len(), stages.len() + 1, "{spans:?}");
    let keys: Vec<&str> = root.attributes.iter().map(|attribute| attribute.key.as_str()).collect();
    assert_eq!(
        keys,
        ["nbo.code", "nbo.channel", "nbo.rung", "nbo.cached", "nbo.catalog"]
    );
    assert!(!told.contains("recognisable"), "somebody is named: {told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_do_not_decide_how_much_is_traced() {
    let parent = format!("00-{TRACE}-{PARENT}-01");
    let spans = traced_of_anybody(0.0, &[Some(&parent), None, Some("nonsense")]).await;
    assert_eq!(spans.len(), 0, "{spans:?}");
    let secrets = Secrets::new();
    let [token] = secrets.tokens(["offers,events"]);
    let (spans, _) = traced(0.0, secrets.access(), &[(Some(&parent), None), (None, Some(&token))]).await;
    assert_eq!(spans.len(), 0, "{spans:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_chance_draws_of_strangers_keeps_the_id_of_their_trace_and_one_that_is_not_sampled_is_not_traced() {
    let sampled = format!("00-{TRACE}-{PARENT}-01");
    let other = format!("00-{}-{PARENT}-00", TRACE.replace('4', "5"));
    let spans = traced_of_anybody(1.0, &[Some(&sampled), Some(&other), None]).await;
    let offers = spans.iter().filter(|span| span.name == "DecisionService/GetOffers");
    let traces: Vec<String> = offers.map(|span| hex(&span.trace_id)).collect();
    assert_eq!(traces.len(), 2, "{spans:?}");
    assert!(traces[0] == TRACE && traces[1] != TRACE, "{traces:?}");
    assert!(
        spans.iter().any(|span| hex(&span.parent_span_id) == PARENT),
        "{spans:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_not_there_costs_no_call() {
    let traces = Traces::to("http://127.0.0.1:1", 1.0).unwrap();
    let served = Served::start_with(CORNER_BANK, |server| server.trace(traces, 1.0)).await;
    for _ in 0..20 {
        served.decisions().get_offers(hero("anna")).await.unwrap();
    }
    tokio::time::timeout(Duration::from_secs(30), served.stop())
        .await
        .unwrap()
        .unwrap();
    assert!(Traces::to("no address", 1.0).is_err());
}
