//! Who may call what, and on which port: one row for each method, and what has no row is refused.
//!
//! **Roles.** `offers` reads offers, `events` writes what customers do, `catalog` manages offers and campaigns, `erase`
//! is the desk for a person's rights, `operate` runs the server. `profiles` stands apart from `events`, because a page
//! that tells what a visitor clicked must not read what the bank knows of everybody, nor change it.
//!
//! **A call within a call.** A call for offers may carry events, and one with events may ask for offers: whoever uses
//! that needs both roles, which the handlers ask for ([`super::Caller::require`]).
//!
//! **Ports.** What concerns single customers in day-to-day traffic is public. What is about all of them, cannot be
//! undone, tells of the machine or takes long is administration: once there is a port for it, the public one refuses
//! it.
//!
//! **Classes.** When more is asked than can be answered, what is refused first is what can best be done without
//! ([`crate::server`] measures it): campaigns and exports, then page views, which a website fills with a fallback. A report of
//! what was shown is lost for good, and a person waits in the call centre; what operates the server is never refused.
//!
//! **Open.** Health tells an orchestrator yes or no, so that it needs no secret. The contract (reflection, OpenAPI)
//! is shown to everybody who is known, whatever the role.

use std::collections::HashMap;
use std::fmt;
use std::sync::LazyLock;

/// What a caller is trusted with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Reads offers and contact budgets.
    Offers,
    /// Writes events, outcomes and cancellations.
    Events,
    /// Reads and writes profiles, joins and parts visitors.
    Profiles,
    /// Manages offers: the catalog, reloads, forecasts, campaigns.
    Catalog,
    /// Exports, forgets and erases a person.
    Erase,
    /// Runs the server: its state, its numbers, past decisions, exports of all contacts.
    Operate,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 6] = [
        Self::Offers,
        Self::Events,
        Self::Profiles,
        Self::Catalog,
        Self::Erase,
        Self::Operate,
    ];

    /// Returns the name, as files and tokens write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Offers => "offers",
            Self::Events => "events",
            Self::Profiles => "profiles",
            Self::Catalog => "catalog",
            Self::Erase => "erase",
            Self::Operate => "operate",
        }
    }

    /// Finds a role by its name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

/// A set of roles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Roles(u8);

impl Roles {
    /// No role.
    pub const NONE: Self = Self(0);
    /// Every role.
    pub const ALL: Self = Self::of(&Role::ALL);

    /// Makes a set.
    #[must_use]
    pub const fn of(roles: &[Role]) -> Self {
        let mut set = 0;
        let mut at = 0;
        while at < roles.len() {
            set |= 1 << roles[at] as u8;
            at += 1;
        }
        Self(set)
    }

    /// Returns the set with one role more.
    #[must_use]
    pub const fn with(self, role: Role) -> Self {
        Self(self.0 | 1 << role as u8)
    }

    /// Tells whether the set has a role.
    #[must_use]
    pub const fn has(self, role: Role) -> bool {
        self.0 & (1 << role as u8) != 0
    }

    /// Tells whether two sets share a role.
    #[must_use]
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Tells whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = Role::ALL.into_iter().filter(|&role| self.has(role)).collect();
        for (at, role) in names.iter().enumerate() {
            write!(f, "{}{}", if at > 0 { "," } else { "" }, role.name())?;
        }
        Ok(())
    }
}

/// Whom a method is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum For {
    /// Everybody, known or not.
    Everybody,
    /// Whoever is known.
    Known,
    /// Whoever has one of these roles.
    Any(Roles),
}

/// On which port a method is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// On both.
    Public,
    /// On the port for administration, when there is one.
    Admin,
}

/// How a call is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// At once: the time of a call has a bound.
    Unary,
    /// One request, and then a stream: the time until that begins has a bound.
    Answers,
    /// It takes a stream: it may last.
    Stream,
}

/// How much a method matters when not all can be answered, the most important first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Tells of the server, runs it, or is a person's right.
    Vital,
    /// Reports what happened, or serves a person who waits for an employee.
    Report,
    /// Fills a page.
    Page,
    /// Has its own time.
    Bulk,
}

