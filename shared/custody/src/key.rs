//! Public keys: Ed25519, and the one kind of step that each signs for.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use touchstone_domain::{CheckKind, KeyId};

/// What a key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyKind {
    /// What an edge fetched, and from where.
    Fetch,
    /// Verdicts of the hash check.
    Hash,
    /// Verdicts of the attest check.
    Attest,
    /// Verdicts of the sumdb check.
    Sumdb,
    /// Verdicts of the peer check.
    Peer,
    /// Serve records and layouts.
    Promote,
    /// Checkpoints of the transparency log.
    Log,
}

/// A word that names no kind of key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown kind of key {0:?}; known are fetch, hash, attest, sumdb, peer, promote and log")]
pub struct UnknownKeyKind(pub String);

impl KeyKind {
    /// Every kind.
    pub const ALL: [Self; 7] =
        [Self::Fetch, Self::Hash, Self::Attest, Self::Sumdb, Self::Peer, Self::Promote, Self::Log];

    /// The word in key rings, commands and rows.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fetch => "fetch",
            Self::Hash => "hash",
            Self::Attest => "attest",
            Self::Sumdb => "sumdb",
            Self::Peer => "peer",
            Self::Promote => "promote",
            Self::Log => "log",
        }
    }
}

impl From<CheckKind> for KeyKind {
    fn from(check: CheckKind) -> Self {
        match check {
            CheckKind::Hash => Self::Hash,
            CheckKind::Attest => Self::Attest,
            CheckKind::Sumdb => Self::Sumdb,
            CheckKind::Peer => Self::Peer,
        }
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for KeyKind {
    type Err = UnknownKeyKind;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| UnknownKeyKind(text.to_owned()))
    }
}

/// Why a text is no public key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the PEM of an Ed25519 public key (SubjectPublicKeyInfo, RFC 8410)")]
pub struct PublicKeyError;

/// An Ed25519 public key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// The key whose raw bytes these are, as RFC 8032 has them.
    pub const fn from_raw(raw: [u8; 32]) -> Self {
        Self(raw)
    }

    /// The raw bytes.
    pub const fn raw(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads PEM.
    pub fn from_pem(_pem: &str) -> Result<Self, PublicKeyError> {
        todo!("custody helper")
    }

    /// PEM, as stock tools read it.
    pub fn to_pem(&self) -> String {
        todo!("custody helper")
    }

    /// The key's number, as securesystemslib 1.x derives it: SHA-256 over the canonical JSON of the key.
    pub fn id(&self) -> KeyId {
        todo!("custody helper")
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PublicKey").field(&self.id()).finish()
    }
}
