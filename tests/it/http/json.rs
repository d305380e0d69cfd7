//! Every unary method, by JSON and by gRPC.

use std::collections::BTreeSet;
use std::fmt::Debug;

use nbo::server::http::openapi;
use nbo::server::wire::{self, DESCRIPTORS, Outcome};
use prost::Message as _;
use prost_types::FileDescriptorSet;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tonic::{Response, Status};

use super::{GET_OFFERS, HERO, Web, ids};
use crate::served::{Served, aged, customer, hero, search};

/// Two servers that hear the same, one by gRPC and one by JSON.
struct Twins {
    grpc: Served,
    web: Web,
    _json: Served,
    document: Value,
    called: BTreeSet<String>,
}

impl Twins {
    async fn start() -> Self {
        let (grpc, json) = (Served::start().await, Served::start().await);
        Self {
            grpc,
            web: Web::of(&json),
            _json: json,
            document: openapi::document(),
            called: BTreeSet::new(),
        }
    }

    /// Makes by JSON the call that gRPC answered, and compares the answers, or the refusals. What goes over the wire has to be
    /// what the OpenAPI document says.
    async fn same<Q, A>(&mut self, path: &str, request: &Q, by_grpc: Result<Response<A>, Status>)
    where
        Q: Serialize,
        A: DeserializeOwned + PartialEq + Debug,
    {
        let post = &self.document["paths"][path]["post"];
        let asked = serde_json::to_value(request).unwrap();
        self.fits(&post["requestBody"]["content"], &asked);
        let answer = self.web.post(path, asked.to_string()).await;
        let json = answer.json();
        match by_grpc {
            Ok(expected) => {
                assert_eq!(answer.status, 200, "{path}: {json}");
                self.fits(&post["responses"]["200"]["content"], &json);
                let given: A = serde_json::from_value(json).unwrap();
                assert_eq!(given, expected.into_inner(), "{path}");
            }
            Err(expected) => {
                self.fits(&self.document["components"]["responses"]["Refused"]["content"], &json);
                assert_eq!(json["code"], i32::from(expected.code()), "{path}: {json}");
                assert_eq!(json["message"], expected.message(), "{path}");
            }
        }
        self.called.insert(path.to_owned());
    }

    #[track_caller]
    fn fits(&self, content: &Value, value: &Value) {
        let schema = &content["application/json"]["schema"];
        assert!(schema.is_object(), "nothing is described for {value}");
        let schema = json!({"allOf": [schema], "components": self.document["components"]});
        let validator = jsonschema::draft202012::new(&schema).unwrap();
        let faults: Vec<String> = validator.iter_errors(value).map(|fault| fault.to_string()).collect();
        assert!(faults.is_empty(), "{faults:?} in {value}");
    }

    async fn offers(&mut self, request: wire::GetOffersRequest) -> String {
        let by_grpc = self.grpc.decisions().get_offers(request.clone()).await;
        let id = by_grpc.as_ref().unwrap().get_ref().decision_id.clone();
        self.same(GET_OFFERS, &request, by_grpc).await;
        id
    }
}

/// Makes a call by gRPC and by JSON.
macro_rules! same {
    ($twins:ident, $client:ident, $service:literal, $name:literal, $call:ident, $request:expr) => {{
        let request = $request;
        let by_grpc = $twins.grpc.$client().$call(request.clone()).await;
        $twins
            .same(concat!("/nbo.v1.", $service, "/", $name), &request, by_grpc)
            .await;
    }};
}

