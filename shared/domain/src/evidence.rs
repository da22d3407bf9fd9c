//! Raw bytes that somebody served us, with where and when: what a check can be repeated on.

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Sha256;

/// What a piece of evidence is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EvidenceKind {
    /// The entry of this artifact in the upstream's metadata: a packument version, a PyPI file object, an index line.
    MetadataEntry,
    /// The attestations of this artifact, as the upstream serves them: npm's attestation document, PyPI's provenance object.
    Attestations,
    /// The answer of the Go checksum database to a lookup: record and signed tree head.
    SumdbLookup,
}

impl EvidenceKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::MetadataEntry, Self::Attestations, Self::SumdbLookup];

    /// The stored word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MetadataEntry => "metadata_entry",
            Self::Attestations => "attestations",
            Self::SumdbLookup => "sumdb_lookup",
        }
    }
}

impl fmt::Display for EvidenceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for EvidenceKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        known.ok_or_else(|| format!("unknown evidence kind {text:?}"))
    }
}

/// A reference to raw bytes in the blob store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// What it is.
    pub kind: EvidenceKind,
    /// The address it came from, without credentials.
    pub url: String,
    /// The digest of the bytes, which are in the blob store.
    pub sha256: Sha256,
    /// Their number.
    pub size: u64,
    /// When they were received, by our clock.
    pub seen_at: Timestamp,
}
