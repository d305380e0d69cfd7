//! libFuzzer for `tokens`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| nbo_fuzz::run("tokens", bytes));
