//! From files to a [`Catalog`], or to everything that is wrong with them.
//!
//! Four stages, each over all files, so that the order of files and of lists in them never matters to a reference:
//! read the syntax (`yaml`), check the shape (`shape`), make typed items (`read`), compile
//! them here. Faults are collected through all stages. What depends on a faulty part is left unjudged: one fault is one
//! diagnostic, and putting it right may bring up others that it hid. A file whose syntax is broken leaves only that
//! unjudged which its lines name at the left margin: the other files are judged as ever.
//!
//! Loading is pure: the same files and the same table of symbols make the same catalog.

mod attributes;
mod behaviour;
mod contact;
mod customer_zone;
mod gates;
mod golden;
mod limits;
mod models;
mod offers;
mod rule_ids;
mod unused;
mod volumes;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jiff::civil::Weekday;
use jiff::tz::TimeZone;

use super::diagnostic::{Diagnostic, Severity};
use super::document::{At, Document, Report};
use super::read::{self, Directory, Sources};
use super::values::ValueFault;
use super::{Catalog, Channel, Direction, FactorSwitches, Reads, UnknownCustomer, Worth, duration};
use crate::domain::symbol::{Symbol, Symbols};
use crate::domain::time::Millis;
use crate::rules::{Condition, Index, Scope, Space};

/// The most files of one catalog. A bank has dozens; more is a wrong folder.
pub const FILES_MAX: usize = 1_000;

/// The longest file, in bytes: some 20,000 offers. More is a wrong file.
pub const FILE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The most offers of one catalog: a ranking holds 16-bit positions.
pub const OFFERS_MAX: usize = 65_535;

/// The most items of any other kind in one catalog, and the most values of one category. Far above what anybody can
/// oversee, far below what would slow a decision's preparation.
pub const ITEMS_MAX: usize = 4_096;

/// The most hold-outs of one catalog: each draws its customers anew with every call.
pub const HOLD_OUTS_MAX: usize = 64;

/// The files of a catalog.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CatalogFiles {
    /// The texts of the YAML files, by the path that is shown to people. A text that is not UTF-8 has U+FFFD where its
    /// bytes could not be read; the loader refuses it there.
    pub rules: BTreeMap<String, String>,
    /// What stands before the names of the files that the paths in `rules` begin with: where the catalog happens to lie.
    /// It is shown to people, and is no part of what the catalog is. Empty when the paths are the names.
    pub folder: String,
    /// The texts of the manifests, by the model's name: its folder.
    pub models: BTreeMap<String, String>,
}

/// Makes a catalog. Its symbols are those of `previous`, the table of the catalog in force, and those that are new.
///
/// # Errors
///
/// Everything that is wrong with the files, at least one error among it, in the order of the files.
pub fn load(files: &CatalogFiles, previous: &Symbols) -> Result<Catalog, Vec<Diagnostic>> {
    load_as(files, previous, Age::New)
}

/// Makes a catalog again that was in force before, maybe by an earlier release: what is refused only since then is no reason not to judge
/// by it, or to go on from it.
///
/// # Errors
///
/// As [`load`].
pub fn load_again(files: &CatalogFiles, previous: &Symbols) -> Result<Catalog, Vec<Diagnostic>> {
    load_as(files, previous, Age::Kept)
}

/// Whether a catalog is about to come into force for the first time.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Age {
    New,
    Kept,
}

fn load_as(files: &CatalogFiles, previous: &Symbols, age: Age) -> Result<Catalog, Vec<Diagnostic>> {
    let mut report = Report::default();
    if files.rules.is_empty() {
        report.file_error("(no file)", "there is no catalog: no file ends in `.yaml`", None);
        return Err(report.into_diagnostics());
    }
    let mut documents = read_documents(files, &mut report);
    let wrong = read::check_shapes(&mut documents, &mut report);
    let mut sources = Sources::read(&documents, &wrong, &mut report);
    check_ids(&mut sources, &mut report);
    if age == Age::New {
        rule_ids::check(&sources, &mut report);
    }
    let mut loader = Loader {
        report,
        symbols: previous.clone(),
        doubtful: Doubtful::default(),
        compiled: HashMap::new(),
    };
    let catalog = loader.catalog(&sources, files);
    let has_errors = loader.report.has_errors();
    let diagnostics = loader.report.into_diagnostics();
    match catalog {
        Some(catalog) if !has_errors => Ok(Catalog {
            warnings: diagnostics,
            ..catalog
        }),
        _ => Err(diagnostics),
    }
}

