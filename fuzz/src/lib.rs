//! One function for each decoder: given any bytes, it decodes what it can, and breaks when the decoder does.
//!
//! libFuzzer calls them from `fuzz_targets`, and so does an ordinary test (`tests/it/decoders`), which knows no
//! libFuzzer: with the files of `corpus` as they are, and spoilt in some thousand ways, the same each time.
//!
//! What is sealed by checksums is mended first, or nearly every change would end there.

mod access;
mod disk;
mod files;
mod mend;
mod texts;
mod wires;

/// A decoder: its name, which is that of its folder in `corpus`, and what is done with bytes.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 21] = [
    ("ids", texts::ids),
    ("record", files::record),
    ("packed", files::packed),
    ("segment", files::segment),
    ("checkpoint", files::checkpoint),
    ("data_folder", files::data_folder),
    ("request", wires::request),
    ("json", wires::json),
    ("manifest", texts::manifest),
    ("model", files::model),
    ("catalog", texts::catalog),
    ("condition", texts::condition),
    ("rows", texts::rows),
    ("mapping", texts::mapping),
    ("spec", texts::spec),
    ("part", files::part),
    ("history", files::history),
    ("head", access::head),
    ("tokens", access::tokens),
    ("jwt", access::jwt),
    ("tls", access::tls),
];

/// Runs one of them.
///
/// # Panics
///
/// When there is none of that name, and when the decoder breaks.
pub fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|(known, _)| *known == name);
    target.expect("it is one of the targets").1(bytes);
}
