//! Decisions of the past are made again, unless their people are gone.

use super::super::ReplayError;
use super::*;

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
        let again = Engine::replay(&recorded, Arc::new(active)).unwrap();
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
