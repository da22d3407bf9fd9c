//! Fuzzes [`touchstone_fuzz::pep740`].
#![no_main]

mod mutate;

use libfuzzer_sys::{fuzz_mutator, fuzz_target};

fuzz_target!(|data: &[u8]| {
    touchstone_fuzz::pep740::check(data);
});

fuzz_mutator!(|data: &mut [u8], size: usize, size_max: usize, seed: u32| {
    mutate::mutate(data, size, size_max, seed)
});
