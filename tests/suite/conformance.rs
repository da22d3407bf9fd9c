//! The verifier of attestations against the public conformance cases and against what real registries serve: honest documents
//! verify, and each tampered one is refused for its own reason.

mod cases;
mod changed;
mod recorded;
mod signatures;

use std::{fs, path::Path};

use base64::{
    Engine as _, alphabet,
    engine::{GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use serde_json::Value;
use touchstone_attestation::{ArtifactDigests, Problem, RegistryKeys, TrustRoot};

fn bytes(path: impl AsRef<Path>) -> Vec<u8> {
    fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.as_ref().display()))
}

fn json(path: impl AsRef<Path>) -> Value {
    serde_json::from_slice(&bytes(path)).expect("JSON")
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a string")
}

fn trust_root(path: impl AsRef<Path>) -> TrustRoot {
    TrustRoot::from_json(&bytes(path)).expect("a trust root")
}

fn npm_keys(shared: &Path) -> RegistryKeys {
    RegistryKeys::from_json(&bytes(shared.join("fixtures/npm/keys.json"))).expect("keys")
}

/// The DER in a PEM file. One of the conformance keys has stray bits at its end.
fn public_key(path: impl AsRef<Path>) -> Vec<u8> {
    let pem = String::from_utf8(bytes(path)).expect("PEM");
    let lines: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let lenient = GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true);
    GeneralPurpose::new(&alphabet::STANDARD, lenient).decode(lines).expect("base64")
}

fn base64(bytes: impl AsRef<[u8]>) -> Value {
    Value::from(STANDARD.encode(bytes))
}

fn unbase64(value: &Value) -> Vec<u8> {
    STANDARD.decode(text(value)).expect("base64")
}

/// The digests of a recorded artifact, or those that the index names where the bytes are not at hand.
fn artifact(fixtures: &Path, entry: &Value) -> ArtifactDigests {
    if let Some(path) = entry["artifact"].as_str() {
        return ArtifactDigests::of(bytes(fixtures.join(path)));
    }
    let sha256 =
        text(&entry["digest"]).strip_prefix("sha256:").expect("a SHA-256").parse().expect("a digest");
    ArtifactDigests { sha256, ..ArtifactDigests::of("nobody has its bytes") }
}

fn problem<T>(result: Result<T, touchstone_attestation::Refused>) -> Option<Problem> {
    result.err().map(|refused| refused.problem)
}
