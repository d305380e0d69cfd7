//! All targets in one program, since to link one for each takes longer than to run them: `NBO_FUZZ` names the target.

#![no_main]

use std::sync::LazyLock;

/// The name of the target.
static NAME: LazyLock<String> = LazyLock::new(|| {
    #[expect(
        clippy::disallowed_methods,
        reason = "libFuzzer reads the arguments, so a variable says which"
    )]
    let name = std::env::var("NBO_FUZZ");
    name.unwrap_or_else(|error| panic!("NBO_FUZZ names the target: {error}"))
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| nbo_fuzz::run(&NAME, bytes));
