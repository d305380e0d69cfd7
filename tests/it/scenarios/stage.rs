//! The stage on which a story is played: the bank's catalog, perhaps changed by the story, its model, an engine, and a
//! clock that only the story moves.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

use nbo::catalog::manifest::Manifest;
use nbo::catalog::{Attribute, AttributeType, Catalog, CatalogFiles, Schema, load};
use nbo::domain::decision::Decision;
use nbo::domain::event::Event;
use nbo::domain::ids::{CustomerId, short_hash};
use nbo::domain::profile::Profile;
use nbo::domain::symbol::{Symbol, Symbols};
use nbo::domain::time::Timestamp;
use nbo::domain::value::Value;
use nbo::engine::{Active, Engine, Limits};
use nbo::model::{Model, Runtime, ScoreError, Scorer};

use super::text::{parts, span, word};

/// A model that a story can break and repair.
struct Breakable {
    model: Arc<dyn Scorer>,
    broken: Arc<AtomicBool>,
}

impl Scorer for Breakable {
    fn score(&self, rows: &[f32], scores: &mut [f32]) -> Result<(), ScoreError> {
        if self.broken.load(Ordering::Relaxed) {
            return Err(ScoreError::Run {
                model: self.name().to_owned(),
                reason: "broken by the story".to_owned(),
            });
        }
        self.model.score(rows, scores)
    }

    fn features(&self) -> usize {
        self.model.features()
    }

    fn name(&self) -> &str {
        self.model.name()
    }

    fn version(&self) -> &str {
        self.model.version()
    }
}

/// The bank's catalog and its proved model, read once.
struct Bank {
    files: CatalogFiles,
    model: Arc<dyn Scorer>,
}

static BANK: LazyLock<Result<Bank, String>> = LazyLock::new(bank);

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn bank() -> Result<Bank, String> {
    let text = |path: &str| std::fs::read_to_string(repository(path)).map_err(|error| format!("{path}: {error}"));
    let mut files = CatalogFiles::default();
    let entries = std::fs::read_dir(repository("rules/bank")).map_err(|error| error.to_string())?;
    for entry in entries.flatten() {
        let path = format!("rules/bank/{}", entry.file_name().to_string_lossy());
        files.rules.insert(path.clone(), text(&path)?);
    }
    let manifest = text("models/bank/manifest.json")?;
    files.models = BTreeMap::from([("bank".to_owned(), manifest.clone())]);
    let manifest = Manifest::parse(&manifest).map_err(|faults| format!("models/bank/manifest.json: {faults:?}"))?;
    let path = format!("models/bank/{}", manifest.file);
    let bytes = std::fs::read(repository(&path)).map_err(|error| format!("{path}: {error}"))?;
    let runtime = Runtime::load(None).map_err(|error| {
        format!("the stories need ONNX Runtime, which the build takes by itself; it said why it could not: {error}")
    })?;
    let model = Model::load(&runtime, &bytes, &manifest, 1).map_err(|error| error.to_string())?;
    Ok(Bank {
        files,
        model: Arc::new(model),
    })
}

/// Everything that a story can look at and change.
pub(super) struct Stage {
    pub(super) engine: Engine,
    pub(super) now: Timestamp,
    /// Each customer's decisions so far, with what they showed, oldest first.
    pub(super) decisions: Vec<(CustomerId, Decision)>,
    pub(super) remembered: BTreeMap<String, Option<Profile>>,
    files: CatalogFiles,
    broken: Arc<AtomicBool>,
    events: usize,
}

impl Stage {
    /// Sets the stage with the bank's catalog as it is.
    pub(super) fn new() -> Result<Self, String> {
        let bank = BANK.as_ref().map_err(Clone::clone)?;
        Self::with(bank.files.clone())
    }

    /// Sets the stage with these files; groups that name the bank's model are scored by it.
    pub(super) fn with(files: CatalogFiles) -> Result<Self, String> {
        let broken = Arc::new(AtomicBool::new(false));
        let active = active(&files, &Symbols::default(), &broken)?;
        Ok(Self {
            engine: Engine::new(active, Limits::default()),
            now: Timestamp::from_millis(0),
            decisions: Vec::new(),
            remembered: BTreeMap::new(),
            files,
            broken,
            events: 0,
        })
    }

