//! One target for every conversation test: one file per promise, one per ecosystem's real clients.

mod architecture;
mod attest;
mod attestation;
mod attested_clients;
mod chaos;
mod clients;
mod conformance;
mod custody;
mod faults;
mod fixtures;
mod flights;
mod go;
mod goproxy;
mod main_path;
mod metadata;
mod operator;
mod policy;
mod protocol;
mod second_digest;
mod storage;
mod trust;
