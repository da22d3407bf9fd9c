//! What rows say of signed envelopes: which key, and where the bytes are. Nothing here is verified.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{DigestError, Sha256};

/// The number of a key, as securesystemslib derives it from the public half. Opaque: it only finds the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(pub Sha256);

impl KeyId {
    /// Reads the stored form: 32 bytes.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, DigestError> {
        Sha256::from_slice(bytes).map(Self)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where a signed envelope is: one of those that were written together as one blob, a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EnvelopeRef {
    /// The digest of the envelope's bytes.
    pub sha256: Sha256,
    /// The blob that has it.
    pub pack: Sha256,
    /// Where in the blob it begins, in bytes.
    pub offset: u32,
    /// Its length in bytes.
    pub size: u32,
}

/// A signed envelope on record: where it is, and the key that it says it is signed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SignedBy {
    /// The key, by the row's word.
    pub key: KeyId,
    /// Where the envelope is.
    pub envelope: EnvelopeRef,
}
