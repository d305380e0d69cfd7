//! Models are loaded only when they are what their manifests say, and then score the same for everyone.

use std::path::{Path, PathBuf};
use std::thread;

use nbo::catalog::manifest::Manifest;
use nbo::model::{LinearScorer, Model, ROWS_PER_RUN, Runtime, ScoreError, Scorer};
use sha2::{Digest, Sha256};

/// The manifest of `tests/fixtures/sigmoid.onnx`, and with another file and checksum of its neighbours.
const TEMPLATE: &str = r#"{
  "format": 1, "name": "tiny", "version": "3", "description": "1 / (1 + exp(-(a + b)))", "data": "none",
  "file": "FILE", "sha256": "SHA256", "groups": ["savings"],
  "input": {"name": "input", "features": 2}, "output": {"name": "propensity", "column": 0},
  "columns": [
    {"name": "a", "from": "profile.a", "as": "number", "missing": 0},
    {"name": "b", "from": "offer.b", "as": "number", "missing": 0}
  ],
  "golden": [
    {"inputs": {"profile.a": 1, "offer.b": 1}, "row": [1, 1], "score": 0.8807971},
    {"inputs": {"profile.a": 2, "offer.b": -2}, "row": [2, -2], "score": 0.5}
  ],
  "tolerance": 0.000001
}"#;

fn runtime() -> Runtime {
    Runtime::load(None).unwrap()
}

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn fixture(file: &str) -> Vec<u8> {
    std::fs::read(repository("tests/fixtures").join(file)).unwrap()
}

/// Returns the tiny manifest for a file with these bytes, after replacing `from` by `to` where that is not empty.
fn manifest(file: &str, bytes: &[u8], (from, to): (&str, &str)) -> Manifest {
    assert!(from.is_empty() || TEMPLATE.contains(from), "nothing to replace: {from}");
    let spoilt = if from.is_empty() {
        TEMPLATE.to_owned()
    } else {
        TEMPLATE.replace(from, to)
    };
    Manifest::parse(&spoilt.replace("FILE", file).replace("SHA256", &sha256(bytes))).unwrap()
}

fn sha256(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

fn shipped(directory: &str, manifest: &str, sessions: usize) -> (Model, Manifest) {
    let text = std::fs::read_to_string(repository(directory).join(manifest)).unwrap();
    let manifest = Manifest::parse(&text).unwrap();
    let bytes = std::fs::read(repository(directory).join(&manifest.file)).unwrap();
    (Model::load(&runtime(), &bytes, &manifest, sessions).unwrap(), manifest)
}

/// Asserts that a fixture with a spoilt manifest is refused in these words.
#[track_caller]
fn check_refused(file: &str, spoil: (&str, &str), message: &str) {
    let bytes = fixture(file);
    check_bytes_refused(&bytes, &manifest(file, &bytes, spoil), message);
}

#[track_caller]
fn check_bytes_refused(bytes: &[u8], manifest: &Manifest, message: &str) {
    let error = Model::load(&runtime(), bytes, manifest, 1)
        .err()
        .map(|error| error.to_string());
    assert_eq!(error.as_deref(), Some(message));
}

/// Makes rows that vary, from a stated seed.
fn rows_of(features: usize, count: usize) -> Vec<f32> {
    let mut state = 42_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f32::from(u16::try_from(state >> 16).unwrap()) / 655.36
    };
    (0..features * count).map(|_| next()).collect()
}

#[test]
fn every_shipped_model_loads_and_agrees_with_its_golden_rows() {
    for (directory, file) in [
        ("models/bank", "manifest.json"),
        ("models/bench", "trees.json"),
        ("models/bench", "linear.json"),
    ] {
        let (model, manifest) = shipped(directory, file, 2);
        assert_eq!(
            (model.name(), model.version()),
            (manifest.name.as_str(), manifest.version.as_str())
        );
        assert_eq!(
            (model.features(), model.sha256()),
            (manifest.columns.len(), manifest.sha256.as_str())
        );
        for golden in &manifest.golden {
            let mut score = [0.0];
            model.score(&golden.row, &mut score).unwrap();
            assert!(
                (score[0] - golden.score).abs() <= manifest.tolerance,
                "{file}: {score:?} for {golden:?}"
            );
        }
    }
}

