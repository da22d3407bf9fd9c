//! What the index says about who published a file: the provenance object of PEP 740. Nothing here is verified; this only
//! reads, and compares what the index claims with what a verified certificate says.
//!
//! *Invariant:* an attestation leaves here byte for byte as it was received.

mod publisher;
mod subject;

use serde::Deserialize;
use serde_json::value::RawValue;
use touchstone_domain::{FileName, PackageName, Version};

pub use publisher::{CertificateFields, Publisher, PublisherProblem, publisher_problem};
pub use subject::{is_sidecar, subject_matches};

use super::protocol;
use crate::{
    UpstreamPath,
    document::{self, DocumentError},
    json::Object,
};

/// The predicate type of the index's publish attestation, which has no predicate. This is its name, not an address to ask.
pub const PUBLISH: &str = "https://docs.pypi.org/attestations/publish/v1";
/// The predicate type of SLSA provenance, version 1.
pub const PROVENANCE_V1: &str = "https://slsa.dev/provenance/v1";

/// How many bundles a provenance object may have, one a publisher.
const BUNDLES_MAX: usize = 16;
/// How many attestations a provenance object may have in all.
const ATTESTATIONS_MAX: usize = 64;

/// One attestation of a file, and the publisher that the index names for it; unverified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PypiAttestation {
    /// Who the index says published the file.
    pub publisher: Publisher,
    /// The attestation's JSON, exactly as it was received.
    pub attestation: Vec<u8>,
}

/// Where the upstream has a file's provenance object.
pub fn path(package: &PackageName, version: &Version, file: &FileName) -> UpstreamPath {
    protocol::provenance_at(package, version, file)
}

/// Reads a provenance object, in the order that it lists its attestations. It holds one at least, in every bundle; one that
/// says nothing is no answer.
pub fn provenance(bytes: &[u8]) -> Result<Vec<PypiAttestation>, DocumentError> {
    #[derive(Deserialize)]
    struct Provenance<'a> {
        version: u64,
        #[serde(borrow)]
        attestation_bundles: Vec<Object<Bundle<'a>>>,
    }
    #[derive(Deserialize)]
    struct Bundle<'a> {
        #[serde(borrow)]
        publisher: &'a RawValue,
        #[serde(borrow)]
        attestations: Vec<&'a RawValue>,
    }
    let Provenance { version, attestation_bundles: bundles } = document::read(bytes)?;
    if version != 1 {
        return Err(DocumentError::malformed(format!("its version is {version}, and 1 is known")));
    }
    document::check_count("bundles", bundles.len(), BUNDLES_MAX)?;
    let attestations = bundles.iter().map(|bundle| bundle.0.attestations.len()).sum();
    document::check_count("attestations", attestations, ATTESTATIONS_MAX)?;
    if bundles.is_empty() {
        return Err(DocumentError::malformed("it lists no bundle"));
    }
    let mut found = Vec::with_capacity(attestations);
    for Object(Bundle { publisher, attestations }) in bundles {
        let publisher = Publisher::parse(publisher)?;
        if attestations.is_empty() {
            return Err(DocumentError::malformed("a bundle lists no attestation"));
        }
        for attestation in attestations {
            if !attestation.get().starts_with('{') {
                return Err(DocumentError::malformed("an attestation is no object"));
            }
            let attestation = attestation.get().as_bytes().to_vec();
            found.push(PypiAttestation { publisher: publisher.clone(), attestation });
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