#[expect(clippy::too_many_lines, reason = "a call for each method")]
#[tokio::test]
async fn every_unary_method_answers_by_json_what_it_answers_by_grpc() {
    let mut twins = Twins::start().await;
    let anna = || Some(customer("anna"));
    let cookie = || {
        Some(wire::Customer {
            identity: Some(wire::customer::Identity::AnonymousId("cookie".to_owned())),
        })
    };
    same!(
        twins,
        profiles,
        "ProfileService",
        "UpsertProfile",
        upsert_profile,
        aged("anna", 40.0)
    );
    let explained = wire::GetOffersRequest {
        explain: true,
        request_id: "page-1".to_owned(),
        events: vec![search("e0", "travel")],
        ..hero("anna")
    };
    let decision_id = twins.offers(explained).await;
    assert!(!decision_id.is_empty());
    let recorded = wire::RecordEventsRequest {
        customer: anna(),
        events: vec![search("e1", "fund"), search("e2", "savings")],
        offers: Some(wire::GetOffersRequest {
            customer: None,
            preview: true,
            ..hero("anna")
        }),
    };
    same!(
        twins,
        behaviour,
        "BehaviourService",
        "RecordEvents",
        record_events,
        recorded
    );
    let outcome = wire::RecordOutcomeRequest {
        decision_id: decision_id.clone(),
        offer_id: "fund_world".to_owned(),
        outcome: Outcome::Seen.into(),
        ..Default::default()
    };
    let wrong = wire::RecordOutcomeRequest {
        offer_id: "no_such".to_owned(),
        ..outcome.clone()
    };
    same!(
        twins,
        behaviour,
        "BehaviourService",
        "RecordOutcome",
        record_outcome,
        outcome.clone()
    );
    let both = wire::RecordOutcomesRequest {
        outcomes: vec![outcome, wrong.clone()],
    };
    same!(
        twins,
        behaviour,
        "BehaviourService",
        "RecordOutcomes",
        record_outcomes,
        both
    );
    same!(
        twins,
        behaviour,
        "BehaviourService",
        "RecordOutcome",
        record_outcome,
        wrong
    );
    let cancel = wire::CancelRequest {
        decision_id: decision_id.clone(),
        ..Default::default()
    };
    same!(twins, behaviour, "BehaviourService", "Cancel", cancel, cancel);
    let replay = wire::ReplayDecisionRequest {
        decision_id,
        omit_content: true,
    };
    same!(
        twins,
        decisions,
        "DecisionService",
        "ReplayDecision",
        replay_decision,
        replay
    );
    let budget = wire::GetContactBudgetRequest {
        customer: anna(),
        ..Default::default()
    };
    same!(
        twins,
        contacts,
        "ContactService",
        "GetContactBudget",
        get_contact_budget,
        budget
    );
    let forecast = wire::ForecastLimitsRequest::default();
    same!(
        twins,
        contacts,
        "ContactService",
        "ForecastLimits",
        forecast_limits,
        forecast
    );
    let visit = wire::RecordEventsRequest {
        customer: cookie(),
        events: vec![search("e1", "fund")],
        offers: None,
    };
    same!(
        twins,
        behaviour,
        "BehaviourService",
        "RecordEvents",
        record_events,
        visit
    );
    let merge = wire::MergeCustomersRequest {
        visitor: cookie(),
        customer: anna(),
        ..Default::default()
    };
    same!(
        twins,
        profiles,
        "ProfileService",
        "MergeCustomers",
        merge_customers,
        merge
    );
    let whole = wire::GetProfileRequest { customer: anna() };
    same!(twins, profiles, "ProfileService", "GetProfile", get_profile, whole);
    let unmerge = wire::UnmergeCustomersRequest { visitor: cookie() };
    same!(
        twins,
        profiles,
        "ProfileService",
        "UnmergeCustomers",
        unmerge_customers,
        unmerge
    );
    let export = wire::ExportCustomerRequest { customer: anna() };
    same!(
        twins,
        profiles,
        "ProfileService",
        "ExportCustomer",
        export_customer,
        export
    );
    let delete = wire::DeleteProfileRequest { customer: cookie() };
    same!(
        twins,
        profiles,
        "ProfileService",
        "DeleteProfile",
        delete_profile,
        delete
    );
    let erase = wire::EraseCustomerRequest { customer: anna() };
    same!(
        twins,
        profiles,
        "ProfileService",
        "EraseCustomer",
        erase_customer,
        erase
    );
    same!(
        twins,
        profiles,
        "ProfileService",
        "UpsertProfile",
        upsert_profile,
        aged("anna", 41.0)
    );
    let catalog = wire::GetCatalogRequest {
        include_offers: true,
        include_schema: true,
    };
    same!(twins, catalogs, "CatalogService", "GetCatalog", get_catalog, catalog);
    let reload = wire::GetReloadStatusRequest::default();
    same!(
        twins,
        catalogs,
        "CatalogService",
        "GetReloadStatus",
        get_reload_status,
        reload
    );
    let status = wire::GetStatusRequest::default();
    same!(twins, operations, "OperationsService", "GetStatus", get_status, status);

    let described = FileDescriptorSet::decode(DESCRIPTORS).unwrap();
    let files = described.file.iter().filter(|file| file.package() == "nbo.v1");
    let methods = files
        .flat_map(|file| &file.service)
        .flat_map(|service| service.method.iter().map(move |method| (service, method)));
    let unary = methods.filter(|(_, method)| !method.client_streaming() && !method.server_streaming());
    let unary: BTreeSet<String> = unary
        .map(|(service, method)| format!("/nbo.v1.{}/{}", service.name(), method.name()))
        .collect();
    assert_eq!(twins.called, unary);
}

#[tokio::test]
async fn a_page_view_needs_no_library_over_http_1_nor_over_http_2() {
    let served = Served::start().await;
    served.begin("anna").await;
    for web in [Web::of(&served), Web::http2_of(&served)] {
        let answer = web
            .post(
                GET_OFFERS,
                HERO.replace("\"channel\"", "\"preview\": true, \"channel\""),
            )
            .await;
        let json = answer.json();
        assert_eq!(ids(&json), ["savings_easy", "fund_world", "travel_insurance"]);
        assert_eq!(json["decidedAt"], "2026-03-02T09:00:00Z");
        assert_eq!(json["profileVersion"], "1", "64 bits are text in JSON");
        assert!(json.get("withheld").is_none(), "what is empty is left out");
    }
}

#[tokio::test]
async fn the_openapi_document_is_served_as_it_is_printed() {
    let served = Served::start().await;
    let web = Web::of(&served);
    assert_eq!(web.get("/openapi.json").await.json(), openapi::document());
    assert_eq!(web.get("/").await.json()["openapi"], "/openapi.json");
}