    pub(super) fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.engine.active().catalog)
    }

    /// Replaces a text that stands once in the catalog's files, and puts the new version in force.
    pub(super) fn replace(&mut self, old: &str, new: &str) -> Result<(), String> {
        let found: usize = self.files.rules.values().map(|text| text.matches(old).count()).sum();
        if found != 1 {
            return Err(format!(
                "`{old}` stands {found} times in the catalog; it must stand there once"
            ));
        }
        for text in self.files.rules.values_mut() {
            *text = text.replace(old, new);
        }
        self.reload()
    }

    /// Adds a file to the catalog, and puts the new version in force.
    pub(super) fn add(&mut self, text: String) -> Result<(), String> {
        let name = format!("rules/bank/added-{}.yaml", self.files.rules.len());
        self.files.rules.insert(name, text);
        self.reload()
    }

    fn reload(&mut self) -> Result<(), String> {
        let symbols = self.catalog().symbols.clone();
        let active = active(&self.files, &symbols, &self.broken)?;
        self.engine.activate(active).map_err(|error| error.to_string())
    }

    pub(super) fn break_model(&self, broken: bool) {
        self.broken.store(broken, Ordering::Relaxed);
    }

    /// Reads an event as in `search: category fund, on web, at home_page, in session s-1, 2d ago, as e-7`.
    pub(super) fn event(&mut self, who: &CustomerId, text: &str) -> Result<Event, String> {
        let catalog = self.catalog();
        let (name, rest) = text.split_once(':').unwrap_or((text, ""));
        let event_type = catalog.events.iter().find(|each| *each.id == *name.trim());
        let event_type = event_type.ok_or_else(|| format!("there is no event type `{}`", name.trim()))?;
        self.events += 1;
        let mut event = Event {
            id_hash: short_hash(&format!("{} {}", who.as_str(), self.events)),
            event_type: event_type.symbol,
            time: self.now,
            channel: None,
            place: None,
            session_hash: None,
            attributes: Vec::new(),
        };
        let symbol = |text: &str| {
            let found = catalog.symbols.find(text);
            found.ok_or_else(|| format!("there is no `{text}`"))
        };
        for part in parts(rest) {
            match word(part) {
                ("on", channel) => event.channel = Some(symbol(channel)?),
                ("at", place) => event.place = Some(symbol(place)?),
                ("in", session) => event.session_hash = Some(short_hash(session)),
                ("as", id) => event.id_hash = short_hash(id),
                (ago, "ago") => event.time = self.now - span(ago)?,
                (attribute, given) => event
                    .attributes
                    .push(value(&event_type.schema, attribute, given, &catalog)?),
            }
        }
        event.attributes.sort_by_key(|entry| entry.0);
        Ok(event)
    }
}

fn active(files: &CatalogFiles, previous: &Symbols, broken: &Arc<AtomicBool>) -> Result<Active, String> {
    let catalog = load(files, previous).map_err(|diagnostics| {
        diagnostics
            .iter()
            .fold("the catalog has faults:".to_owned(), |mut text, diagnostic| {
                let _ = write!(text, "\n{diagnostic}");
                text
            })
    })?;
    let models = if catalog.models.is_empty() {
        Vec::new()
    } else {
        let model: Arc<dyn Scorer> = Arc::new(Breakable {
            model: Arc::clone(&BANK.as_ref().map_err(Clone::clone)?.model),
            broken: Arc::clone(broken),
        });
        vec![Some(model); catalog.models.len()]
    };
    Ok(Active::new(Arc::new(catalog), models))
}

/// Reads one attribute's value: a number, `yes` or `no`, a category's value, `a + b` or `none` for a set, a date, or
/// `unknown`.
pub(super) fn value(schema: &Schema, id: &str, given: &str, catalog: &Catalog) -> Result<(Symbol, Value), String> {
    let attribute = schema.find(id).ok_or_else(|| format!("there is no attribute `{id}`"))?;
    let value = match given {
        "unknown" => Value::Missing,
        _ => known_value(attribute, given, catalog)?,
    };
    Ok((attribute.symbol, value))
}

fn known_value(attribute: &Attribute, given: &str, catalog: &Catalog) -> Result<Value, String> {
    let in_words = |what: &str| format!("`{}` must be {what}, not `{given}`", attribute.id);
    let result = match attribute.attribute_type {
        AttributeType::Number => attribute.number(given.parse().map_err(|_| in_words("a number"))?),
        AttributeType::Boolean => match given {
            "yes" => attribute.boolean(true),
            "no" => attribute.boolean(false),
            _ => return Err(in_words("yes or no")),
        },
        AttributeType::Category | AttributeType::Date => attribute.text(given),
        AttributeType::Set => {
            let listed = given.split('+').map(str::trim).filter(|each| *each != "none");
            attribute.set(listed, &catalog.symbols)
        }
    };
    result.map_err(|fault| format!("`{}`: {fault}", attribute.id))
}
