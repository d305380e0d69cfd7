//! libFuzzer for `part`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| nbo_fuzz::run("part", bytes));
