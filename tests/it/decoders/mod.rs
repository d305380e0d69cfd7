//! Every decoder, given the files of `fuzz/corpus` and thousands of spoilt ones, the same each time.
//!
//! The functions are those that libFuzzer calls (`fuzz/src`), which finds what these few cases do not; what it found becomes a
//! file of the corpus, so that it is tried here from then on. To look further without it:
//!
//! ```text
//! NBO_SPOILT=1000000 cargo test --test it decoders
//! ```

mod callers;
#[path = "../../../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "public to the fuzzers, which are a package of their own")]
mod fuzz;
mod seeds;
mod spoil;

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use rand::SeedableRng as _;
use rand_pcg::Pcg64Mcg;

use fuzz::TARGETS;

/// How many spoilt files each decoder gets when nobody says otherwise.
const SPOILT: u32 = 2_000;
/// The same of those that take milliseconds for each, since they write files or build a whole catalog.
const SPOILT_OF_SLOW: [(&str, u32); 4] = [
    ("checkpoint", 150),
    ("data_folder", 20),
    ("catalog", 150),
    ("model", 150),
];

fn corpus(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name)
}

/// Reads the files of a decoder's corpus, in the order of their names.
fn files(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(corpus(name)).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = paths.map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    files.sort();
    files
}

fn check(name: &str) {
    let files = files(name);
    assert!(!files.is_empty(), "there is no corpus of {name}");
    let attempt = |what: &str, bytes: &[u8]| {
        if catch_unwind(|| fuzz::run(name, bytes)).is_err() {
            let kept = std::env::temp_dir().join(format!("nbo-{name}"));
            fs::write(&kept, bytes).unwrap();
            panic!("{name} broke at {what}, which is kept as {}", kept.display());
        }
    };
    for (path, bytes) in &files {
        attempt(&path.display().to_string(), bytes);
    }
    let slow = SPOILT_OF_SLOW.iter().find(|(slow, _)| *slow == name);
    let spoilt = asked_for().unwrap_or(slow.map_or(SPOILT, |(_, count)| *count));
    let bytes: Vec<&[u8]> = files.iter().map(|(_, bytes)| bytes.as_slice()).collect();
    let mut random = Pcg64Mcg::seed_from_u64(20_261_128);
    for number in 0..spoilt {
        attempt(&format!("spoilt file {number}"), &spoil::spoilt(&bytes, &mut random));
    }
}

#[expect(clippy::disallowed_methods, reason = "asks for more work than usual")]
fn asked_for() -> Option<u32> {
    std::env::var("NBO_SPOILT").ok()?.parse().ok()
}

/// Makes a test of each decoder.
macro_rules! tests {
    ($($test:ident: $name:literal;)*) => {
        $(#[test]
        fn $test() {
            check($name);
        })*

        #[test]
        fn every_decoder_has_a_test_and_a_fuzzer() {
            assert_eq!(TARGETS.map(|(name, _)| name), [$($name),*]);
            let fuzzers = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
            let mut found: Vec<_> = fs::read_dir(fuzzers)
                .unwrap()
                .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
                .collect();
            found.sort();
            let mut names = TARGETS.map(|(name, _)| name);
            names.sort_unstable();
            assert_eq!(found, names);
        }
    };
}

tests! {
    ids_of_any_bytes_are_taken_as_they_are_or_refused: "ids";
    records_of_any_bytes_are_read_or_refused: "record";
    profiles_of_any_bytes_are_read: "packed";
    a_journal_of_any_bytes_is_opened_or_refused: "segment";
    checkpoints_of_any_bytes_are_read_or_refused: "checkpoint";
    a_data_folder_with_any_file_is_served_or_refused: "data_folder";
    messages_of_any_bytes_are_converted_or_refused_with_a_reason: "request";
    bodies_of_any_bytes_are_converted_or_refused_with_a_reason: "json";
    manifests_of_any_bytes_are_read_or_refused: "manifest";
    models_of_any_bytes_are_read_or_refused_with_a_reason: "model";
    catalogs_of_any_bytes_are_loaded_or_refused_with_all_faults: "catalog";
    conditions_of_any_bytes_are_compiled_or_refused_with_all_faults: "condition";
    lists_of_any_bytes_are_read_or_refused_row_by_row: "rows";
    mappings_of_any_bytes_are_read_or_refused: "mapping";
    specs_of_campaigns_of_any_bytes_are_converted_or_refused_with_all_faults: "spec";
    campaigns_that_broke_off_are_read_up_to_whatever_is_broken: "part";
    contacts_of_any_bytes_are_recounted_or_refused_with_the_line: "history";
    heads_of_calls_of_any_bytes_are_read: "head";
    a_tokens_file_of_any_bytes_lets_in_whom_its_lines_name: "tokens";
    no_bytes_are_a_jwt_but_those_that_the_issuer_signed_for_us_and_now: "jwt";
    certificates_of_any_bytes_are_read_or_refused: "tls";
}
