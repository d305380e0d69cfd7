//! A real server on a port of its own, with a small catalog, and clients for it.

use std::sync::Arc;

use nbo::catalog::{Catalog, CatalogFiles, load};
use nbo::clock::{Clock, ManualClock};
use nbo::domain::symbol::Symbols;
use nbo::domain::time::Timestamp;
use nbo::engine::{Active, Engine, Limits};
use nbo::server::Server;
use nbo::server::client::{Connection, Credentials};
use nbo::server::wire;
use nbo::server::wire::attribute_value::Kind;
use nbo::server::wire::behaviour_service_client::BehaviourServiceClient;
use nbo::server::wire::campaign_service_client::CampaignServiceClient;
use nbo::server::wire::catalog_service_client::CatalogServiceClient;
use nbo::server::wire::contact_service_client::ContactServiceClient;
use nbo::server::wire::customer::Identity;
use nbo::server::wire::decision_service_client::DecisionServiceClient;
use nbo::server::wire::operations_service_client::OperationsServiceClient;
use nbo::server::wire::profile_service_client::ProfileServiceClient;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::transport::Channel;

/// 2026-03-02T09:00:00Z, when the clock of every test starts.
pub(crate) const MORNING: Timestamp = Timestamp::from_millis(1_772_442_000_000);

pub(crate) const CORNER_BANK: &str = r#"
catalog: {name: corner-bank, time_zone: Europe/Madrid}
channels:
  - {id: web, reservation: 30m}
  - {id: call_centre, reservation: 30m}
places: [home, branch_abroad]
purposes: [{id: advertising, consent: assumed}]
attributes:
  profile:
    - {id: age, type: number, range: [0, 120]}
    - {id: segment, type: category, values: [retail, private]}
    - {id: holdings, type: set, values: [fund, savings, travel]}
    - {id: member, type: boolean}
    - {id: member_since, type: date}
  context:
    - {id: device, type: category, values: [phone, desktop]}
events:
  - id: search
    attributes:
      - {id: category, type: category, values: [fund, savings, travel]}
      - {id: results, type: number, range: [0, 10000]}
  - {id: page_view}
aggregates:
  - {id: searches_7d, keep: count, of: search, within: 7d, step: 1d}
intents:
  - id: fund
    from: [{event: search, where: event.category == "fund", weight: 2}]
    decay: [{until: 30m, keep: 1}, {until: 1d, keep: 0.5}]
groups:
  - {id: savings, start_propensity: 0.3}
  - id: fund
    start_propensity: 0.2
    intents: {fund: 1}
    eligibility: [{id: adult, when: profile.age >= 18, because: funds are sold to adults only}]
  - {id: travel, start_propensity: 0.1}
offers:
  - id: savings_easy
    group: savings
    name: Easy saver
    treatments: {web: {title: Save easily}, call_centre: {script: Ask about saving}}
  - id: fund_world
    group: fund
    name: World fund
    treatments: {web: {title: Own the world}, call_centre: {script: Ask about funds}}
  - id: travel_insurance
    group: travel
    name: Travel insurance
    treatments: {web: {title: Travel safely}, call_centre: {script: Ask about travel}}
placements:
  - {id: home_hero, channels: [web], count_max: 3, fallback: {title: Welcome}}
  - {id: home_side, channels: [web], count_max: 3, fallback: {title: Hello}}
  - {id: agent_list, channels: [call_centre], count_max: 10, fallback: {script: Say hello}}
caps:
  - {id: travel_once_an_hour, at_most: 1, of: decided, within: 1h, offers: [travel_insurance], because: enough is enough}
campaigns:
  - {id: spring, attempts: {at_most: 1}}
"#;

/// Compiles a catalog of one file, as the successor of a table of symbols.
#[track_caller]
pub(crate) fn catalog(text: &str, previous: &Symbols) -> Arc<Catalog> {
    let mut files = CatalogFiles::default();
    files.rules.insert("corner-bank.yaml".to_owned(), text.to_owned());
    match load(&files, previous) {
        Ok(catalog) => Arc::new(catalog),
        Err(diagnostics) => panic!(
            "{}",
            diagnostics
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("\n")
        ),
    }
}

