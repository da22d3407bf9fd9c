//! What an outsider says about an artifact. A claim is unverified by type: nothing may be served because of one.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The field of the upstream's metadata that a claim was read from; it fixes the grammar of the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ClaimField {
    /// `cksum` of a sparse index line: 64 hexadecimal digits of SHA-256.
    CargoCksum,
    /// `dist.integrity` of a packument version: an SRI string.
    NpmIntegrity,
    /// `dist.shasum` of a packument version: 40 hexadecimal digits of SHA-1.
    NpmShasum,
    /// One entry of `hashes` of a PyPI file, written `algorithm=hex`.
    PypiHash,
    /// `core-metadata` of a PyPI file: `sha256=hex` of the METADATA sidecar.
    PypiCoreMetadata,
    /// A declared size in bytes, in decimal.
    Size,
}

impl ClaimField {
    /// Every field.
    pub const ALL: [Self; 6] = [
        Self::CargoCksum,
        Self::NpmIntegrity,
        Self::NpmShasum,
        Self::PypiHash,
        Self::PypiCoreMetadata,
        Self::Size,
    ];

    /// The stored word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CargoCksum => "cargo.cksum",
            Self::NpmIntegrity => "npm.integrity",
            Self::NpmShasum => "npm.shasum",
            Self::PypiHash => "pypi.hash",
            Self::PypiCoreMetadata => "pypi.core_metadata",
            Self::Size => "size",
        }
    }
}

impl fmt::Display for ClaimField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that names no claim field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown claim field {0:?}")]
pub struct UnknownClaimField(pub String);

impl FromStr for ClaimField {
    type Err = UnknownClaimField;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|f| f.as_str() == text).ok_or_else(|| UnknownClaimField(text.to_owned()))
    }
}

impl TryFrom<String> for ClaimField {
    type Error = UnknownClaimField;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ClaimField> for String {
    fn from(field: ClaimField) -> Self {
        field.as_str().to_owned()
    }
}

/// One declared value, byte for byte as the upstream wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Claim {
    /// Where it was read.
    pub field: ClaimField,
    /// The value, unparsed.
    pub value: String,
}
