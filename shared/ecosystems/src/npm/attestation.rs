//! What npm's registry says about who published a version: the attestation document, and the signatures and marks in the
//! version's metadata. Nothing here is verified; this only reads.
//!
//! *Invariant:* a bundle leaves here byte for byte as it was received.

mod dist;
mod repository;
mod subject;

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use touchstone_domain::{PackageName, Version};

pub use dist::{Dist, RegistrySignature, dist};
pub use repository::{package_repository, repository_url};
pub use subject::{subject, subject_matches};

use super::protocol;
use crate::{
    UpstreamPath,
    document::{self, DocumentError},
    json::Object,
};

/// The predicate type of the registry's own attestation that it published a version.
pub const PUBLISH: &str = "https://github.com/npm/attestation/tree/main/specs/publish/v0.1";
/// The predicate type of SLSA provenance, version 1 (GitHub).
pub const PROVENANCE_V1: &str = "https://slsa.dev/provenance/v1";
/// The predicate type of SLSA provenance, version 0.2 (GitLab, and early GitHub).
pub const PROVENANCE_V0_2: &str = "https://slsa.dev/provenance/v0.2";

/// How many attestations a version may have.
const ATTESTATIONS_MAX: usize = 16;

/// One attestation of a version, unverified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NpmAttestation {
    /// What the document says that the statement inside is about.
    pub predicate_type: String,
    /// The bundle's JSON, exactly as it was received.
    pub bundle: Vec<u8>,
}

/// Where the upstream has a version's attestations.
pub fn path(package: &PackageName, version: &Version) -> UpstreamPath {
    protocol::attestations_path(package, version)
}

/// Where the upstream has its public keys.
pub fn keys_path() -> UpstreamPath {
    protocol::keys_path()
}

/// Reads an attestation document. It holds one attestation at least; one that says nothing is no answer.
pub fn document(bytes: &[u8]) -> Result<Vec<NpmAttestation>, DocumentError> {
    #[derive(Deserialize)]
    struct Document<'a> {
        #[serde(borrow)]
        attestations: Vec<Object<Entry<'a>>>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Entry<'a> {
        #[serde(borrow)]
        predicate_type: Cow<'a, str>,
        #[serde(borrow)]
        bundle: &'a RawValue,
    }
    let Document { attestations } = document::read(bytes)?;
    document::check_count("attestations", attestations.len(), ATTESTATIONS_MAX)?;
    if attestations.is_empty() {
        return Err(DocumentError::malformed("it lists no attestation"));
    }
    let entry = |Object(Entry { predicate_type, bundle }): Object<Entry<'_>>| {
        document::check_text("predicateType", &predicate_type)?;
        if !bundle.get().starts_with('{') {
            return Err(DocumentError::malformed("a bundle is no object"));
        }
        let (predicate_type, bundle) = (predicate_type.into_owned(), bundle.get().as_bytes().to_vec());
        Ok(NpmAttestation { predicate_type, bundle })
    };
    attestations.into_iter().map(entry).collect()
}

#[cfg(test)]
mod tests;