#[test]
fn a_file_that_was_changed_or_cut_short_is_refused_by_its_checksum() {
    let bytes = fixture("sigmoid.onnx");
    let manifest = manifest("sigmoid.onnx", &bytes, ("", ""));
    let mut flipped = bytes.clone();
    flipped[100] ^= 1;
    for spoilt in [&flipped[..], &bytes[..bytes.len() - 1], &[]] {
        let message = format!(
            "sigmoid.onnx: its SHA-256 is {}, the manifest says {}; it was changed or cut short, so copy it and its \
             manifest again from where they were trained",
            sha256(spoilt),
            manifest.sha256
        );
        check_bytes_refused(spoilt, &manifest, &message);
    }
}

#[test]
fn a_file_that_is_no_onnx_model_is_refused_even_with_its_own_checksum() {
    let whole = fixture("sigmoid.onnx");
    for bytes in [&b"not a model at all"[..], &whole[..150], &[]] {
        let manifest = manifest("foreign.onnx", bytes, ("", ""));
        let error = Model::load(&runtime(), bytes, &manifest, 1).err().unwrap().to_string();
        assert!(
            error.starts_with("foreign.onnx: ONNX Runtime cannot load it: "),
            "{error}"
        );
        assert!(
            error.ends_with("; export it as ONNX again") && !error.contains('\n'),
            "{error}"
        );
    }
}