impl Class {
    /// All classes.
    pub const ALL: [Self; 4] = [Self::Vital, Self::Report, Self::Page, Self::Bulk];

    /// Returns the name, as numbers have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vital => "vital",
            Self::Report => "report",
            Self::Page => "page",
            Self::Bulk => "bulk",
        }
    }
}

/// What holds for one method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its path.
    pub path: &'static str,
    /// Whom it is for.
    pub whom: For,
    /// Where it is served.
    pub place: Place,
    /// How it is answered.
    pub shape: Shape,
    /// How much it matters when not all can be answered.
    pub class: Class,
}

const fn row(path: &'static str, roles: &[Role], place: Place, shape: Shape, class: Class) -> Row {
    let whom = For::Any(Roles::of(roles));
    Row {
        path,
        whom,
        place,
        shape,
        class,
    }
}

const fn open(path: &'static str, whom: For, shape: Shape, class: Class) -> Row {
    let place = Public;
    Row {
        path,
        whom,
        place,
        shape,
        class,
    }
}

use Class::{Bulk, Page, Report, Vital};
use Place::{Admin, Public};
use Role::{Catalog, Erase, Events, Offers, Operate, Profiles};
use Shape::{Answers, Stream, Unary};

/// Every path that is served.
pub const TABLE: [Row; 34] = [
    row("/nbo.v1.DecisionService/GetOffers", &[Offers], Public, Unary, Page),
    row(
        "/nbo.v1.DecisionService/GetOffersStream",
        &[Offers],
        Public,
        Stream,
        Page,
    ),
    row(
        "/nbo.v1.DecisionService/WatchOffers",
        &[Offers],
        Public,
        Answers,
        Report,
    ),
    row("/nbo.v1.DecisionService/ReplayDecision", &[Operate], Admin, Unary, Bulk),
    row(
        "/nbo.v1.BehaviourService/RecordEvents",
        &[Events],
        Public,
        Unary,
        Report,
    ),
    row(
        "/nbo.v1.BehaviourService/RecordEventsStream",
        &[Events],
        Public,
        Stream,
        Report,
    ),
    row(
        "/nbo.v1.BehaviourService/RecordOutcome",
        &[Events],
        Public,
        Unary,
        Report,
    ),
    row(
        "/nbo.v1.BehaviourService/RecordOutcomes",
        &[Events],
        Public,
        Unary,
        Report,
    ),
    row("/nbo.v1.BehaviourService/Cancel", &[Events], Public, Unary, Report),
    row(
        "/nbo.v1.ProfileService/UpsertProfile",
        &[Profiles],
        Public,
        Unary,
        Report,
    ),
    row("/nbo.v1.ProfileService/GetProfile", &[Profiles], Public, Unary, Report),
    row(
        "/nbo.v1.ProfileService/MergeCustomers",
        &[Profiles],
        Public,
        Unary,
        Report,
    ),
    row(
        "/nbo.v1.ProfileService/UnmergeCustomers",
        &[Profiles],
        Public,
        Unary,
        Report,
    ),
    row(
        "/nbo.v1.ProfileService/ImportProfiles",
        &[Profiles],
        Admin,
        Stream,
        Bulk,
    ),
    row("/nbo.v1.ProfileService/DeleteProfile", &[Erase], Admin, Unary, Vital),
    row("/nbo.v1.ProfileService/EraseCustomer", &[Erase], Admin, Unary, Vital),
    row("/nbo.v1.ProfileService/ExportCustomer", &[Erase], Admin, Unary, Vital),
    // The names that calls may use: every client may have to look them up.
    open("/nbo.v1.CatalogService/GetCatalog", For::Known, Unary, Report),
    row(
        "/nbo.v1.CatalogService/GetReloadStatus",
        &[Catalog, Operate],
        Admin,
        Unary,
        Vital,
    ),
    row(
        "/nbo.v1.ContactService/GetContactBudget",
        &[Offers],
        Public,
        Unary,
        Report,
    ),
    row("/nbo.v1.ContactService/ForecastLimits", &[Catalog], Admin, Unary, Bulk),
    row(
        "/nbo.v1.ContactService/ExportContacts",
        &[Operate],
        Admin,
        Answers,
        Bulk,
    ),
    row(
        "/nbo.v1.CampaignService/RankCustomers",
        &[Catalog],
        Admin,
        Answers,
        Bulk,
    ),
    row("/nbo.v1.OperationsService/GetStatus", &[Operate], Admin, Unary, Vital),
    open("/grpc.health.v1.Health/Check", For::Everybody, Unary, Vital),
    open("/grpc.health.v1.Health/List", For::Everybody, Unary, Vital),
    open("/grpc.health.v1.Health/Watch", For::Everybody, Answers, Vital),
    open(
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        For::Known,
        Stream,
        Page,
    ),
    open(
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        For::Known,
        Stream,
        Page,
    ),
    // Plain HTTP: the contract, an orchestrator's questions, the numbers.
    open("/openapi.json", For::Known, Unary, Page),
    // What it is, and nothing else.
    open("/", For::Everybody, Unary, Page),
    open("/healthz", For::Everybody, Unary, Vital),
    open("/readyz", For::Everybody, Unary, Vital),
    row("/metrics", &[Operate], Admin, Unary, Vital),
];

