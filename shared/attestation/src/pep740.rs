//! Attestations as Python package indexes serve them (PEP 740).

use crate::refused::{Problem, Refused};

/// The sigstore bundle (v0.3) that an attestation object is another form of. Every log entry is kept. Nothing is verified.
pub fn bundle_from_pep740(_attestation: &[u8]) -> Result<Vec<u8>, Refused> {
    Err(Refused::new(Problem::Malformed, "not written yet"))
}
