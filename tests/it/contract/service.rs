//! The catalog, its reloads, health and reflection.

use nbo::domain::time::Millis;
use nbo::engine::Active;
use nbo::server::reload::Loaded;
use nbo::server::wire;
use nbo::telemetry::Reloaded;

use crate::served::{CORNER_BANK, Served};

#[tokio::test]
async fn a_refused_reload_leaves_the_old_version_and_tells_why() {
    let mut reloader = None;
    let broken = |before: &Active| -> Loaded {
        let mut files = nbo::catalog::CatalogFiles::default();
        files.rules.insert(
            "corner-bank.yaml".to_owned(),
            CORNER_BANK.replace("group: fund", "group: fonds"),
        );
        let loaded = nbo::catalog::load(&files, &before.catalog.symbols);
        loaded.map(|catalog| Some(Active::new(catalog.into(), Vec::new())))
    };
    let served = Served::start_with(CORNER_BANK, |server| reloader = Some(server.reloader(Box::new(broken)))).await;
    let version = served.engine.active().catalog.version.to_string();
    let mut reloader = reloader.unwrap();
    served.clock.advance(Millis::MINUTE);
    let reload = tokio::task::spawn_blocking(move || reloader.reload());
    assert_eq!(reload.await.unwrap(), Reloaded::Refused);
    let status = served
        .catalogs()
        .get_reload_status(wire::GetReloadStatusRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (status.last_result(), status.applied_version.clone()),
        (wire::ReloadResult::Refused, version)
    );
    assert_eq!(status.applied_age.unwrap().seconds, 60);
    assert_eq!(
        status.last_attempt_at.unwrap().seconds,
        status.applied_at.unwrap().seconds + 60
    );
    let told = status
        .diagnostics
        .iter()
        .find(|one| one.message.contains("fonds"))
        .unwrap();
    assert_eq!(
        (told.file.as_str(), told.line > 1, told.column > 1),
        ("corner-bank.yaml", true, true)
    );
}

#[tokio::test]
async fn the_catalog_tells_which_names_calls_may_use() {
    let served = Served::start().await;
    let request = wire::GetCatalogRequest {
        include_offers: true,
        include_schema: true,
    };
    let catalog = served.catalogs().get_catalog(request).await.unwrap().into_inner();
    assert_eq!((catalog.name.as_str(), catalog.generation), ("corner-bank", 1));
    assert_eq!(catalog.counts.unwrap().offers, 3);
    let offers: Vec<_> = catalog.offers.iter().map(|offer| offer.id.as_str()).collect();
    assert_eq!(offers, ["fund_world", "savings_easy", "travel_insurance"]);
    let schema = catalog.schema.unwrap();
    let age = schema.profile.iter().find(|attribute| attribute.id == "age").unwrap();
    assert_eq!(
        (age.r#type(), age.lowest, age.highest),
        (wire::AttributeType::Number, Some(0.0), Some(120.0))
    );
    assert_eq!(schema.placements[0].channels, ["web"]);
    let search = schema
        .event_types
        .iter()
        .find(|event_type| event_type.id == "search")
        .unwrap();
    assert_eq!(search.attributes[0].values, ["fund", "savings", "travel"]);
    let carried: Vec<_> = search
        .attributes
        .iter()
        .map(|attribute| attribute.id.as_str())
        .collect();
    assert_eq!(
        carried,
        ["category", "results"],
        "the channel and the place are fields of an event"
    );
}

#[tokio::test]
async fn health_answers_for_the_server_and_each_service() {
    let served = Served::start().await;
    let mut health = tonic_health::pb::health_client::HealthClient::new(served.channel());
    for service in [
        "",
        "nbo.v1.DecisionService",
        "nbo.v1.BehaviourService",
        "nbo.v1.ProfileService",
        "nbo.v1.CatalogService",
        "nbo.v1.CampaignService",
    ] {
        let request = tonic_health::pb::HealthCheckRequest {
            service: service.to_owned(),
        };
        let answer = health.check(request).await.unwrap().into_inner();
        assert_eq!(
            answer.status(),
            tonic_health::pb::health_check_response::ServingStatus::Serving,
            "{service}"
        );
    }
}

#[tokio::test]
async fn reflection_describes_every_service() {
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
    let served = Served::start().await;
    let request = tonic_reflection::pb::v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut reflection = ServerReflectionClient::new(served.channel());
    let answers = reflection
        .server_reflection_info(tokio_stream::iter([request]))
        .await
        .unwrap();
    let answer = answers.into_inner().message().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(services)) = answer.message_response else {
        panic!("{answer:?}");
    };
    let names: Vec<_> = services.service.iter().map(|service| service.name.as_str()).collect();
    for service in [
        "nbo.v1.DecisionService",
        "nbo.v1.BehaviourService",
        "nbo.v1.ProfileService",
        "nbo.v1.CatalogService",
        "nbo.v1.CampaignService",
    ] {
        assert!(names.contains(&service), "{service} is not in {names:?}");
    }
}