/// Finds the row of a path, which is compared byte by byte: what is written in another way has none.
#[must_use]
pub fn row_of(path: &str) -> Option<&'static Row> {
    static BY_PATH: LazyLock<HashMap<&'static str, &'static Row>> =
        LazyLock::new(|| TABLE.iter().map(|row| (row.path, row)).collect());
    BY_PATH.get(path).copied()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost::Message as _;

    use super::*;
    use crate::server::wire;

    fn methods(descriptors: &[u8]) -> Vec<(String, Shape)> {
        let files = prost_types::FileDescriptorSet::decode(descriptors).unwrap().file;
        let mut methods = Vec::new();
        for file in &files {
            for service in &file.service {
                for method in &service.method {
                    let shape = match (method.client_streaming(), method.server_streaming()) {
                        (true, _) => Stream,
                        (false, true) => Answers,
                        (false, false) => Unary,
                    };
                    methods.push((
                        format!("/{}.{}/{}", file.package(), service.name(), method.name()),
                        shape,
                    ));
                }
            }
        }
        methods
    }

    #[test]
    fn every_method_of_the_contract_has_one_row_of_its_shape_and_every_row_of_it_a_method() {
        let mut expected = methods(wire::DESCRIPTORS);
        assert!(expected.len() > 20, "{} methods were found", expected.len());
        expected.extend(methods(tonic_health::pb::FILE_DESCRIPTOR_SET));
        for (path, shape) in &expected {
            let row = row_of(path).unwrap_or_else(|| panic!("{path} has no row; say whom it is for"));
            assert_eq!(row.shape, *shape, "{path}");
        }
        let known: BTreeSet<_> = expected.iter().map(|(path, _)| path.as_str()).collect();
        let served = ["/nbo.v1.", "/grpc.health."];
        let ours = TABLE
            .iter()
            .filter(|row| served.iter().any(|start| row.path.starts_with(start)));
        for row in ours {
            // Newer callers of health ask for a list, which this version of the service refuses by itself.
            assert!(known.contains(row.path) || row.path.ends_with("/List"), "{}", row.path);
        }
        let paths: BTreeSet<_> = TABLE.iter().map(|row| row.path).collect();
        assert_eq!(paths.len(), TABLE.len(), "a path has two rows");
    }

    #[test]
    fn a_path_written_in_another_way_has_no_row() {
        for path in [
            "/nbo.v1.ProfileService/Erase%43ustomer",
            "//nbo.v1.ProfileService/EraseCustomer",
            "/nbo.v1.ProfileService/EraseCustomer/",
            "/nbo.v1.profileservice/erasecustomer",
            "",
        ] {
            assert_eq!(row_of(path), None, "{path}");
        }
    }

    #[test]
    fn a_role_has_one_name() {
        for role in Role::ALL {
            assert_eq!(Role::named(role.name()), Some(role));
        }
        assert_eq!(Role::named("admin"), None);
        assert_eq!(Roles::of(&[Erase, Offers]).to_string(), "offers,erase");
    }
}
