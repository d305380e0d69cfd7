//! A model that cannot be taken apart, with a shortlist: which offers it scores itself, what becomes of the others, and what is said
//! about it. What the engine should do is worked out here from two lists that know nothing of shortlists.

mod agreement;

use std::collections::HashMap;
use std::fs;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use nbo::bench::catalog::{Conditions, files};
use nbo::bench::scorers::{LINEAR, TREES};
use nbo::bench::world::{self, NOW};
use nbo::catalog::{Catalog, CatalogFiles, Shortlist, load};
use nbo::config::assembly::{Assembly, Place};
use nbo::decision::features::Parts;
use nbo::decision::specialised::Scratch;
use nbo::domain::decision::{Decision, Ranked, Ranking, Rung, Shown};
use nbo::domain::entry::ProfileChange;
use nbo::domain::ids::CustomerId;
use nbo::domain::profile::Profile;
use nbo::domain::request::{OffersRequest, PlacementRequest};
use nbo::domain::symbol::Symbols;
use nbo::domain::time::{Millis, Timestamp};
use nbo::domain::value::Value;
use nbo::engine::{Active, Engine, Limits, Rehearsal};
use nbo::model::{LinearScorer, Path, Runtime, ScoreError, Scorer};
use sha2::{Digest, Sha256};

/// Nearly all of them pass.
const OFFERS: usize = 300;
const CUSTOMERS: usize = 12;
const KEEP: usize = 40;

/// The trees of the benches behind an operator that leaves their scores as they are, and that is not read: ONNX Runtime runs them.
const WHOLE: &str = "whole-trees";

fn repository(path: &str) -> PathBuf {
    FilePath::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Appends `Abs` to the file of the trees. Messages of protobuf that stand one behind the other are merged, graph and all.
fn not_to_be_taken_apart() -> Vec<u8> {
    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let length = u8::try_from(bytes.len()).ok().filter(|length| *length < 128).unwrap();
        [&[number << 3 | 2, length], bytes].concat()
    }
    let node = [field(1, b"propensity"), field(2, b"whole"), field(4, b"Abs")].concat();
    let sizes = [field(1, &field(2, b"rows")), field(1, &[8, 1])].concat();
    let tensor = [vec![8, 1], field(2, &sizes)].concat();
    let output = [field(1, b"whole"), field(2, &field(1, &tensor))].concat();
    let graph = [field(1, &node), field(12, &output)].concat();
    let trees = fs::read(repository("models/bench/trees.onnx")).unwrap();
    [trees, field(7, &graph)].concat()
}

/// Returns the manifest of those trees, with a shortlist if `by` names its first stage.
fn manifest(by: Option<(&str, usize)>) -> String {
    let replaced = |text: String, from: &str, to: &str| {
        assert_eq!(text.matches(from).count(), 1, "{from}");
        text.replace(from, to)
    };
    let mut text = replaced(TREES.manifest.to_owned(), "\"bench-trees\"", &format!("\"{WHOLE}\""));
    let old = text.split("\"sha256\": \"").nth(1).unwrap()[..64].to_owned();
    text = replaced(text, &old, &format!("{:x}", Sha256::digest(not_to_be_taken_apart())));
    text = replaced(text, "\"name\": \"propensity\"", "\"name\": \"whole\"");
    text = replaced(text, "\"trees.onnx\"", "\"whole.onnx\"");
    if let Some((by, keep)) = by {
        let shortlist = format!("\"shortlist\": {{\"by\": \"{by}\", \"keep\": {keep}}}, \"input\": ");
        text = replaced(text, "\"input\": ", &shortlist);
    }
    text
}

