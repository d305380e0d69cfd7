//! libFuzzer for `data_folder`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| nbo_fuzz::run("data_folder", bytes));
