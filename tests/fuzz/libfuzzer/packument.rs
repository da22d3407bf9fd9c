//! Fuzzes [`touchstone_fuzz::packument`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    touchstone_fuzz::packument::check(data);
});