/// A folder with a catalog of the benches, whose model is `model`, and with three models.
pub(crate) fn folder(model: &str, by: Option<(&str, usize)>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files(OFFERS, Conditions::Two, Some((model, ""))).rules {
        let path = folder.path().join("rules").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let models = folder.path().join("models");
    TREES.write(&models).unwrap();
    LINEAR.write(&models).unwrap();
    fs::create_dir_all(models.join(WHOLE)).unwrap();
    fs::write(models.join(WHOLE).join("manifest.json"), manifest(by)).unwrap();
    fs::write(models.join(WHOLE).join("whole.onnx"), not_to_be_taken_apart()).unwrap();
    folder
}

fn assembly(folder: &tempfile::TempDir) -> Assembly {
    let place = Place::Folders {
        rules: folder.path().join("rules/bench"),
        models: folder.path().join("models"),
    };
    Assembly::new(place, Some(Runtime::load(None).unwrap()), 1, None)
}

fn active(model: &str, by: Option<(&str, usize)>) -> Active {
    match assembly(&folder(model, by)).start(&Symbols::default()) {
        Ok(active) => active,
        Err(faults) => panic!("{}", faults[0]),
    }
}

/// The trees with the linear model for a first stage.
fn two_stages(keep: usize) -> Active {
    active(WHOLE, Some((LINEAR.name, keep)))
}

fn with_shortlist(active: &mut Active, keep: Option<usize>) {
    let plan = &mut Arc::get_mut(&mut active.catalog).unwrap().models[0];
    plan.shortlist = keep.map(|keep| Shortlist { by: 1, keep });
}

/// A list with the entries of all that passed.
struct Listed {
    ranking: Ranking,
    entries: Vec<Ranked>,
    is_sound: bool,
}

fn listed(active: &Active, number: usize) -> Listed {
    let catalog = &*active.catalog;
    let request = world::request(catalog, number, &CustomerId::known("anna").unwrap(), false);
    ranked(active, &request, &world::profile(catalog, number), NOW)
}

fn ranked(active: &Active, request: &OffersRequest, profile: &Profile, now: Timestamp) -> Listed {
    let mut rehearsal = Rehearsal::default();
    let (ranking, is_sound) = rehearsal.rank(active, request, profile, now);
    Listed {
        ranking,
        entries: rehearsal.ranked().to_vec(),
        is_sound,
    }
}

/// Puts entries in order, in the plainest way.
fn in_order(mut entries: Vec<Ranked>) -> Vec<Ranked> {
    entries.sort_by(|one, other| {
        let by_priority = other.priority.total_cmp(&one.priority);
        by_priority.then(one.offer.cmp(&other.offer))
    });
    entries
}

#[test]
fn of_many_offers_the_model_scores_the_best_by_the_first_stage_and_the_others_stand_behind() {
    let mut whole = two_stages(KEEP);
    assert_eq!(whole.models[0].as_ref().unwrap().path(), Path::OnnxRuntime);
    with_shortlist(&mut whole, None);
    let cheap = active(LINEAR.name, None);
    let short = two_stages(KEEP);
    let mut lowered = 0;
    for number in 0..CUSTOMERS {
        let (by_model, by_first) = (listed(&whole, number), listed(&cheap, number));
        assert!(by_first.entries.len() > 2 * KEEP, "{}", by_first.entries.len());
        let model: HashMap<u16, Ranked> = by_model.entries.iter().map(|entry| (entry.offer, *entry)).collect();
        let first = in_order(by_first.entries);
        let mut expected: Vec<Ranked> = first[..KEEP].iter().map(|entry| model[&entry.offer]).collect();
        expected = in_order(expected);
        let found = listed(&short, number);
        assert!(found.is_sound);
        let entries = in_order(found.entries);
        assert_eq!(entries[..KEEP], expected, "customer {number}");
        assert_eq!(found.ranking.offers, entries[..found.ranking.offers.len()]);
        let (highest, lowest) = (first[KEEP].priority, expected[KEEP - 1].priority);
        let share = (lowest / highest).min(1.0);
        lowered += usize::from(share < 1.0);
        let others = first[KEEP..].iter().zip(&entries[KEEP..]);
        for (before, entry) in others {
            assert_eq!((entry.offer, entry.rung), (before.offer, Rung::FirstStage));
            let expected = f64::from(before.propensity) * share;
            assert!(
                (f64::from(entry.propensity) / expected - 1.0).abs() < 1e-5,
                "{before:?}, {entry:?}"
            );
        }
        assert_eq!(listed(&short, number).ranking, found.ranking, "it is always the same");
    }
    assert!(lowered > 0, "the two models see as much in the offers");
}

#[test]
fn as_long_as_no_more_offers_pass_than_are_kept_the_model_scores_all_and_no_other_is_asked() {
    let mut active = two_stages(KEEP);
    let asked = Arc::new(AtomicUsize::new(0));
    active.models[1] = Some(Arc::new(Watched {
        inner: active.models[1].clone().unwrap(),
        asked: Arc::clone(&asked),
        fails: Arc::default(),
    }));
    for number in 0..CUSTOMERS {
        with_shortlist(&mut active, None);
        let whole = listed(&active, number);
        let passed = whole.entries.len();
        with_shortlist(&mut active, Some(passed));
        let at_the_limit = listed(&active, number);
        assert_eq!(at_the_limit.entries, whole.entries);
        assert_eq!(at_the_limit.ranking, whole.ranking);
        assert_eq!(asked.load(Ordering::Relaxed), number);
        with_shortlist(&mut active, Some(passed - 1));
        let others = listed(&active, number).entries.into_iter();
        assert_eq!(others.filter(|entry| entry.rung == Rung::FirstStage).count(), 1);
        assert_eq!(asked.load(Ordering::Relaxed), number + 1);
    }
}

/// A model that is counted, and that fails when it is told to.
struct Watched {
    inner: Arc<dyn Scorer>,
    asked: Arc<AtomicUsize>,
    fails: Arc<AtomicBool>,
}

impl Watched {
    fn ask(&self) -> Result<(), ScoreError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if self.fails.load(Ordering::Relaxed) {
            let (model, reason) = (self.inner.name().to_owned(), "told to fail".to_owned());
            return Err(ScoreError::Run { model, reason });
        }
        Ok(())
    }
}