fn read_documents<'a>(files: &'a CatalogFiles, report: &mut Report) -> Vec<Document<'a>> {
    if files.rules.len() > FILES_MAX {
        report.file_error(
            "(all files)",
            format!("there are {} files; at most {FILES_MAX} are read", files.rules.len()),
            None,
        );
    }
    let mut documents = Vec::new();
    for (name, text) in files.rules.iter().take(FILES_MAX) {
        if text.len() > FILE_BYTES_MAX {
            report.file_error(
                name,
                format!("the file has {} bytes; at most {FILE_BYTES_MAX} are read", text.len()),
                None,
            );
            continue;
        }
        let document = Document::read(name, text, report);
        for (span, what) in document.unreadable() {
            let hint = "remove it, and save the file as UTF-8".to_owned();
            let message = format!("here is a character that {what}");
            report.add(&document, span, Severity::Error, message, Some(hint));
        }
        if document.root.is_none() && !document.broken {
            report.warning(
                document.top(),
                "the file is empty",
                "remove it, or write into it what it is for",
            );
        }
        documents.push(document);
    }
    documents
}

fn check_ids(sources: &mut Sources<'_>, report: &mut Report) {
    sources.channels.check_ids("channel", |each| &each.id, report);
    sources.places.check_ids("place", |each| each, report);
    sources.profile.check_ids("profile attribute", |each| &each.id, report);
    sources
        .offer_attributes
        .check_ids("offer attribute", |each| &each.id, report);
    sources.context.check_ids("context attribute", |each| &each.id, report);
    sources.events.check_ids("event type", |each| &each.id, report);
    sources.aggregates.check_ids("aggregate", |each| &each.id, report);
    sources.intents.check_ids("intent", |each| &each.id, report);
    sources.groups.check_ids("group", |each| &each.id, report);
    sources.offers.check_ids("offer", |each| &each.id, report);
    sources.placements.check_ids("placement", |each| &each.id, report);
    sources.caps.check_ids("cap", |each| &each.id, report);
    sources.cool_downs.check_ids("cool-down", |each| &each.id, report);
    sources.campaigns.check_ids("campaign", |each| &each.id, report);
    sources.volumes.check_ids("volume", |each| &each.id, report);
    sources.purposes.check_ids("purpose", |each| &each.id, report);
    sources.hold_outs.check_ids("hold-out", |each| &each.id, report);
    sources.models.check_ids("model", |each| each, report);
    sources.offers.items.sort_by(|a, b| a.source.id.cmp(&b.source.id));
    let counts = [
        ("channels", sources.channels.items.len(), ITEMS_MAX),
        ("places", sources.places.items.len(), ITEMS_MAX),
        ("profile attributes", sources.profile.items.len(), ITEMS_MAX),
        ("offer attributes", sources.offer_attributes.items.len(), ITEMS_MAX),
        ("context attributes", sources.context.items.len(), ITEMS_MAX),
        ("event types", sources.events.items.len(), ITEMS_MAX),
        ("intents", sources.intents.items.len(), ITEMS_MAX),
        ("groups", sources.groups.items.len(), ITEMS_MAX),
        ("offers", sources.offers.items.len(), OFFERS_MAX),
        ("placements", sources.placements.items.len(), ITEMS_MAX),
        ("caps", sources.caps.items.len(), ITEMS_MAX),
        ("cool-downs", sources.cool_downs.items.len(), ITEMS_MAX),
        ("campaigns", sources.campaigns.items.len(), ITEMS_MAX),
        ("volumes", sources.volumes.items.len(), volumes::VOLUMES_MAX),
        ("purposes", sources.purposes.items.len(), ITEMS_MAX),
        ("hold-outs", sources.hold_outs.items.len(), HOLD_OUTS_MAX),
        ("models", sources.models.items.len(), ITEMS_MAX),
    ];
    for (what, count, limit) in counts {
        if count > limit {
            report.file_error(
                "(all files)",
                format!("there are {count} {what}; at most {limit} are allowed"),
                None,
            );
        }
    }
}

