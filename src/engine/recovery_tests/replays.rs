//! Decisions of the past are made again, unless their people are gone.

use std::collections::BTreeSet;

use super::super::ReplayError;
use super::*;
use crate::catalog::load;
use crate::decision::testing::base_files;
use crate::model::{LinearScorer, Scorer};

#[test]
fn every_decision_of_a_long_history_is_made_again_bit_for_bit_after_restarts_and_reloads() {
    let folder = tempfile::tempdir().unwrap();
    let mut player = Player::new(41, 0..15);
    let mut lines = CATALOGS[0];
    for life in 0..4 {
        let (engine, _) = open(folder.path(), lines).unwrap();
        player.play(&engine, 120);
        lines = CATALOGS[(life + 1) % 2];
        let next = catalog_on(&engine.active().catalog.symbols, lines);
        engine.activate(Active::new(next, Vec::new())).unwrap();
        player.play(&engine, 120);
    }
    let (engine, _) = open(folder.path(), lines).unwrap();
    let made: Vec<_> = player
        .decisions
        .iter()
        .filter(|decision| decision.id.is_some())
        .collect();
    assert!(made.len() > 100, "{} decisions", made.len());
    for then in made {
        let id = then.id.unwrap();
        if player.forgotten.contains(&id) {
            let gone = engine.recorded(id);
            assert!(
                matches!(gone, Err(ReplayError::Unknown(_))),
                "{id} was of somebody forgotten"
            );
            continue;
        }
        let recorded = engine.recorded(id).unwrap();
        let activation = engine.activation(recorded.generation()).unwrap();
        let catalog = build(&Symbols::from(activation.symbols.clone()), &activation.catalog).unwrap();
        let active = Active {
            generation: activation.generation,
            ..Active::new(catalog, Vec::new())
        };
        let again = Engine::replay(&recorded, Arc::new(active), true).unwrap();
        assert!(again.is_same, "{id}");
        let lasting = |decision: &Decision| Decision {
            cached: false,
            withheld: Vec::new(),
            valid_until: T0,
            ..decision.clone()
        };
        assert_eq!(lasting(&again.decision), lasting(then));
        assert!(!again.decision.withheld.is_empty(), "what was not shown has its reason");
    }
    let unknown = DecisionId {
        customer: customer(1).key(),
        number: 7,
    };
    assert!(matches!(engine.recorded(unknown), Err(ReplayError::Unknown(_))));
}

#[test]
fn a_decision_from_a_cached_list_is_recorded_with_all_that_is_known_of_the_customer_then() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, _) = open(folder.path(), CATALOGS[0]).unwrap();
    let active = engine.active();
    let anna = customer(1);
    let mut before = Profile::default();
    for turn in 0..6_u8 {
        let now = T0 + Millis::MINUTE.times(i64::from(turn));
        // The first and the fourth rank anew: with an event of the call, and after one that came by itself.
        let events = match turn {
            0 => vec![search(&active.catalog, 1, "fund", now)],
            3 => {
                let event = search(&active.catalog, 2, "fund", now);
                engine.record_events(&active, &anna, &[event], now).unwrap();
                Vec::new()
            }
            _ => Vec::new(),
        };
        let request = OffersRequest {
            customer: Some(anna.clone()),
            channel: 0,
            campaign: None,
            placements: vec![PlacementRequest { placement: 0, count: 1 }],
            duplicates: false,
            context: vec![Value::Category(active.catalog.channels[0].symbol)],
            events,
            explain: false,
            preview: false,
        };
        if request.events.is_empty() {
            before = engine.profile(&anna).unwrap();
        }
        let decision = engine.offers(&active, &request, now).unwrap();
        assert_eq!(decision.cached, matches!(turn, 1 | 2 | 4 | 5), "turn {turn}");
        let recorded = engine.recorded(decision.id.unwrap()).unwrap();
        let mut seen = Profile::default();
        recorded.profile(&mut seen);
        assert!(!seen.events.is_empty() && !seen.traces.is_empty());
        if turn > 0 {
            assert_eq!(seen, before, "turn {turn}");
        }
        let again = Engine::replay(&recorded, Arc::clone(&active), true).unwrap();
        assert!(again.is_same, "turn {turn}");
    }
}

/// A manifest of a model that sees the age, and how often something of the group was seen.
fn manifest(name: &str, more: &str) -> String {
    format!(
        r#"{{"format": 1, "name": "{name}", "version": "1", "description": "For a test.", "data": "none",
        "file": "none.onnx", "sha256": "{}", "groups": [{}],{more}
        "input": {{"name": "x", "features": 2}}, "output": {{"name": "y", "column": 0}},
        "columns": [{{"name": "age", "from": "profile.age", "as": "number", "missing": 0}},
        {{"name": "seen", "from": "contacts", "as": "number", "count": "seen", "scope": "group", "within": "30d"}}],
        "golden": [{{"inputs": {{}}, "row": [0, 0], "score": 0.5}}], "tolerance": 0.00001}}"#,
        "0".repeat(64),
        if more.is_empty() { "" } else { r#""savings", "fund""# },
    )
}

#[test]
fn a_decision_in_two_stages_with_scores_of_the_list_before_is_made_again_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, _) = open(folder.path(), CATALOGS[0]).unwrap();
    let mut files = base_files();
    files.rules.insert("more.yaml".to_owned(), CATALOGS[0].to_owned());
    files
        .rules
        .insert("models.yaml".to_owned(), "models: [whole]".to_owned());
    let shortlist = r#" "shortlist": {"by": "cheap", "keep": 1},"#;
    files.models.insert("whole".to_owned(), manifest("whole", shortlist));
    files.models.insert("cheap".to_owned(), manifest("cheap", ""));
    let catalog = Arc::new(load(&files, &engine.active().catalog.symbols).unwrap());
    let scorer = |weights: [f32; 2], bias| -> Option<Arc<dyn Scorer>> {
        Some(Arc::new(LinearScorer::new(weights.to_vec(), bias)))
    };
    let models = vec![scorer([0.01, 0.1], -2.0), scorer([0.02, -0.3], -1.0)];
    engine
        .activate(Active::new(Arc::clone(&catalog), models.clone()))
        .unwrap();
    let generation = engine.active().generation;
    let mut player = Player::new(43, 0..15);
    player.play(&engine, 300);
    let mut rungs = BTreeSet::new();
    for then in &player.decisions {
        let Some(id) = then.id.filter(|id| !player.forgotten.contains(id)) else {
            continue;
        };
        let active = Active {
            generation,
            ..Active::new(Arc::clone(&catalog), models.clone())
        };
        let recorded = engine.recorded(id).unwrap();
        assert!(
            Engine::replay(&recorded, Arc::new(active), true).unwrap().is_same,
            "{id}"
        );
        let shown = then.placements.iter().flat_map(|filled| &filled.offers);
        rungs.extend(shown.map(|shown| shown.rung.name()));
    }
    assert!(rungs.is_superset(&["first_stage", "model"].into()), "{rungs:?}");
}
