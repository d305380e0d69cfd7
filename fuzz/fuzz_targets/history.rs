//! libFuzzer for `history`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| nbo_fuzz::run("history", bytes));
