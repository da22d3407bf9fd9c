//! Fuzzes [`touchstone_fuzz::go_zip`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    touchstone_fuzz::go_zip::check(data);
});