impl Scorer for Watched {
    fn score(&self, rows: &[f32], scores: &mut [f32]) -> Result<(), ScoreError> {
        self.ask()?;
        self.inner.score(rows, scores)
    }

    fn score_parts(
        &self,
        parts: &Parts,
        catalog: &Catalog,
        offers: &[u16],
        scratch: &mut Scratch,
        scores: &mut Vec<f32>,
    ) -> Option<Result<(), ScoreError>> {
        let result = self.inner.score_parts(parts, catalog, offers, scratch, scores)?;
        Some(self.ask().and(result))
    }

    fn features(&self) -> usize {
        self.inner.features()
    }

    fn name(&self) -> &str {
        self.inner.name()
    }

    fn version(&self) -> &str {
        self.inner.version()
    }
}

/// Lets the model at a position fail from when the answer is told.
fn failing(active: &mut Active, model: usize) -> Arc<AtomicBool> {
    let fails = Arc::new(AtomicBool::new(false));
    active.models[model] = Some(Arc::new(Watched {
        inner: active.models[model].clone().unwrap(),
        asked: Arc::default(),
        fails: Arc::clone(&fails),
    }));
    fails
}

#[test]
fn when_the_first_stage_fails_the_model_scores_all_offers() {
    let mut active = two_stages(KEEP);
    failing(&mut active, 1).store(true, Ordering::Relaxed);
    let found = listed(&active, 3);
    with_shortlist(&mut active, None);
    let whole = listed(&active, 3);
    assert!(found.is_sound);
    assert_eq!((found.entries, found.ranking), (whole.entries, whole.ranking));
    active.models[1] = None;
    with_shortlist(&mut active, Some(KEEP));
    assert!(listed(&active, 3).entries.iter().all(|entry| entry.rung == Rung::Model));
}