#[test]
fn a_model_whose_input_is_not_the_manifests_is_refused() {
    let says = "the manifest says input of 32-bit floats, any number of rows of 2; correct `input` or export the model \
                again";
    check_refused(
        "sigmoid.onnx",
        (r#""name": "input""#, r#""name": "rows""#),
        "sigmoid.onnx: its input is input: Tensor<f32>(rows, 2), the manifest says rows of 32-bit floats, any number of \
         rows of 2; correct `input` or export the model again",
    );
    check_refused(
        "double.onnx",
        ("", ""),
        &format!("double.onnx: its input is input: Tensor<f64>(rows, 2), {says}"),
    );
    check_refused(
        "one_row.onnx",
        ("", ""),
        &format!("one_row.onnx: its input is input: Tensor<f32>(1, 2), {says}"),
    );
    check_refused(
        "any_width.onnx",
        ("", ""),
        &format!("any_width.onnx: its input is input: Tensor<f32>(rows, width), {says}"),
    );
}

#[test]
fn a_model_of_another_width_is_refused() {
    let directory = repository("models/bench");
    let bytes = std::fs::read(directory.join("linear.onnx")).unwrap();
    check_bytes_refused(
        &bytes,
        &manifest("linear.onnx", &bytes, ("", "")),
        "linear.onnx: its input is input: Tensor<f32>(rows, 30), the manifest says input of 32-bit floats, any number of \
         rows of 2; correct `input` or export the model again",
    );
}

#[test]
fn a_model_whose_output_is_not_the_manifests_is_refused() {
    check_refused(
        "sigmoid.onnx",
        (r#""name": "propensity""#, r#""name": "probabilities""#),
        "sigmoid.onnx: its output is propensity: Tensor<f32>(rows, 1), the manifest says probabilities of 32-bit floats \
         with a column 0; correct `output` or export the model again",
    );
    check_refused(
        "sigmoid.onnx",
        (r#""column": 0"#, r#""column": 1"#),
        "sigmoid.onnx: its output is propensity: Tensor<f32>(rows, 1), the manifest says propensity of 32-bit floats \
         with a column 1; correct `output` or export the model again",
    );
}

#[test]
fn an_output_of_maps_is_refused_with_the_exporters_setting() {
    check_refused(
        "zipmap.onnx",
        ("", ""),
        "zipmap.onnx: its output propensity is a list of maps, not a tensor; export the model with zipmap=False",
    );
}

#[test]
fn a_model_that_disagrees_with_a_golden_row_is_refused() {
    check_refused(
        "sigmoid.onnx",
        (r#""score": 0.5"#, r#""score": 0.51"#),
        "sigmoid.onnx: golden row 1 scores 0.5, the manifest says 0.51 within 0.000001; the model and the manifest do \
         not belong together, so train and write both again",
    );
}

#[test]
fn a_model_whose_golden_scores_are_no_propensities_is_refused() {
    check_refused(
        "logit.onnx",
        ("", ""),
        "logit.onnx: its golden rows cannot be scored: model tiny: the score of row 0 is 2, a propensity is from 0 to 1; \
         export the model again, with probabilities as its output",
    );
    check_refused(
        "nan.onnx",
        ("[1, 1]", "[1, -2]"),
        "nan.onnx: its golden rows cannot be scored: model tiny: the score of row 0 is NaN, a propensity is from 0 to 1; \
         export the model again, with probabilities as its output",
    );
}

#[test]
fn a_score_that_is_no_propensity_fails_the_call_and_the_next_call_works() {
    let bytes = fixture("nan.onnx");
    let spoil = (r#""score": 0.8807971"#, r#""score": 0.6666667"#);
    let text = TEMPLATE
        .replace(spoil.0, spoil.1)
        .replace("[2, -2], \"score\": 0.5", "[2, -1], \"score\": 0.5");
    let text = text.replace("FILE", "nan.onnx").replace("SHA256", &sha256(&bytes));
    let model = Model::load(&runtime(), &bytes, &Manifest::parse(&text).unwrap(), 1).unwrap();

    let error = model.score(&[1.0, 1.0, -1.0, -1.0], &mut [0.0; 2]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "model tiny: the score of row 1 is NaN, a propensity is from 0 to 1"
    );
    let mut score = [0.0];
    model.score(&[0.0, 1.0], &mut score).unwrap();
    assert_eq!(score[0].to_bits(), 0.5_f32.to_bits());
}

#[test]
fn rows_that_do_not_fit_are_refused_and_no_rows_are_fine() {
    let bytes = fixture("sigmoid.onnx");
    let model = Model::load(&runtime(), &bytes, &manifest("sigmoid.onnx", &bytes, ("", "")), 1).unwrap();
    let scorers: [&dyn Scorer; 2] = [&model, &LinearScorer::new(vec![1.0, 1.0], 0.0)];
    for scorer in scorers {
        let error = scorer.score(&[1.0, 2.0, 3.0], &mut [0.0]).unwrap_err();
        let name = scorer.name().to_owned();
        assert_eq!(
            error,
            ScoreError::Shape {
                model: name,
                rows: 1,
                features: 2,
                found: 3
            }
        );
        assert_eq!(scorer.score(&[], &mut []), Ok(()));
    }
}

#[test]
fn the_plain_scorer_agrees_with_the_same_model_in_onnx() {
    let bytes = fixture("sigmoid.onnx");
    let model = Model::load(&runtime(), &bytes, &manifest("sigmoid.onnx", &bytes, ("", "")), 1).unwrap();
    let plain = LinearScorer::new(vec![1.0, 1.0], 0.0);
    let rows: Vec<f32> = rows_of(2, 50).iter().map(|number| number / 50.0 - 1.0).collect();
    let (mut scores, mut plain_scores) = ([0.0; 50], [0.0; 50]);
    model.score(&rows, &mut scores).unwrap();
    plain.score(&rows, &mut plain_scores).unwrap();
    for (score, plain_score) in scores.iter().zip(&plain_scores) {
        assert!((score - plain_score).abs() < 1e-6, "{score} {plain_score}");
    }
}

#[test]
fn a_row_has_the_same_score_to_the_bit_alone_and_among_any_others() {
    for file in ["trees.json", "linear.json"] {
        let (model, _) = shipped("models/bench", file, 1);
        let count = 2 * ROWS_PER_RUN + 7;
        let rows = rows_of(model.features(), count);
        let mut together = vec![0.0; count];
        model.score(&rows, &mut together).unwrap();
        for (row, score) in rows.chunks(model.features()).zip(&together) {
            let mut alone = [0.0];
            model.score(row, &mut alone).unwrap();
            assert_eq!(alone[0].to_bits(), score.to_bits(), "{file}");
        }
    }
}

#[test]
fn eight_threads_on_three_sessions_get_identical_bits() {
    let (model, _) = shipped("models/bench", "trees.json", 3);
    let rows = rows_of(model.features(), 60);
    let score = || {
        let mut scores = vec![0.0; 60];
        model.score(&rows, &mut scores).unwrap();
        scores.into_iter().map(f32::to_bits).collect::<Vec<u32>>()
    };
    let expected = score();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| (0..50).map(|_| score()).collect::<Vec<_>>()))
            .collect();
        for thread in threads {
            assert!(thread.join().unwrap().iter().all(|scores| *scores == expected));
        }
    });
}
