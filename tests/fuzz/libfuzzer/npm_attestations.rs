//! Fuzzes [`touchstone_fuzz::npm_attestations`].
#![no_main]

mod mutate;

use libfuzzer_sys::{fuzz_mutator, fuzz_target};

fuzz_target!(|data: &[u8]| {
    touchstone_fuzz::npm_attestations::check(data);
});

fuzz_mutator!(|data: &mut [u8], size: usize, size_max: usize, seed: u32| {
    mutate::mutate(data, size, size_max, seed)
});
