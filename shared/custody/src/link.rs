//! The steps before promotion as in-toto links: what an edge fetched, and what a worker found.
//!
//! A link's `products` have the file with its SHA-256 alone, since stock tools compare the whole set of digests; all else that the
//! statement names is in `byproducts`.

use jiff::Timestamp;
use touchstone_domain::{ArtifactId, KeyId, Sha256, Sha512, Verdict};

use crate::{KeyKind, KeyRing, Refused, SignError, Signed, Signer, dsse::Statement};

/// Why a payload is no statement.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} of the statement is refused: {problem}")]
pub struct StatementError {
    /// The member.
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: String,
}

/// What an edge fetched: the link `fetch`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchStatement {
    /// The installation.
    pub environment: String,
    /// The coordinate.
    pub id: ArtifactId,
    /// The digest of the bytes.
    pub sha256: Sha256,
    /// The second digest.
    pub sha512: Sha512,
    /// Their number.
    pub size: u64,
    /// The root of their chunk list.
    pub chunk_root: Sha256,
    /// Where they came from, without credentials.
    pub upstream_url: String,
    /// When they were published, by the upstream's word.
    pub published_at: Option<Timestamp>,
    /// When the version was first seen, by the edge's clock; ages count from it.
    pub first_seen: Timestamp,
    /// When they were fetched, by the edge's clock.
    pub fetched_at: Timestamp,
    /// The digests of what was kept of the upstream's metadata.
    pub evidence: Vec<Sha256>,
    /// The edge's software.
    pub software: String,
}

/// What a worker found: the link named like its check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerdictStatement {
    /// The installation.
    pub environment: String,
    /// The coordinate.
    pub id: ArtifactId,
    /// The second digest of the bytes; the first is in the verdict.
    pub sha512: Sha512,
    /// Their number.
    pub size: u64,
    /// Where they came from.
    pub upstream_url: String,
    /// What was found.
    pub verdict: Verdict,
}

impl FetchStatement {
    /// Signs; returns the envelope.
    pub fn sign(&self, _signer: &dyn Signer) -> Result<Vec<u8>, SignError> {
        todo!("custody helper")
    }

    /// Verifies an envelope.
    pub fn verify(envelope: &[u8], ring: &KeyRing) -> Result<Signed<Self>, Refused> {
        crate::verify_many(&[envelope], ring).pop().expect("one answer for one envelope")
    }
}

impl VerdictStatement {
    /// Signs; returns the envelope.
    pub fn sign(&self, _signer: &dyn Signer) -> Result<Vec<u8>, SignError> {
        todo!("custody helper")
    }

    /// Verifies an envelope.
    pub fn verify(envelope: &[u8], ring: &KeyRing) -> Result<Signed<Self>, Refused> {
        crate::verify_many(&[envelope], ring).pop().expect("one answer for one envelope")
    }
}

impl Statement for FetchStatement {
    fn parse(_payload: &[u8]) -> Result<Self, StatementError> {
        todo!("custody helper")
    }

    fn kind(&self) -> KeyKind {
        KeyKind::Fetch
    }

    fn dated(&self) -> Timestamp {
        self.fetched_at
    }
}

impl Statement for VerdictStatement {
    fn parse(_payload: &[u8]) -> Result<Self, StatementError> {
        todo!("custody helper")
    }

    fn kind(&self) -> KeyKind {
        self.verdict.check.into()
    }

    fn dated(&self) -> Timestamp {
        self.verdict.decided_at
    }
}

/// The name of a link file, as in-toto expects it: the step and the first eight digits of the key's number.
pub fn link_file_name(step: &str, key: KeyId) -> String {
    format!("{step}.{}.link", &key.to_string()[..8])
}