/// Names in conditions of which nothing can be said, because their declaration is faulty.
#[derive(Debug, Default)]
struct Doubtful {
    names: BTreeSet<String>,
    spaces: BTreeSet<&'static str>,
}

impl Doubtful {
    fn add(&mut self, space: Space, directory: &Directory) {
        let (faulty, incomplete) = directory.doubts();
        self.names.extend(faulty.iter().map(|name| format!("{space}.{name}")));
        if incomplete {
            self.spaces.insert(space.name());
        }
    }

    /// Tells whether a condition mentions something of which nothing can be said.
    fn concerns(&self, text: &str) -> bool {
        let is_part = |character: char| character.is_ascii_alphanumeric() || character == '_';
        let mentions_space = |space: &&str| {
            text.match_indices(*space)
                .any(|(at, _)| text[at + space.len()..].trim_start().starts_with('.'))
        };
        let mentions_name = |name: &String| {
            text.match_indices(name.as_str())
                .any(|(at, _)| !text[at + name.len()..].starts_with(is_part))
        };
        self.spaces.iter().any(mentions_space) || self.names.iter().any(mentions_name)
    }
}

/// The state of one load.
struct Loader {
    report: Report,
    symbols: Symbols,
    doubtful: Doubtful,
    /// The conditions of rules that were compiled so far, by their text: offers are copied, and compiling takes longest.
    compiled: HashMap<String, Arc<Condition>>,
}

/// The names of everything that others refer to.
struct Names {
    channels: Directory,
    events: Directory,
    intents: Directory,
    groups: Directory,
    offers: Directory,
    placements: Directory,
    campaigns: Directory,
    labels: Directory,
    purposes: Directory,
}

/// What [`super::source::Settings`] becomes.
struct Settings {
    name: Arc<str>,
    time_zone: TimeZone,
    week_starts: Weekday,
    unknown_customer: UnknownCustomer,
    factors: FactorSwitches,
}

impl Loader {
    fn catalog(&mut self, sources: &Sources<'_>, files: &CatalogFiles) -> Option<Catalog> {
        let settings = self.settings(sources);
        let zone = settings
            .as_ref()
            .map_or(TimeZone::UTC, |settings| settings.time_zone.clone());
        let names = names(sources);
        let channels = self.channels(sources);
        let purposes = self.purposes(sources);
        let places: Vec<Symbol> = sources
            .places
            .items
            .iter()
            .map(|item| self.symbols.intern(&item.source))
            .collect();
        let schemas = self.schemas(sources, &channels, &places);
        let (aggregates, mut events) = self.aggregates(sources, schemas.events, &names);
        let intents = self.intents(sources, &mut events, &names);
        let spaces = offers::Spaces {
            profile: &schemas.profile.variables,
            offer: &schemas.offer.variables,
            behaviour: &aggregates.attributes.variables,
            intent: &intents.variables,
            context: &schemas.context.variables,
        };
        let mut groups = self.groups(sources, &names, &spaces);
        let offers = self.offers(sources, &names, &spaces, &schemas.offer, &zone);
        self.note_traits(&groups, &offers);
        let placements = self.placements(sources, &names, &offers);
        let caps = self.caps(sources, &names, &offers);
        let cool_downs = self.cool_downs(sources, &names, &offers);
        let (campaigns, attempts) = self.campaigns(sources, &names, &offers);
        let customer_zone = self.customer_zone(sources, &schemas.profile);
        let volumes = self.volumes(sources, &names, &offers);
        let hold_outs = self.hold_outs(sources, &names, &offers);
        let known = models::Known {
            profile: &schemas.profile,
            offer: &schemas.offer,
            context: &schemas.context,
            behaviour: &aggregates.attributes,
            aggregates: &aggregates.aggregates,
            intents: &names.intents,
            groups: &names.groups,
        };
        let (models, used) = self.models(sources, files, &known, &mut groups);
        if self.report.has_errors() {
            return None;
        }
        let settings = settings?;
        let mut catalog = Catalog {
            name: settings.name,
            version: version(files, &used),
            symbols: std::mem::take(&mut self.symbols),
            time_zone: settings.time_zone,
            customer_zone,
            week_starts: settings.week_starts,
            unknown_customer: settings.unknown_customer,
            factors: settings.factors,
            channels,
            places,
            profile: schemas.profile,
            offer_schema: schemas.offer,
            context: schemas.context,
            events,
            aggregates: aggregates.aggregates,
            intents: intents.intents,
            behaviour_variables: aggregates.attributes.variables,
            intent_variables: intents.variables,
            groups,
            offer_positions: offers
                .iter()
                .enumerate()
                .map(|(at, offer)| (offer.symbol, at))
                .collect(),
            worth: Worth::new(&offers),
            offer_groups: offers.iter().map(|offer| offer.group).collect(),
            offers,
            placements,
            caps,
            cool_downs,
            campaigns,
            attempts,
            volumes,
            purposes,
            hold_outs,
            models,
            reads: Reads::default(),
            gate: Index::default(),
            warnings: Vec::new(),
        };
        unused::warn(&catalog, sources, &mut self.report);
        catalog.reads = Reads::of(&catalog);
        catalog.gate = offers::gate(&catalog);
        for model in &mut catalog.models {
            model.encode_offers(&catalog.offers);
        }
        Some(catalog)
    }