#[test]
fn when_the_model_fails_start_propensities_serve_whatever_the_first_stage_says() {
    let mut active = two_stages(KEEP);
    failing(&mut active, 0).store(true, Ordering::Relaxed);
    let found = listed(&active, 3);
    assert!(!found.is_sound && found.entries.len() > KEEP);
    for entry in &found.entries {
        let start = active.catalog.offers[usize::from(entry.offer)].start_propensity;
        assert_eq!((entry.rung, entry.propensity), (Rung::Start, start));
    }
}

#[test]
fn a_model_that_fails_leaves_the_list_in_two_stages_as_it_was() {
    let mut active = two_stages(1);
    let fails = failing(&mut active, 0);
    let catalog = Arc::clone(&active.catalog);
    let engine = Engine::new(active, Limits::default());
    let anna = CustomerId::known("anna").unwrap();
    let set_age = |age: f64| {
        let age_of = catalog
            .profile
            .attributes
            .iter()
            .find(|each| &*each.id == "age")
            .unwrap();
        let change = ProfileChange {
            attributes: vec![(age_of.symbol, Value::Number(age))],
            ..ProfileChange::default()
        };
        engine.upsert_profile(&engine.active(), &anna, &change, NOW).unwrap();
    };
    let request = OffersRequest {
        placements: vec![PlacementRequest { placement: 1, count: 8 }],
        preview: true,
        ..world::request(&catalog, 1, &anna, false)
    };
    let ask = || engine.offers(&engine.active(), &request, NOW).unwrap();
    let shown = |decision: &Decision| decision.placements[0].offers.clone();
    set_age(40.0);
    let before = ask();
    let rungs: Vec<Rung> = shown(&before).iter().map(|shown| shown.rung).collect();
    assert!(rungs.contains(&Rung::FirstStage), "{rungs:?}");
    assert_eq!(before.rung, Rung::FirstStage);
    assert!(ask().cached, "a list in two stages is kept like any other");
    fails.store(true, Ordering::Relaxed);
    set_age(41.0);
    let after = ask();
    let expected: Vec<Shown> = shown(&before)
        .into_iter()
        .map(|shown| Shown {
            rung: Rung::LastGood,
            ..shown
        })
        .collect();
    assert_eq!((shown(&after), after.rung), (expected, Rung::LastGood));
}

/// The model reads what does not change, its first stage a date.
const DATED: &str = r#"{
  "format": 1, "name": "NAME", "version": "1", "description": "For tests.", "data": "none", "file": "x.onnx",
  "sha256": "0000000000000000000000000000000000000000000000000000000000000000", "groups": ["savings"],
  "input": {"name": "input", "features": 1}, "output": {"name": "output", "column": 0}, "columns": [COLUMN],
  "golden": [{"inputs": {}, "row": [0], "score": 0.5}], "tolerance": 0.00001
}"#;

