//! Traces, as a collector gets them.

use std::time::Duration;

use nbo::server::wire;
use nbo::telemetry::Traces;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

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

/// Starts a server that traces this share of the calls, makes calls, stops it, and returns the spans and all that was sent.
async fn traced(share: f64, parents: &[Option<&str>]) -> (Vec<Span>, String) {
    let (address, mut sent) = collector().await;
    let traces = Traces::to(&address, share).unwrap();
    let served = Served::start_with(CORNER_BANK, |server| server.trace(traces, share)).await;
    served.begin("recognisable-customer").await;
    for parent in parents {
        let offers = wire::GetOffersRequest {
            events: vec![search("recognisable-event", "fund")],
            ..hero("recognisable-customer")
        };
        let mut request = Request::new(offers);
        if let Some(parent) = parent {
            request.metadata_mut().insert("traceparent", parent.parse().unwrap());
        }
        served.decisions().get_offers(request).await.unwrap();
    }
    tokio::time::timeout(Duration::from_secs(30), served.stop())
        .await
        .unwrap()
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

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_is_seen_stage_by_stage_in_its_callers_trace() {
    let parent = format!("00-{TRACE}-{PARENT}-01");
    let (spans, told) = traced(0.0, &[Some(&parent)]).await;
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
async fn a_caller_that_is_not_sampled_is_not_traced_whatever_the_share() {
    let parent = format!("00-{TRACE}-{PARENT}-00");
    let (spans, _) = traced(1.0, &[Some(&parent), None]).await;
    let offers = spans.iter().filter(|span| span.name == "DecisionService/GetOffers");
    let traces: Vec<String> = offers.map(|span| hex(&span.trace_id)).collect();
    assert_eq!(traces.len(), 1, "{spans:?}");
    assert_ne!(traces[0], TRACE);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_share_only_callers_that_ask_for_it_are_traced() {
    let (spans, _) = traced(0.0, &[None, None, Some("nonsense")]).await;
    assert_eq!(spans.len(), 0, "{spans:?}");
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
