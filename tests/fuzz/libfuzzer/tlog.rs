//! Fuzzes [`touchstone_fuzz::tlog`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    touchstone_fuzz::tlog::check(data);
});