/// A server under test.
pub(crate) struct Served {
    pub(crate) engine: Arc<Engine>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) address: String,
    channel: Channel,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl Served {
    /// Starts a server with the small catalog.
    pub(crate) async fn start() -> Self {
        Self::start_with(CORNER_BANK, |_| ()).await
    }

    /// Starts a server with a catalog, and shows it to `prepare` before it serves.
    pub(crate) async fn start_with(text: &str, prepare: impl FnOnce(&Server)) -> Self {
        Self::start_as(text, |server| {
            prepare(&server);
            server
        })
        .await
    }

    /// Starts a server with a catalog as `prepare` makes it.
    pub(crate) async fn start_as(text: &str, prepare: impl FnOnce(Server) -> Server) -> Self {
        let engine = Engine::new(
            Active::new(catalog(text, &Symbols::default()), Vec::new()),
            Limits::default(),
        );
        let (engine, clock) = (Arc::new(engine), Arc::new(ManualClock::new(MORNING)));
        let server = Server::new(Arc::clone(&engine), Arc::clone(&clock) as Arc<dyn Clock>);
        let server = prepare(server);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(async move {
            server.serve(listener, async { stopped.await.unwrap() }).await.unwrap();
        });
        let channel = Channel::from_shared(address.clone()).unwrap().connect().await.unwrap();
        Self {
            engine,
            clock,
            address,
            channel,
            stop,
            serving,
        }
    }

    /// Asks the server to stop, and returns what waits until it has.
    pub(crate) fn stop(self) -> JoinHandle<()> {
        self.stop.send(()).unwrap();
        self.serving
    }

    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// Connects as our own commands do.
    pub(crate) async fn connection(&self) -> Connection {
        Credentials::default().connect(&self.address).await.unwrap()
    }

    pub(crate) fn contacts(&self) -> ContactServiceClient<Channel> {
        ContactServiceClient::new(self.channel())
    }

    pub(crate) fn decisions(&self) -> DecisionServiceClient<Channel> {
        DecisionServiceClient::new(self.channel())
    }

    pub(crate) fn behaviour(&self) -> BehaviourServiceClient<Channel> {
        BehaviourServiceClient::new(self.channel())
    }

    pub(crate) fn profiles(&self) -> ProfileServiceClient<Channel> {
        ProfileServiceClient::new(self.channel())
    }

    pub(crate) fn catalogs(&self) -> CatalogServiceClient<Channel> {
        CatalogServiceClient::new(self.channel())
    }

    pub(crate) fn operations(&self) -> OperationsServiceClient<Channel> {
        OperationsServiceClient::new(self.channel())
    }

    pub(crate) fn campaigns(&self) -> CampaignServiceClient<Channel> {
        CampaignServiceClient::new(self.channel())
    }

    /// Begins a customer of 40 years.
    pub(crate) async fn begin(&self, id: &str) {
        self.profiles().upsert_profile(aged(id, 40.0)).await.unwrap();
    }
}

pub(crate) fn customer(id: &str) -> wire::Customer {
    wire::Customer {
        identity: Some(Identity::Id(id.to_owned())),
    }
}

pub(crate) fn value(kind: Kind) -> wire::AttributeValue {
    wire::AttributeValue { kind: Some(kind) }
}

pub(crate) fn text(text: &str) -> wire::AttributeValue {
    value(Kind::Text(text.to_owned()))
}

pub(crate) fn aged(id: &str, age: f64) -> wire::UpsertProfileRequest {
    wire::UpsertProfileRequest {
        customer: Some(customer(id)),
        attributes: [("age".to_owned(), value(Kind::Number(age)))].into(),
        ..Default::default()
    }
}

/// Asks for three offers in the hero of the home page.
pub(crate) fn hero(id: &str) -> wire::GetOffersRequest {
    wire::GetOffersRequest {
        customer: Some(customer(id)),
        channel: "web".to_owned(),
        placements: vec![placement("home_hero", 3)],
        ..Default::default()
    }
}

pub(crate) fn placement(placement: &str, count: u32) -> wire::PlacementRequest {
    wire::PlacementRequest {
        placement: placement.to_owned(),
        count,
    }
}

/// A search for a category, at the moment of the call.
pub(crate) fn search(id: &str, category: &str) -> wire::Event {
    wire::Event {
        id: id.to_owned(),
        r#type: "search".to_owned(),
        attributes: [("category".to_owned(), text(category))].into(),
        channel: "web".to_owned(),
        place: "home".to_owned(),
        session_id: "visit-1".to_owned(),
        ..Default::default()
    }
}

/// The offers of the first placement, best first.
pub(crate) fn ids(answer: &wire::GetOffersResponse) -> Vec<&str> {
    answer.placements[0]
        .offers
        .iter()
        .map(|offer| offer.offer_id.as_str())
        .collect()
}
