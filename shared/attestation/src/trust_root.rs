//! Whom we trust: certificate authorities, logs and timestamp authorities, as a sigstore `trusted_root.json` names them.

use std::error::Error;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sigstore_verify::{
    Verifier,
    trust_root::{SIGSTORE_PRODUCTION_TRUSTED_ROOT, TimeRange, TrustedRoot},
    types::Sha256Hash,
};
use touchstone_domain::Sha256;

use crate::{JsonLimits, certificate::Issuer, log::Log, strict_json::strict_text};

/// The one version that is read.
const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.trustedroot+json;version=0.1";

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
    /// Not strict JSON, or beyond the bounds of a bundle.
    #[error("the trust root is not acceptable")]
    Json(#[source] crate::Refused),
    /// Not the shape of a trust root.
    #[error("the trust root is malformed")]
    Shape(#[source] Box<dyn Error + Send + Sync>),
    /// Of another version than 0.1.
    #[error("the trust root has the unknown media type {0:?}")]
    MediaType(String),
    /// An authority without a start of validity would count for ever.
    #[error("{0} has no validity window")]
    NoWindow(String),
    /// One of its keys or certificates cannot be used, a window ends before it starts, or a log stands twice: nothing of such a
    /// root is used.
    #[error("the trust root cannot be used")]
    Unusable(#[source] Box<dyn Error + Send + Sync>),
}

/// A parsed trust root with its verifier. Costly to make: keep one in an `Arc`.
pub struct TrustRoot {
    pub(crate) verifier: Verifier,
    pub(crate) logs: Vec<Log>,
    pub(crate) issuers: Vec<Issuer>,
    /// The ids of the logs of certificates.
    pub(crate) certificate_logs: Vec<[u8; 32]>,
    document: Vec<u8>,
    summary: TrustRootSummary,
}

impl TrustRoot {
    /// Reads a `trusted_root.json`. Every key and certificate in it must be usable, and every authority have a window.
    pub fn from_json(document: &[u8]) -> Result<Self, TrustRootError> {
        let text = strict_text(document, JsonLimits::BUNDLE).map_err(TrustRootError::Json)?;
        let root = TrustedRoot::from_json(text).map_err(|e| TrustRootError::Shape(Box::new(e)))?;
        if root.media_type != MEDIA_TYPE {
            return Err(TrustRootError::MediaType(root.media_type.chars().take(128).collect()));
        }
        let authorities = authorities(&root)?;
        let verifier = Verifier::new(&root).map_err(|e| TrustRootError::Unusable(Box::new(e)))?;
        let id = |bytes: &[u8]| match Sha256Hash::try_from(bytes) {
            Ok(id) => Ok(*id.as_bytes()),
            Err(error) => Err(TrustRootError::Unusable(Box::new(error))),
        };
        let certificate_logs =
            root.ctlogs.iter().map(|log| id(log.log_id.key_id.as_bytes())).collect::<Result<_, _>>()?;
        let logs = root.tlogs.iter().map(|log| {
            Ok(Log {
                id: id(log.log_id.key_id.as_bytes())?,
                id_base64: log.log_id.key_id.to_base64(),
                url: log.base_url.clone(),
                window: window(log.public_key.valid_for, &log.base_url)?,
            })
        });
        let logs = logs.collect::<Result<_, TrustRootError>>()?;
        let chains = root.certificate_authorities.iter().flat_map(|ca| &ca.cert_chain.certificates);
        let issuers = chains
            .map(|certificate| Issuer::parse(certificate.raw_bytes.as_bytes()))
            .collect::<Result<_, _>>()
            .map_err(|e| TrustRootError::Unusable(Box::new(e)))?;
        let summary = TrustRootSummary { digest: Sha256::of(document), authorities };
        Ok(Self { verifier, logs, issuers, certificate_logs, document: document.to_vec(), summary })
    }

    /// The public-good instance's root, as it was when the library was released.
    pub fn embedded() -> Self {
        Self::from_json(SIGSTORE_PRODUCTION_TRUSTED_ROOT.as_bytes()).expect("a test reads it")
    }

    /// The digest of the document.
    pub fn digest(&self) -> Sha256 {
        self.summary.digest
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

impl std::fmt::Debug for TrustRoot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("TrustRoot").field(&self.summary.digest).finish()
    }
}

fn window(window: Option<TimeRange>, uri: &str) -> Result<TimeRange, TrustRootError> {
    window.ok_or_else(|| TrustRootError::NoWindow(uri.chars().take(256).collect()))
}

fn authorities(root: &TrustedRoot) -> Result<Vec<Authority>, TrustRootError> {
    let mut found = Vec::new();
    let mut add = |kind, uri: &str, id: String, window: Option<TimeRange>| {
        let window = self::window(window, uri)?;
        found.push(Authority { kind, uri: uri.to_owned(), id, start: window.start, end: window.end });
        Ok(())
    };
    for ca in &root.certificate_authorities {
        let first =
            ca.cert_chain.certificates.first().map(|c| Sha256::of(c.raw_bytes.as_bytes()).to_string());
        add(AuthorityKind::CertificateAuthority, &ca.uri, first.unwrap_or_default(), ca.valid_for)?;
    }
    for log in &root.ctlogs {
        let id = log.log_id.key_id.to_base64();
        add(AuthorityKind::CertificateLog, &log.base_url, id, log.public_key.valid_for)?;
    }
    for log in &root.tlogs {
        let id = log.log_id.key_id.to_base64();
        add(AuthorityKind::SignatureLog, &log.base_url, id, log.public_key.valid_for)?;
    }
    for tsa in &root.timestamp_authorities {
        let first =
            tsa.cert_chain.certificates.first().map(|c| Sha256::of(c.raw_bytes.as_bytes()).to_string());
        let uri = tsa.uri.as_deref().unwrap_or_default();
        add(AuthorityKind::TimestampAuthority, uri, first.unwrap_or_default(), tsa.valid_for)?;
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
