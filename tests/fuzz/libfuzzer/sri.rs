//! Fuzzes [`touchstone_fuzz::sri`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    touchstone_fuzz::sri::check(data);
});