#[test]
fn a_list_in_two_stages_holds_as_long_as_what_both_models_read() {
    const RULES: &str = "
catalog: {name: dated, time_zone: UTC}
channels: [{id: web, reservation: 30m}]
models: [whole]
attributes: {profile: [{id: age, type: number}, {id: since, type: date}]}
groups: [{id: savings, start_propensity: 0.1}]
offers:
  - {id: a, group: savings, name: A, treatments: {web: {t: x}}}
  - {id: b, group: savings, name: B, treatments: {web: {t: x}}}
placements: [{id: hero, name: Hero, count_max: 2}]
";
    let age = r#"{"name": "age", "from": "profile.age", "as": "number", "missing": 0}"#;
    let days = r#"{"name": "days", "from": "profile.since", "as": "days_since", "missing": 0}"#;
    let shortlist = r#""shortlist": {"by": "dated", "keep": 1}, "input":"#;
    let manifest = |name: &str, column: &str| DATED.replace("NAME", name).replace("COLUMN", column);
    let built = |keys: &str| {
        let mut files = CatalogFiles::default();
        files.rules.insert("rules.yaml".to_owned(), RULES.to_owned());
        let whole = manifest("whole", age).replace("\"input\":", keys);
        files.models.insert("whole".to_owned(), whole);
        files.models.insert("dated".to_owned(), manifest("dated", days));
        let catalog = load(&files, &Symbols::default()).unwrap_or_else(|faults| panic!("{}", faults[0]));
        let scorer = || Some(Arc::new(LinearScorer::new(vec![0.01], 0.0)) as Arc<dyn Scorer>);
        let models = catalog.models.iter().map(|_| scorer()).collect();
        Active::new(Arc::new(catalog), models)
    };
    let list = |active: &Active| {
        let mut profile = Profile::default();
        let attributes = active.catalog.profile.attributes.iter();
        let value = |id: &str| match id {
            "age" => Value::Number(40.0),
            _ => Value::Time(NOW - Millis::DAY.times(3) - Millis::HOUR),
        };
        let change = ProfileChange {
            attributes: attributes.map(|each| (each.symbol, value(&each.id))).collect(),
            ..ProfileChange::default()
        };
        let entry = nbo::domain::entry::Entry::Profile(change);
        nbo::decision::fold::apply(&mut profile, &entry, &active.catalog);
        let request = OffersRequest {
            customer: None,
            channel: 0,
            campaign: None,
            placements: Vec::new(),
            duplicates: false,
            context: vec![Value::Category(active.catalog.channels[0].symbol)],
            events: Vec::new(),
            explain: false,
            preview: true,
        };
        ranked(active, &request, &profile, NOW).ranking
    };
    assert_eq!(list(&built("\"input\":")).valid_until, Timestamp::FAR_FUTURE);
    let short = list(&built(shortlist));
    assert_eq!(short.valid_until, NOW + Millis::HOUR.times(23));
    let rungs: Vec<Rung> = short.offers.iter().map(|entry| entry.rung).collect();
    assert!(
        rungs.contains(&Rung::FirstStage) && rungs.contains(&Rung::Model),
        "{rungs:?}"
    );
}

#[test]
fn a_first_stage_that_cannot_be_taken_apart_refuses_the_version_and_the_one_of_before_stays() {
    let folder = folder(WHOLE, Some((LINEAR.name, KEEP)));
    let mut assembly = assembly(&folder);
    let first = assembly.start(&Symbols::default()).unwrap();
    assert!(assembly.again(&first).unwrap().is_none());
    // The same trees that cannot be taken apart, once more.
    let (from, to) = (
        folder.path().join("models").join(WHOLE),
        folder.path().join("models/slow"),
    );
    fs::create_dir(&to).unwrap();
    fs::write(to.join("manifest.json"), manifest(None)).unwrap();
    fs::copy(from.join("whole.onnx"), to.join("whole.onnx")).unwrap();
    fs::write(from.join("manifest.json"), manifest(Some(("slow", KEEP)))).unwrap();
    let faults = assembly.again(&first).err().unwrap();
    let said: Vec<String> = faults.iter().map(ToString::to_string).collect();
    assert_eq!(said.len(), 1, "{said:?}");
    let expected = "it cannot be the first stage of the model `whole-trees`: a first stage scores every offer, so it has to be taken \
                    apart for the catalog, but ONNX Runtime scores it: its operator Abs is not one that is specialised, here";
    assert!(
        said[0].contains("models/slow") && said[0].contains(expected),
        "{}",
        said[0]
    );
    // Another first stage is another version, which serves.
    fs::write(from.join("manifest.json"), manifest(Some((TREES.name, KEEP)))).unwrap();
    let second = assembly.again(&first).unwrap().unwrap();
    assert_ne!(second.catalog.version, first.catalog.version);
    assert_eq!(second.models[1].as_ref().unwrap().path(), Path::FactorisedTrees);
}