    fn settings(&mut self, sources: &Sources<'_>) -> Option<Settings> {
        let mut items = sources.settings.items.iter();
        let Some(item) = items.next() else {
            if !sources.settings.incomplete && sources.settings.faulty.is_empty() {
                let hint = "write `catalog:` with `name` and `time_zone` into one of the files".to_owned();
                self.report
                    .file_error("(all files)", "no file has the key `catalog`", Some(hint));
            }
            return None;
        };
        for again in items {
            let hint = format!(
                "the first is in {}:{}; keep one of them",
                item.at.file(),
                item.at.line()
            );
            self.report
                .error_with_hint(again.at, "the key `catalog` stands in two files", hint);
        }
        let zone = self.zone(item.at.key("time_zone"), &item.source.time_zone);
        Some(Settings {
            name: item.source.name.as_str().into(),
            time_zone: zone.unwrap_or(TimeZone::UTC),
            week_starts: customer_zone::weekday(item.source.week_starts),
            unknown_customer: item.source.unknown_customer,
            factors: item.source.factors,
        })
    }

    fn channels(&mut self, sources: &Sources<'_>) -> Vec<Channel> {
        if sources.channels.items.is_empty() && !sources.channels.incomplete && sources.channels.faulty.is_empty() {
            let hint = "write `channels:` with at least one `id` into one of the files".to_owned();
            self.report
                .file_error("(all files)", "no channel is declared", Some(hint));
        }
        let mut channels = Vec::new();
        for item in &sources.channels.items {
            let reservation = self
                .span(item.at.key("reservation"), &item.source.reservation)
                .unwrap_or(Millis::MINUTE);
            let symbol = self.symbols.intern(&item.source.id);
            self.symbols
                .note_channel(symbol, item.source.direction == Direction::Outbound);
            channels.push(Channel {
                id: item.source.id.as_str().into(),
                symbol,
                name: item.source.name.as_str().into(),
                direction: item.source.direction,
                reservation,
                quiet_rule: format!("{}.quiet", item.source.id).into(),
                quiet: self.quiet(item.at.key("quiet"), &item.source.quiet),
            });
        }
        channels
    }

    /// Reads a span of time.
    fn span(&mut self, at: At<'_>, text: &str) -> Option<Millis> {
        let span = duration::parse(text);
        if let Err(accepted) = span {
            self.report
                .error_with_hint(at, format!("`{text}` is not a span of time that fits here"), accepted);
        }
        span.ok()
    }

