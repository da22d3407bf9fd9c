//! Fuzzes [`touchstone_fuzz::simple_json`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    touchstone_fuzz::simple_json::check(data);
});
