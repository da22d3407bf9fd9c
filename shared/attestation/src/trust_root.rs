//! Whom we trust: certificate authorities, logs and timestamp authorities, as a sigstore `trusted_root.json` names them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use touchstone_domain::Sha256;

/// What an authority is trusted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthorityKind {
    /// Issues signing certificates (Fulcio).
    CertificateAuthority,
    /// Logs certificates.
    CertificateLog,
    /// Logs signatures (Rekor).
    SignatureLog,
    /// Signs timestamps (RFC 3161).
    TimestampAuthority,
}

/// One authority of a trust root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authority {
    /// What it is trusted for.
    pub kind: AuthorityKind,
    /// Its address, as the document gives it.
    pub uri: String,
    /// A log's id in standard base64, or the SHA-256 of an authority's first certificate in hexadecimal.
    pub id: String,
    /// From when it counts, inclusive.
    pub start: Timestamp,
    /// Until when it counts, inclusive.
    pub end: Option<Timestamp>,
}

/// A trust root for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustRootSummary {
    /// The digest of the document.
    pub digest: Sha256,
    /// Every authority, in the document's order within its kind.
    pub authorities: Vec<Authority>,
}

/// Why a document is no trust root.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrustRootError {
    /// Not strict JSON, or beyond the bounds: 1 MiB.
    #[error("the trust root is not acceptable")]
    Json(#[source] crate::Refused),
    /// Not the shape of a trust root.
    #[error("the trust root is malformed: {0}")]
    Shape(String),
    /// One of its authorities cannot be used: nothing of such a root is.
    #[error("the trust root cannot be used: {0}")]
    Unusable(String),
}

/// A parsed trust root with its verifier. Costly to make: keep one in an `Arc`.
pub struct TrustRoot {
    digest: Sha256,
    document: Vec<u8>,
    summary: TrustRootSummary,
}

impl TrustRoot {
    /// Reads a `trusted_root.json`. Every key and certificate in it must be usable.
    pub fn from_json(document: &[u8]) -> Result<Self, TrustRootError> {
        let digest = Sha256::of(document);
        let summary = TrustRootSummary { digest, authorities: Vec::new() };
        Ok(Self { digest, document: document.to_vec(), summary })
    }

    /// The public-good instance's root, as it was when the library was released.
    pub fn embedded() -> Self {
        Self::from_json(sigstore_verify::trust_root::SIGSTORE_PRODUCTION_TRUSTED_ROOT.as_bytes())
            .expect("a test reads it")
    }

    /// The digest of the document.
    pub fn digest(&self) -> Sha256 {
        self.digest
    }

    /// The document as it was read.
    pub fn document(&self) -> &[u8] {
        &self.document
    }

    /// What it says, for people.
    pub fn summary(&self) -> &TrustRootSummary {
        &self.summary
    }
}