    /// Compiles a condition.
    fn condition(&mut self, at: At<'_>, text: &str, scope: &Scope<'_>) -> Option<Condition> {
        match Condition::compile(text, scope) {
            Ok(condition) => Some(condition),
            Err(faults) => {
                if !self.doubtful.concerns(text) {
                    for fault in faults {
                        let at = at.part(&fault.range);
                        match fault.hint {
                            Some(hint) => self.report.error_with_hint(at, fault.message, hint),
                            None => self.report.error(at, fault.message),
                        }
                    }
                }
                None
            }
        }
    }

    /// Reports a value that does not fit its attribute.
    fn misfit(&mut self, at: At<'_>, attribute: &str, fault: ValueFault) {
        match fault {
            ValueFault::NotAllowed { given, hint } => {
                let message = format!("`{attribute}` has no value `{given}`");
                self.report.error_with_hint(at, message, hint);
            }
            fault => self.report.error(at, format!("`{attribute}`: {fault}")),
        }
    }

    /// Reports a number that is out of range; NaN always is.
    fn number(&mut self, at: At<'_>, what: &str, number: f64, allowed: Allowed) {
        let (holds, phrase) = match allowed {
            Allowed::Share => ((0.0..=1.0).contains(&number), "from 0 to 1"),
            Allowed::NotNegative => ((0.0..=NUMBER_MAX).contains(&number), "from 0 to 1000000000"),
            Allowed::Positive => (number > 0.0 && number <= NUMBER_MAX, "above 0, at most 1000000000"),
            Allowed::Weight => (number > 0.0 && number <= 1_000.0, "above 0, at most 1000"),
        };
        if !holds {
            self.report
                .error(at, format!("`{what}` must be {phrase}, not {number}"));
        }
    }
}

/// The largest number that a value, lever or strength may have.
const NUMBER_MAX: f64 = 1e9;

/// Ranges of numbers.
#[derive(Clone, Copy)]
enum Allowed {
    Share,
    NotNegative,
    Positive,
    Weight,
}

fn names(sources: &Sources<'_>) -> Names {
    let groups = sources.groups.items.iter().flat_map(|item| &item.source.labels);
    let offers = sources.offers.items.iter().flat_map(|item| &item.source.labels);
    let labels: BTreeSet<&String> = groups.chain(offers).collect();
    let is_wrong = labels.iter().any(|label| !read::fits("label", label));
    let mut labels = Directory::of("label", labels.into_iter().cloned().collect());
    let faulty = !sources.groups.faulty.is_empty() || !sources.offers.faulty.is_empty();
    labels.doubt(is_wrong || faulty || sources.groups.incomplete || sources.offers.incomplete);
    Names {
        channels: sources.channels.directory("channel", |each| &each.id),
        events: sources.events.directory("event type", |each| &each.id),
        intents: sources.intents.directory("intent", |each| &each.id),
        groups: sources.groups.directory("group", |each| &each.id),
        offers: sources.offers.directory("offer", |each| &each.id),
        placements: sources.placements.directory("placement", |each| &each.id),
        campaigns: sources.campaigns.directory("campaign", |each| &each.id),
        labels,
        purposes: sources.purposes.directory("purpose", |each| &each.id),
    }
}

/// Returns the first 16 hexadecimal digits of the hash over names and texts of all files and of the manifests in use. The
/// names are those within the catalog's folder, so that a copy in another place is the same version.
fn version(files: &CatalogFiles, models: &[&str]) -> Arc<str> {
    let mut hasher = blake3::Hasher::new();
    let rules = files.rules.iter().map(|(path, text)| {
        let name = path.strip_prefix(&files.folder).unwrap_or(path);
        (name, text)
    });
    let manifests = models.iter().filter_map(|model| files.models.get_key_value(*model));
    for (name, text) in rules.chain(manifests.map(|(name, text)| (name.as_str(), text))) {
        for part in [name, text.as_str()] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
    }
    hasher.finalize().to_hex()[..16].into()
}
